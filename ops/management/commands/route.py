"""`manage.py route`: where the addresses of a tenant's domains go."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from mail.facts import RouteMode
from ops.console import VerbCommand, add_json_flag, add_verbs
from routing.selectors import route_lines
from routing.services import add_route, ask_again, confirm_destination, remove_route, set_mode
from routing.services.confirmations import Asked
from routing.services.domains import domain_label
from tenants.selectors import tenant_of

COLUMNS = ("address", "mode", "confirmed", "unconfirmed", "note")
PAUSES = (RouteMode.REFUSE, RouteMode.DEFER, RouteMode.DROP)


class Command(VerbCommand):
    help = "Adds, lists, pauses, resumes and removes routes."
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
        listing = verbs.add_parser("list", help="the routes of a tenant")
        listing.add_argument("slug")
        listing.add_argument("--domain", metavar="NAME")
        add_json_flag(listing)
        _slug_and_address(verbs.add_parser("remove", help="take a route away"))
        pause = verbs.add_parser("pause", help="stop a route without removing it")
        _slug_and_address(pause)
        pause.add_argument(
            "--mode",
            default=RouteMode.REFUSE.value,
            choices=[mode.value for mode in PAUSES],
            help="answer 550 (refuse), 450 (defer), or accept and drop",
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
            actor=self.actor(options),
        )
        count = len(options["destinations"])
        to = options["destinations"][0] if count == 1 else f"{count} destinations"
        waits = "" if options["confirmed"] else ", once confirmed by the link in the mail to it"
        self.say(f"{route} goes to {to}{waits}.")

    def do_list(self, options: dict[str, Any]) -> None:
        tenant = tenant_of(options["slug"])
        domain = domain_label(options["domain"]) if options["domain"] else None
        empty = "No routes yet: manage.py route add SLUG ADDRESS DESTINATION."
        self.say_lines(options, route_lines(tenant, domain), COLUMNS, empty)

    def do_remove(self, options: dict[str, Any]) -> None:
        tenant = tenant_of(options["slug"])
        remove_route(tenant=tenant, address=options["address"], actor=self.actor(options))
        self.say(f"The route {options['address']} is removed.")

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


def _slug_and_address(parser: CommandParser) -> None:
    parser.add_argument("slug")
    parser.add_argument("address", help="hi@example.org, sales-*@example.org or *@example.org")
