"""How a domain stands, in a word and a sentence: from its claim and the last look at it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Q

from mail.facts import DomainStanding
from tenants.claims import FADING_FOR, SERVED_WITHOUT_PROOF, standing_of
from tenants.models import ClaimedDomain, DomainCheck

ATTENTION, WORKING, WAITING = "attention", "working", "waiting"
CHOICES: Final = (
    ("", "all"),
    (WORKING, "working"),
    (WAITING, "waiting for proof"),
    (ATTENTION, "needs attention"),
)
_VERIFIED = Q(state=ClaimedDomain.State.VERIFIED)
_MISSING = Q(proof_missing_since__isnull=False) & ~Q(proof=ClaimedDomain.Proof.OPERATOR)
CONDITIONS: Final = {
    WORKING: _VERIFIED & Q(check_seen__works=True) & ~_MISSING,
    WAITING: Q(state=ClaimedDomain.State.PENDING, proof_missing_since=None),
    ATTENTION: (_VERIFIED & Q(check_seen__works=False)) | _MISSING,
}


@dataclass(frozen=True, slots=True)
class Standing:
    """`word` for a badge of this tone, `text` for the page."""

    word: str
    tone: str
    text: str
    is_served: bool = False


def check_of(claim: ClaimedDomain) -> DomainCheck | None:
    """The last look at a domain's records, if there was one."""
    return getattr(claim, "check_seen", None)


def standing(claim: ClaimedDomain, now: datetime) -> Standing:
    """How a domain stands at this moment."""
    stands = standing_of(claim, now)
    missing = claim.proof_missing_since
    if claim.proof != ClaimedDomain.Proof.OPERATOR and missing is not None:
        return _without_proof(stands, missing)
    if stands is DomainStanding.PENDING:
        return Standing(
            "waiting for proof",
            "warn",
            "We have not seen the record yet that proves the domain is yours. Until then its mail "
            "is put off: nothing is lost, clients try again.",
        )
    return _proved(check_of(claim))


def _proved(check: DomainCheck | None) -> Standing:
    if check is None or check.works is None:
        text = "The domain is yours. We have not seen yet where its mail goes."
        return Standing("not looked at yet", "warn", text, is_served=True)
    if check.works:
        return Standing(
            "working", "good", "The domain is yours, and its mail comes to us.", is_served=True
        )
    return Standing(
        "mail goes elsewhere",
        "bad",
        "The domain is yours, but the DNS does not send its mail to us.",
        is_served=True,
    )


def _without_proof(stands: DomainStanding | None, missing: datetime) -> Standing:
    deferred = missing + SERVED_WITHOUT_PROOF
    if stands is DomainStanding.SERVED:
        return Standing(
            "proof is missing",
            "bad",
            "The record that proves the domain is yours is gone from the DNS. Mail is served until "
            f"{_text(deferred)}, then put off for {_days(FADING_FOR)}, and then refused.",
            is_served=True,
        )
    if stands is DomainStanding.FADING:
        return Standing(
            "mail is put off",
            "bad",
            "The record that proves the domain is yours has been gone for too long. Mail is put "
            f"off until {_text(deferred + FADING_FOR)}, and refused from then on. Publish the "
            "record again and everything works as before.",
        )
    return Standing(
        "not served",
        "bad",
        "The record that proves the domain is yours was gone for too long, or somebody else has "
        "proved the domain. Your routes are still there; they work again once the record is found.",
    )


def _text(at: datetime) -> str:
    return f"{at:%-d %b %Y, %H:%M} UTC"


def _days(length: timedelta) -> str:
    return f"{length.days} days"
