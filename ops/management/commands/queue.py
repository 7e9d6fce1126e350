"""`manage.py queue`: how the queue stands, what waits in it, and acting on it."""

import json
import time
from argparse import ArgumentParser
from dataclasses import asdict, replace
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db.models import F
from django.db.models.functions import Now

from delivery import queue_services
from delivery.bell import ring
from delivery.models import Delivery
from delivery.queue_selectors import queue_status
from delivery.queue_services import OF_THE_SERVICE, OF_THE_TENANT, Selection
from delivery.selectors import state_word
from delivery.story_text import duration_text
from mail.address import canonical_domain
from mail.errors import BadDomain, BadTraceId
from mail.plan import Hold
from mail.trace import format_trace_id, parse_trace_id, printable
from ops.console import OneLineCommand, OneLineParser
from tenants.audit import operator_at_command_line, record_platform
from tenants.models import Tenant

BELL_SECONDS = 0.2  # the bell rings in a thread of its own, which ends with this process
DEFERRED = "deferred"
HOLDERS = {
    "operator": (Hold.NONE, Hold.OPERATOR),
    **{one.name.lower(): (one,) for one in (Hold.SUSPECT, *OF_THE_TENANT)},
}
ACTIONS = {
    "retry": ("make deliveries due now, failed ones too while their content is there", "due now"),
    "hold": ("keep queued deliveries until they are released", "held"),
    "release": (
        "put held deliveries back into the queue: those of a trace id, or those that the operator "
        "holds and those that killed workers; others where --hold says so",
        "released",
    ),
    "delete": ("remove deliveries for good", "deleted"),
}


class Command(OneLineCommand):
    help = "Show the queue and act on it."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(
            dest="action", required=True, metavar="ACTION", parser_class=OneLineParser
        )
        status = actions.add_parser("status", help="how many deliveries are in which state")
        status.add_argument("--json", action="store_true")
        listing = actions.add_parser("list", help="deliveries that are not finished, oldest first")
        _add_filters(listing)
        listing.add_argument("--limit", type=int, default=50, help="rows to show (50)")
        listing.add_argument("--json", action="store_true")
        for name, (what, _) in ACTIONS.items():
            action = actions.add_parser(name, help=what)
            action.add_argument("trace_id", nargs="?", help="one message")
            _add_filters(action)
            action.add_argument("--all", action="store_true", help="everything, without a filter")
            if name == "delete":
                action.add_argument("--dry-run", action="store_true", help="only count")

    def handle(self, *args: Any, **options: Any) -> None:
        action = options["action"]
        if action == "status":
            self._status(options["json"])
        elif action == "list":
            self._list(_selection(options), options["limit"], options["json"])
        else:
            self._act(action, options)

    def _status(self, as_json: bool) -> None:
        status = asdict(queue_status())
        if as_json:
            self.stdout.write(json.dumps(status))
            return
        age = status.pop("oldest_age_seconds")
        for name, count in status.items():
            self.stdout.write(f"{name.replace('_', ' '):<10} {count:>9,}")
        self.stdout.write(f"{'oldest':<10} {duration_text(age) if age else '-':>9}")

    def _list(self, selection: Selection, limit: int, as_json: bool) -> None:
        rows = selection.rows().annotate(now=Now(), accepted_at=F("message__accepted_at"))
        shown = [_row(row) for row in rows[: max(1, limit)]]
        if as_json:
            self.stdout.write(json.dumps(shown, indent=2))
            return
        for row in shown:
            tried = f"{row['age']:>10}  {row['attempts']} attempts"
            self.stdout.write(f"{row['trace_id']}  {row['state']:<9}  {tried}")
            self.stdout.write(f"    <{row['recipient']}> → <{row['destination']}>")
            for text in filter(None, (row["held_because"], row["last_reply"])):
                self.stdout.write(f"    {text}")
        if not shown:
            self.stdout.write("Nothing in the queue matches.")

    def _act(self, action: str, options: dict[str, Any]) -> None:
        selection = _selection(options)
        if selection == Selection() and not options["all"]:
            raise CommandError("Say which: a trace id, a filter, or --all.")
        if options.get("dry_run"):
            count = queue_services.deletable(selection).count()
            self.stdout.write(f"{_deliveries(count)} would be deleted.")
            return
        count = _run(action, selection)
        if count and action in ("retry", "release"):
            time.sleep(BELL_SECONDS)
        if count:
            record_platform(
                f"queue.{action}",
                _describe(options),
                actor=operator_at_command_line(f"queue {action}"),
                tenant_slug=options["tenant"] or "",
                new={"deliveries": count},
            )
        elif selection.trace_id is not None:
            raise CommandError(f"No delivery of {options['trace_id']} can be {ACTIONS[action][1]}.")
        verb = "is" if count == 1 else "are"
        self.stdout.write(f"{_deliveries(count)} {verb} {ACTIONS[action][1]}.")


def _run(action: str, selection: Selection) -> int:
    if action == "retry":
        return queue_services.retry(selection, ring=ring)
    if action == "release":
        if not selection.holds and selection.trace_id is None:
            # Undoing a `hold --tenant` must not let go what his own policy does not trust.
            selection = replace(selection, holds=OF_THE_SERVICE)
        return queue_services.release(selection, ring=ring)
    return queue_services.hold(selection) if action == "hold" else queue_services.delete(selection)


def _add_filters(parser: ArgumentParser) -> None:
    states = [state.label.lower().replace(" ", "_") for state in Delivery.State]
    parser.add_argument("--tenant", metavar="SLUG")
    parser.add_argument("--state", choices=[*states, DEFERRED])
    parser.add_argument("--hold", choices=list(HOLDERS), help="held by whom, or why")
    parser.add_argument("--domain", metavar="NAME", help="of the recipient or the destination")


def _selection(options: dict[str, Any]) -> Selection:
    state, deferred = options["state"], None
    if state in (DEFERRED, "queued"):  # one state in the table, two words of the list
        state, deferred = "queued", state == DEFERRED
    return Selection(
        trace_id=_trace_id(options.get("trace_id")),
        tenant_id=_tenant_id(options["tenant"]),
        states=(Delivery.State[state.upper()],) if state else (),
        deferred=deferred,
        domain=_domain(options["domain"]),
        holds=HOLDERS.get(options["hold"], ()),
    )


def _trace_id(text: str | None) -> Any:
    try:
        return parse_trace_id(text) if text else None
    except BadTraceId:
        raise CommandError(
            f"{printable(text or '', 40)} is not a trace id: one has 26 letters and digits."
        ) from None


def _tenant_id(slug: str | None) -> int | None:
    if not slug:
        return None
    tenant = Tenant.objects.filter(slug=slug).first()
    if tenant is None:
        raise CommandError(f"There is no tenant {slug}: `manage.py tenant list` names them.")
    return int(tenant.pk)


def _domain(text: str | None) -> str:
    try:
        return canonical_domain(text) if text else ""
    except BadDomain as error:
        raise CommandError(f"{printable(text or '', 80)}: {error}.") from None


def _row(row: Any) -> dict[str, Any]:
    return {
        "trace_id": format_trace_id(row.message_id),
        "state": state_word(row.state, row.attempts, later=row.next_attempt_at > row.now),
        "attempts": row.attempts,
        "age": duration_text((row.now - row.accepted_at).total_seconds()),
        "accepted_at": row.accepted_at.isoformat(),
        "next_attempt_at": row.next_attempt_at.isoformat(),
        "recipient": printable(row.recipient, 320),
        "destination": printable(row.destination, 320),
        "last_reply": printable(row.last_reply, 500),
        "held_because": printable(row.hold_reason, 500),
    }


def _describe(options: dict[str, Any]) -> str:
    given = (
        f"{name} {options[name]}"
        for name in ("trace_id", "tenant", "state", "hold", "domain")
        if options.get(name)
    )
    return ", ".join(given) or "everything"


def _deliveries(count: int) -> str:
    return f"{count} delivery" if count == 1 else f"{count:,} deliveries"
