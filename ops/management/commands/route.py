"""`manage.py route`: where the addresses of a tenant's domains go."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser

from mail.facts import RouteMode
from ops.console import VerbCommand, add_json_flag, add_verbs
from routing.listing import trash_lines
from routing.selectors import route_lines
from routing.services import (
    KEEP,
    RouteEdit,
    add_route,
    ask_again,
    confirm_destination,
    edit_route,
    newest_in_trash,
    purge_all,
    purge_trash,
    remove_route,
    restore_route,
    set_mode,
)
from routing.services.confirmations import Asked
from routing.services.domains import domain_label
from tenants.context import tenant_schema
from tenants.errors import ExpiryRefused
from tenants.selectors import claim_of, tenant_of

COLUMNS = ("address", "mode", "state", "confirmed", "unconfirmed", "expires_at", "note")
TRASH_COLUMNS = ("address", "removed_at", "gone_at", "note")
PAUSES = (RouteMode.REFUSE, RouteMode.DEFER, RouteMode.HOLD, RouteMode.DROP)


class Command(VerbCommand):
    help = "Adds, lists, changes, pauses, resumes, removes and restores routes."
    noun = "route"

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = add_verbs(parser)
        add = verbs.add_parser("add", help="send an address somewhere")
        _slug_and_address(add)
        add.add_argument("destinations", nargs="+", metavar="DESTINATION")
        add.add_argument(
            "--confirmed", action="store_true", help="your word for the destinations (audited)"
        )
        add.add_argument("--note", default="")
        add.add_argument("--until", metavar="DAY", help="its last day (UTC), such as 2027-01-31")
        edit = verbs.add_parser("edit", help="change where a route goes, its note or its end")
        _slug_and_address(edit)
        edit.add_argument("--to", nargs="+", metavar="DESTINATION", help="all of them, not more")
        edit.add_argument("--note")
        edit.add_argument("--until", metavar="DAY", help="its last day (UTC), or `never`")
        listing = verbs.add_parser("list", help="the routes of a tenant")
        listing.add_argument("slug")
        listing.add_argument("--domain", metavar="NAME")
        listing.add_argument("--trash", action="store_true", help="those that were removed")
        add_json_flag(listing)
        _slug_and_address(verbs.add_parser("remove", help="put a route into the trash"))
        _slug_and_address(verbs.add_parser("restore", help="take it out again, within 30 days"))
        purge = verbs.add_parser("purge", help="remove for good what was 30 days in the trash")
        purge.add_argument("slug", nargs="?", help="of this tenant; otherwise of all")
        purge.add_argument("--dry-run", action="store_true", help="only count")
        pause = verbs.add_parser("pause", help="stop a route without removing it")
        _slug_and_address(pause)
        pause.add_argument(
            "--mode",
            default=RouteMode.REFUSE.value,
            choices=[mode.value for mode in PAUSES],
            help="answer 550 (refuse), 450 (defer), accept and keep for 7 days (hold), or accept "
            "and drop",
        )
        _slug_and_address(verbs.add_parser("resume", help="switch a paused route on"))
        ask = verbs.add_parser("ask", help="send the owner of a destination another link")
        ask.add_argument("slug")
        ask.add_argument("destination")
        confirm = verbs.add_parser("confirm", help="your word for a destination (audited)")
        confirm.add_argument("slug")
        confirm.add_argument("destination")

    def do_add(self, options: dict[str, Any]) -> None:
        route = add_route(
            tenant=tenant_of(options["slug"]),
            address=options["address"],
            destinations=options["destinations"],
            confirmed=options["confirmed"],
            note=options["note"],
            expires_at=_end_of(options["until"]) if options["until"] else None,
            actor=self.actor(options),
        )
        count = len(options["destinations"])
        to = options["destinations"][0] if count == 1 else f"{count} destinations"
        waits = "" if options["confirmed"] else ", once confirmed by the link in the mail to each"
        self.say(f"{route} goes to {to}{waits}.")

    def do_edit(self, options: dict[str, Any]) -> None:
        until = options["until"]
        never = None if until == "never" else KEEP
        edit = RouteEdit(
            destinations=options["to"],
            note=options["note"],
            expires_at=_end_of(until) if until and until != "never" else never,
        )
        if edit == RouteEdit():
            raise CommandError("Say what to change: --to, --note or --until.")
        route = edit_route(
            tenant=tenant_of(options["slug"]),
            address=options["address"],
            edit=edit,
            actor=self.actor(options),
        )
        self.say(f"{route} is changed.")

    def do_list(self, options: dict[str, Any]) -> None:
        tenant = tenant_of(options["slug"])
        domain = domain_label(options["domain"]) if options["domain"] else None
        if domain:
            claim_of(tenant, domain)
        if options["trash"]:
            empty = "The trash is empty."
            with tenant_schema(tenant.pk):
                lines = trash_lines(domain)
            self.say_lines(options, lines, TRASH_COLUMNS, empty)
            return
        empty = "No routes yet: manage.py route add SLUG ADDRESS DESTINATION."
        self.say_lines(options, route_lines(tenant, domain), COLUMNS, empty)

    def do_remove(self, options: dict[str, Any]) -> None:
        tenant = tenant_of(options["slug"])
        remove_route(tenant=tenant, address=options["address"], actor=self.actor(options))
        self.say(f"The route {options['address']} is removed; it can be restored for 30 days.")

    def do_restore(self, options: dict[str, Any]) -> None:
        tenant = tenant_of(options["slug"])
        found = newest_in_trash(tenant=tenant, address=options["address"])
        route = restore_route(tenant=tenant, route_id=found.pk, actor=self.actor(options))
        self.say(f"The route {route} is back.")

    def do_purge(self, options: dict[str, Any]) -> None:
        dry_run = options["dry_run"]
        if options["slug"]:
            rows = purge_trash(tenant=tenant_of(options["slug"]), dry_run=dry_run)
        else:
            rows = sum(purge_all(dry_run=dry_run).values())
        verb = "would be removed" if dry_run else "removed"
        self.say(f"{rows} old routes and destinations that nothing uses {verb}.")

    def do_pause(self, options: dict[str, Any]) -> None:
        self._set_mode(options, RouteMode(options["mode"]))

    def do_resume(self, options: dict[str, Any]) -> None:
        self._set_mode(options, RouteMode.ON)

    def do_ask(self, options: dict[str, Any]) -> None:
        tenant = tenant_of(options["slug"])
        address = options["destination"]
        asked = ask_again(tenant=tenant, address=address, actor=self.actor(options))
        if asked is not Asked.YES:
            raise CommandError(f"{address}: {asked.value}.")
        self.say(f"{address}: {asked.value}.")

    def do_confirm(self, options: dict[str, Any]) -> None:
        tenant = tenant_of(options["slug"])
        address = options["destination"]
        confirmed = confirm_destination(tenant=tenant, address=address, actor=self.actor(options))
        self.say(f"{confirmed.address} is confirmed.")

    def _set_mode(self, options: dict[str, Any], mode: RouteMode) -> None:
        route = set_mode(
            tenant=tenant_of(options["slug"]),
            address=options["address"],
            mode=mode,
            actor=self.actor(options),
        )
        self.say(f"{route} is {route.get_mode_display()}.")


def _end_of(day: str) -> datetime:
    """The moment after the last day. Raises `ExpiryRefused`."""
    try:
        return datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC) + timedelta(days=1)
    except ValueError:
        raise ExpiryRefused(f"{day} is not a day: write it like 2027-01-31.") from None


def _slug_and_address(parser: CommandParser) -> None:
    parser.add_argument("slug")
    parser.add_argument("address", help="hi@example.org, sales-*@example.org or *@example.org")
