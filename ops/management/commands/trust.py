"""`manage.py trust`: what a tenant's policy of trust does, and what another would have done."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from delivery.trust_trial import MOST_MESSAGES, Trial, try_policy
from delivery.trust_words import ACTIONS
from mail.policy.trust import OnQuarantine
from mail.trace import format_trace_id, printable
from ops.console import VerbCommand, add_json_flag, add_verbs, table
from routing.models import TrustPreference
from routing.services.trust import SCORING_SCANNERS, TrustChoice
from routing.trust import preference_here, trust_policy_here
from tenants.clock import database_now
from tenants.context import tenant_schema
from tenants.models import Tenant
from tenants.selectors import tenant_of

MOST_DAYS = 365
SCORES = tuple(
    f"{one}_{what}_from" for one in SCORING_SCANNERS for what in ("quarantine", "refuse")
)
COLUMNS = ("at", "trace_id", "from", "to", "was", "would_be", "because")


class Command(VerbCommand):
    help = "Tries a policy of trust on the mail of the last days."
    noun = "trust"

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = add_verbs(parser)
        trial = verbs.add_parser(
            "try", help="judge the logged mail again, with the tenant's policy or another"
        )
        trial.add_argument("slug")
        trial.add_argument("--days", type=int, default=30, help="how far back (30)")
        trial.add_argument("--dmarc-reject", choices=("refuse", "forward"))
        trial.add_argument("--dmarc-quarantine", choices=[one.value for one in OnQuarantine])
        for name in SCORES:
            trial.add_argument(f"--{name.replace('_', '-')}", type=float, metavar="SCORE")
        trial.add_argument(
            "--most", type=int, default=MOST_MESSAGES, help=f"messages ({MOST_MESSAGES})"
        )
        trial.add_argument("--seconds", type=float, default=120, help="stop after so long (120)")
        add_json_flag(trial)

    def do_try(self, options: dict[str, Any]) -> None:
        if not 1 <= options["days"] <= MOST_DAYS:
            raise CommandError(f"--days is 1 to {MOST_DAYS}.")
        trial = _try(tenant_of(options["slug"]), options)
        if options["json"]:
            self.say_json(_plain(trial))
            return
        for line in _lines(trial, options["days"]):
            self.say(line)


def _try(tenant: Tenant, options: dict[str, Any]) -> Trial:
    with tenant_schema(tenant.pk):
        return try_policy(
            trust_policy_here(_wanted(preference_here(), options)),
            now=database_now(),
            days=options["days"],
            most=min(max(1, options["most"]), MOST_MESSAGES),
            seconds=options["seconds"],
        )


def _wanted(preference: TrustPreference, options: dict[str, Any]) -> TrustPreference:
    """The tenant's choice with what the command line puts in its place."""
    values = {name: getattr(TrustChoice.of(preference), name) for name in TrustChoice.__slots__}
    if options["dmarc_reject"]:
        values["refuses_dmarc_reject"] = options["dmarc_reject"] == "refuse"
    if options["dmarc_quarantine"]:
        values["on_dmarc_quarantine"] = OnQuarantine(options["dmarc_quarantine"])
    for name in SCORES:
        if options[name] is not None:
            values[name] = options[name]
    return TrustChoice(**values).put_into(preference)


def _lines(trial: Trial, days: int) -> list[str]:
    lines = [f"{trial.judged} messages of the last {days} days were judged again."]
    if trial.looked_back_to is not None:
        lines.append(f"It stopped at mail of {trial.looked_back_to:%Y-%m-%d %H:%M} UTC.")
    if not trial.changed:
        return [*lines, "None of them would have gone another way."]
    lines += [
        f"{turn.count} that were {ACTIONS[turn.before]} would have been {ACTIONS[turn.after]}."
        for turn in trial.turns
    ]
    rows = [
        (
            f"{one.at:%Y-%m-%d %H:%M}",
            format_trace_id(one.trace_id),
            *(printable(text, 80) or "-" for text in (one.author, one.recipient)),
            ACTIONS[one.before],
            ACTIONS[one.after],
            f"{one.after_rule}: {printable(one.reason, 120)}",
        )
        for one in trial.changes
    ]
    return [*lines, "", *table(COLUMNS, rows)]


def _plain(trial: Trial) -> dict[str, Any]:
    return {
        "judged": trial.judged,
        "changed": trial.changed,
        "looked_back_to": trial.looked_back_to,
        "turns": [
            {"was": turn.before.value, "would_be": turn.after.value, "count": turn.count}
            for turn in trial.turns
        ],
        "changes": [
            {
                "trace_id": format_trace_id(one.trace_id),
                "at": one.at,
                "author": one.author,
                "recipient": one.recipient,
                "was": one.before.value,
                "was_by": one.before_rule,
                "would_be": one.after.value,
                "would_be_by": one.after_rule,
                "reason": one.reason,
            }
            for one in trial.changes
        ],
    }
