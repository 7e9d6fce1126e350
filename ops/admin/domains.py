"""What is known of a claimed domain: how it stands, and each record with what was last seen."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from ops.admin.columns import moment
from routing.records.report import Row, Said, from_json
from routing.records.values import Need, Verdict
from tenants.claims import standing_of
from tenants.models import ClaimedDomain, DomainCheck

_TONES: Final = {
    Verdict.RIGHT: "good",
    Verdict.NOT_NEEDED: "plain",
    Verdict.NOT_YET: "warn",
    Verdict.UNKNOWN: "warn",
}
LOOKED_SOON: Final = "is looked at within a minute or two"
_COMES: Final = {True: "comes to us", False: "goes elsewhere", None: "not known yet"}


@dataclass(frozen=True, slots=True)
class RecordLine:
    """One record, as the owner reads it."""

    type: str
    name: str
    need: str
    word: str
    tone: str
    text: str
    seen: tuple[str, ...]
    """What the zone's servers say, and a resolver."""
    publish: str
    """What the owner is told to put into the zone; empty where there is nothing to do."""


def of_claim(claim: ClaimedDomain, now: datetime, rows: list[Row] | None = None) -> dict[str, Any]:
    """Facts and records for templates/admin/of_domain.html; `rows` where keys may be asked too."""
    check = getattr(claim, "check_seen", None)
    report = [from_json(one) for one in check.report] if check and rows is None else rows
    return {
        "claim": claim,
        "domain_facts": _facts(claim, check, now),
        "records": [_line(row) for row in report or ()],
    }


def _facts(claim: ClaimedDomain, check: DomainCheck | None, now: datetime) -> list[tuple[str, Any]]:
    standing = standing_of(claim, now)
    facts = [
        ("Served", standing.value if standing else "no more"),
        ("Proof", f"{claim.state} ({claim.proof})" if claim.proof else claim.state),
        ("Its proof was last looked for", moment(claim.checked_at) or "not yet"),
        ("What was found", claim.last_result),
        ("The proof is missing since", moment(claim.proof_missing_since)),
        ("The owners were told", claim.told and f"{claim.told}"),
    ]
    if check is not None:
        facts += [
            ("Its mail", _COMES[check.works]),
            ("Its mail goes elsewhere since", moment(check.broken_since)),
            ("Its records were last looked at", moment(check.checked_at) or "not yet"),
            ("They are looked at again", moment(check.next_check_at)),
        ]
    return [(label, value) for label, value in facts if value]


def _line(row: Row) -> RecordLine:
    bad = "warn" if row.need is Need.RECOMMENDED else "bad"
    return RecordLine(
        type=row.type,
        name=row.name,
        need=row.need.value,
        word=row.verdict.value if row.verdict else "not looked at yet",
        tone=_TONES.get(row.verdict, bad) if row.verdict else "plain",
        text=row.text,
        seen=(*_said("The zone's servers", row.authoritative), *_said("A resolver", row.resolver)),
        publish=row.publish,
    )


def _said(who: str, said: Said) -> tuple[str, ...]:
    words = "; ".join((*said.values, said.note) if said.note else said.values)
    return (f"{who}: {words}",) if words else ()
