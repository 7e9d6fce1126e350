"""What may be claimed, how a claim is proved, and where a proved domain stands with us.

Pure rules with their settings as arguments; tenants/services/claims.py writes.

| after the proof was last seen | standing | RCPT answers |
|---|---|---|
| found, unknown, or missing up to 72 hours | SERVED | as its routes say |
| missing for more than 72 hours | FADING | 450 |
| missing for five days more | none: as if never claimed | 550 |

Only NXDOMAIN and "no data" count as missing; SERVFAIL and silence never change anything.
"""

import secrets
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from publicsuffixlist import PublicSuffixList

from mail.address import canonical_domain, is_within
from mail.errors import BadDomain
from mail.facts import DomainStanding
from tenants.errors import NotClaimable
from tenants.models import ClaimedDomain

CHALLENGE_LABEL: Final = "_mxax-challenge"
PROOF_TAG: Final = "mxax-verify="
TOKEN_OCTETS: Final = 20

SERVED_WITHOUT_PROOF: Final = timedelta(hours=72)
FADING_FOR: Final = timedelta(days=5)

FIRST_CHECK_AFTER: Final = timedelta(minutes=1)
PENDING_CHECKED_FOR: Final = timedelta(days=30)
VERIFIED_CHECKED_EVERY: Final = timedelta(hours=1)
MISSING_CHECKED_EVERY: Final = timedelta(minutes=20)
LONGEST_WAIT: Final = timedelta(hours=12)


def claimable_name(text: str, *, own_names: tuple[str, ...], by_operator: bool) -> str:
    """The A-label of a domain that may be claimed. Raises `NotClaimable` with the reason.

    `own_names`: service and forward domain. `by_operator`: the organisational domain above them may
    be claimed too, by an operator's word only.
    """
    name = _mail_domain(text)
    if any(is_within(name, own) for own in own_names):
        raise NotClaimable(f"{name} belongs to the service itself and cannot be claimed.")
    if is_public_suffix(name):
        raise NotClaimable(
            f"{name} is a public suffix, where anybody registers names: claim a domain below it."
        )
    if any(own.endswith(f".{name}") for own in own_names) and not by_operator:
        raise NotClaimable(
            f"{name} is above the service's own names: only an operator can add it "
            "(`manage.py domain add … --verified`)."
        )
    return name


def _mail_domain(text: str) -> str:
    try:
        name = canonical_domain(text.strip(" "))
    except BadDomain as error:
        raise NotClaimable(f"This is not a mail domain: {error}.") from None
    if "." not in name:
        raise NotClaimable("A mail domain has a dot in it (for example example.org).")
    if len(f"{CHALLENGE_LABEL}.{name}") > 253:
        raise NotClaimable("The domain is too long to be proved: choose a shorter one.")
    return name


def is_public_suffix(name: str) -> bool:
    """Whether names below it are registered by the public (also under an unknown top level)."""
    return _suffixes().publicsuffix(name) == name


def organisational_domain(name: str) -> str:
    """The registered domain that a name is in; the name itself where none is known."""
    return _suffixes().privatesuffix(name) or name


@lru_cache(maxsize=1)
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()


def new_token() -> str:
    """160 random bits, new for each claim: an old record proves nothing."""
    return secrets.token_hex(TOKEN_OCTETS)


def challenge_name(domain: str) -> str:
    """Where the proof is published."""
    return f"{CHALLENGE_LABEL}.{domain}"


def challenge_text(token: str) -> str:
    """The whole TXT string that proves a claim."""
    return PROOF_TAG + token


def standing_of(claim: ClaimedDomain, now: datetime) -> DomainStanding | None:
    """Where the domain stands; None for a name that we answer as if it were never claimed."""
    missing_for = _missing_for(claim, now)
    if missing_for is not None and missing_for > SERVED_WITHOUT_PROOF + FADING_FOR:
        return None
    if claim.state != ClaimedDomain.State.VERIFIED:
        return DomainStanding.PENDING
    if missing_for is not None and missing_for > SERVED_WITHOUT_PROOF:
        return DomainStanding.FADING
    return DomainStanding.SERVED


def may_be_superseded(claim: ClaimedDomain, now: datetime) -> bool:
    """Whether a verified domain that lost its proof goes to whoever proves it now."""
    missing_for = _missing_for(claim, now)
    return missing_for is not None and missing_for > SERVED_WITHOUT_PROOF


def _missing_for(claim: ClaimedDomain, now: datetime) -> timedelta | None:
    """How long the proof has been missing; an operator's word needs none."""
    if claim.proof == ClaimedDomain.Proof.OPERATOR or claim.proof_missing_since is None:
        return None
    return now - claim.proof_missing_since


def next_check(claim: ClaimedDomain, now: datetime) -> datetime | None:
    """When to look for the proof again; None: not any more, unless someone asks."""
    if claim.proof == ClaimedDomain.Proof.OPERATOR:
        return None
    if claim.state == ClaimedDomain.State.VERIFIED:
        missing = claim.proof_missing_since is not None
        return now + (MISSING_CHECKED_EVERY if missing else VERIFIED_CHECKED_EVERY)
    age = now - max(claim.claimed_at, claim.proof_missing_since or claim.claimed_at)
    if age > PENDING_CHECKED_FOR:
        return None
    return now + min(max(age / 4, FIRST_CHECK_AFTER), LONGEST_WAIT)
