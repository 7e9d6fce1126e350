"""What an entry of an audit says, in words."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.utils.dateparse import parse_datetime

from routing.services.confirmations import Asked
from tenants.audit import CUT

_WORDS: Final = {
    "tenant.created": "tenant made",
    "tenant.renamed": "tenant renamed",
    "tenant.standing": "mail of the tenant stopped or resumed",
    "tenant.second_factor": "second factor for members",
    "tenant.handed_over": "ownership handed over",
    "tenant.exported": "everything downloaded",
    "member.invited": "invited",
    "member.invited_again": "invitation sent again",
    "member.invitation_withdrawn": "invitation withdrawn",
    "member.invitation_declined": "invitation declined",
    "member.joined": "joined",
    "member.role": "role changed",
    "member.removed": "member removed",
    "member.left": "left",
    "domain.claimed": "domain added",
    "domain.verified": "domain proved",
    "domain.released": "domain removed",
    "domain.lost": "domain lost",
    "domain.proof_missing": "proof of the domain missing",
    "domain.proof_back": "proof of the domain found again",
    "domain.note_changed": "note of the domain changed",
    "route.mode": "route paused or resumed",
    "route.removed": "route put into the trash",
    "route.purged": "route gone from the trash",
    "destination.asked": "owner of a destination asked",
    "destination.confirmed": "destination confirmed",
    "destination.stopped": "destination stopped by its owner",
    "destination.blocked": "destination wants no mail from here",
    "dkim_key.activated": "DKIM key signs from now on",
    "log_policy.changed": "logging preferences changed",
    "log_policy.removed": "logging preferences of a domain removed",
    "trust.changed": "trust preferences changed",
    "trust.allowed": "put on the allow list",
    "trust.blocked": "put on the block list",
    "trust.entry_removed": "taken off a list",
    "trust.sealer_added": "sealer trusted",
    "trust.sealer_removed": "sealer trusted no more",
    "message.downloaded": "message downloaded",
    "quarantine.read": "message in quarantine read",
    "quarantine.released": "message released from quarantine",
    "quarantine.deleted": "message in quarantine deleted",
    "queue.retry": "waiting mail tried again",
    "credential.created": "SMTP credential made",
    "credential.revoked": "SMTP credential revoked",
    "token.created": "API token made",
    "token.revoked": "API token revoked",
    "suppression.lifted": "suppressed address allowed again",
    "support.opened": "support let in",
    "support.ended": "support ended its look",
    CUT: "old entries removed, as the logging preferences say",
}
# What services write of a state, by label and value.
_VALUES: Final = {
    ("state", "pending"): "waiting for proof",
    ("state", "verified"): "proved",
    ("state", "waiting"): "waiting to be seen in the DNS",
    ("proof", "dns"): "by the DNS",
    ("proof", "operator"): "by the operator's word",
    ("standing", "abusive"): "suspended for abuse",
    **{("result", asked.name): asked.value for asked in Asked},
}
MOST_SHOWN: Final = 300
NOTHING: Final = "–"


@dataclass(frozen=True, slots=True)
class Change:
    """One value that an entry tells of; `old` or `new` is empty where it tells of one only."""

    label: str
    old: str
    new: str


def words_of(action: str) -> str:
    """The action, as people say it."""
    if action in _WORDS:
        return _WORDS[action]
    noun, _, verb = action.partition(".")
    return f"{noun} {verb}".replace("_", " ").strip().replace("dkim", "DKIM")


def changes_of(old: Any, new: Any) -> list[Change]:
    """What was before and what is now, value by value; what stayed or says nothing is left out."""
    before, after = _values(old), _values(new)
    labels = list(dict.fromkeys([*before, *after]))
    changes = [_change(label, before, after) for label in labels]
    return [one for one in changes if one is not None]


def _change(label: str, before: dict[str, Any], after: dict[str, Any]) -> Change | None:
    old, new = _said(label, before.get(label)), _said(label, after.get(label))
    if not (old or new) or (label in before and label in after and old == new):
        return None
    if label in before and label in after:
        old, new = old or NOTHING, new or NOTHING
    return Change(label.replace("_", " "), old, new)


def _values(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    return value if isinstance(value, dict) else {"value": value}


def _said(label: str, value: Any) -> str:
    words = _VALUES.get((label, value)) if isinstance(value, str) else None
    return words or _text(value)


def _text(value: Any) -> str:
    """One line for people."""
    if value is None or value in ("", [], {}):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        text = ", ".join(_text(one) for one in value)
    elif isinstance(value, dict):
        text = "; ".join(f"{label.replace('_', ' ')}: {_text(one)}" for label, one in value.items())
    else:
        text = _moment(value) if isinstance(value, str) else str(value)
    return text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 1] + "…"


def _moment(text: str) -> str:
    """A moment as the database wrote it, for people; other text as it is."""
    at: datetime | None = None
    if len(text) in range(19, 36) and text[4:5] == "-":
        try:
            at = parse_datetime(text)
        except ValueError:
            return text
    return text if at is None else f"{at:%-d %b %Y, %H:%M} UTC"
