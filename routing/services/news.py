"""What the owners of a tenant are told about the proof of a domain: lost, gone for good, back.

At once, and at most one mail a day for a domain: where more happens within a day, what is true then
is told when the day is over, if it is not what they were told last.
"""

from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import transaction

from mail.errors import BadAddress
from mail.notice import account_mail
from tenants.claims import FADING_FOR, SERVED_WITHOUT_PROOF, challenge_name, challenge_text
from tenants.clock import database_now
from tenants.context import public_schema
from tenants.models import ClaimedDomain, Membership
from tenants.notices import send_notice

TOLD_EVERY: Final = timedelta(days=1)
LONGEST_SUBJECT: Final = 150

Told = ClaimedDomain.Told


def tell_owners(claim_id: int) -> bool:
    """Queue a mail to each owner if there is something they do not know; whether there was."""
    with transaction.atomic(), public_schema():
        now = database_now()
        claim = ClaimedDomain.objects.select_for_update().filter(pk=claim_id).first()
        if claim is None:
            return False
        state = _to_be_told(claim)
        if state == claim.told or not _may_tell(claim, now):
            return False
        claim.told, claim.told_at = state, now
        claim.save(update_fields=["told", "told_at"])
        subject, *paragraphs = _TEXTS[Told(state)](claim, now)
        mail_owners(claim, subject, tuple(paragraphs))
    return True


def owners_of(claim: ClaimedDomain) -> list[str]:
    """Addresses of the owners who are told of a domain."""
    owners = Membership.objects.filter(
        tenant=claim.tenant_id, role=Membership.Role.OWNER, user__is_active=True
    )
    return list(owners.order_by("user__email").values_list("user__email", flat=True))


def _to_be_told(claim: ClaimedDomain) -> str:
    """What is true of a domain that was verified once; nothing of one that never was."""
    if claim.proof == ClaimedDomain.Proof.OPERATOR or claim.proof_missing_since is None:
        return Told.NOTHING
    return Told.MISSING if claim.state == ClaimedDomain.State.VERIFIED else Told.LOST


def _may_tell(claim: ClaimedDomain, now: datetime) -> bool:
    return claim.told_at is None or now - claim.told_at >= TOLD_EVERY


def mail_owners(claim: ClaimedDomain, subject: str, paragraphs: tuple[str, ...]) -> None:
    """Queue a mail to each owner, in the current transaction.

    To the tenant's own owners: the name of their own domain is no stranger's text to them.
    """
    for address in owners_of(claim):
        try:
            notice = account_mail(
                recipient=address,
                subject=_shortened(subject),
                paragraphs=paragraphs,
                service_domain=settings.ENV.service_domain,
            )
        except BadAddress:
            continue  # an account whose name is no mailbox: staff of a test, an operator's "root"
        send_notice(notice, tenant_id=claim.tenant_id)


def _shortened(subject: str) -> str:
    """A domain has up to 253 characters, a subject 150; the text has the whole name."""
    if len(subject) <= LONGEST_SUBJECT:
        return subject
    return f"{subject[: LONGEST_SUBJECT - 3]}..."


def _missing(claim: ClaimedDomain, now: datetime) -> tuple[str, ...]:
    since = claim.proof_missing_since or now
    deferred = since + SERVED_WITHOUT_PROOF
    return (
        f"The proof of {claim.name} is missing in the DNS",
        f"The record that proves that {claim.name} is yours is not there any more. Until "
        f"{moment(deferred)} nothing changes. Then mail for the domain is put off for five days "
        f"(nothing is lost yet), and from {moment(deferred + FADING_FOR)} on it is refused.",
        "To keep the domain, publish this TXT record again:",
        challenge_name(claim.name),
        challenge_text(claim.token),
        "We look for it every 20 minutes. If you gave the domain up, you need do nothing.",
    )


def _lost(claim: ClaimedDomain, now: datetime) -> tuple[str, ...]:
    return (
        f"{claim.name} is not served any more",
        f"The proof that {claim.name} is yours was missing for too long, or somebody else has "
        "proved the domain. Mail for it is not taken for you any more. Your routes are still "
        "there; they work again as soon as this TXT record is found:",
        challenge_name(claim.name),
        challenge_text(claim.token),
    )


def _back(claim: ClaimedDomain, now: datetime) -> tuple[str, ...]:
    return (
        f"The proof of {claim.name} is back",
        f"The record that proves that {claim.name} is yours was found again. Mail for the domain "
        "is served as before; you need do nothing.",
    )


_TEXTS: Final = {Told.MISSING: _missing, Told.LOST: _lost, Told.NOTHING: _back}


def moment(at: datetime) -> str:
    """A time as it stands in mail."""
    return f"{at:%-d %B %Y, %H:%M} UTC"
