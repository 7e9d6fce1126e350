"""What owners are told when mail for a working domain comes to us no more, and when it does again.

At most one mail a day for a domain, news of its proof (routing/services/news.py) counted: while the
proof is missing the owners know already that something is wrong with the zone, and hear of that.
"""

from datetime import datetime
from typing import Final

from django.db import transaction

from routing.records.report import from_json
from routing.records.values import Kind
from routing.services.news import TOLD_EVERY, mail_owners, moment
from tenants.clock import database_now
from tenants.context import public_schema
from tenants.models import ClaimedDomain, DomainCheck

Told = DomainCheck.Told
State = ClaimedDomain.State


def tell_of_records(claim_id: int) -> bool:
    """Queue a mail to each owner if there is something they do not know; whether there was."""
    with transaction.atomic(), public_schema():
        now = database_now()
        checks = DomainCheck.objects.select_for_update(of=("self",)).select_related("claim")
        check = checks.filter(claim_id=claim_id).first()
        if check is None:
            return False
        state = _to_be_told(check)
        if state == check.told or not _may_tell(check, now):
            return False
        check.told, check.told_at = state, now
        check.save(update_fields=["told", "told_at"])
        subject, *paragraphs = _TEXTS[Told(state)](check)
        mail_owners(check.claim, subject, tuple(paragraphs))
    return True


def _to_be_told(check: DomainCheck) -> str:
    """What is true of a domain that is served; of any other its proof is what matters."""
    claim = check.claim
    if claim.state != State.VERIFIED or claim.proof_missing_since is not None:
        return check.told
    return Told.BROKEN if check.broken_since else Told.NOTHING


def _may_tell(check: DomainCheck, now: datetime) -> bool:
    told = [at for at in (check.told_at, check.claim.told_at) if at is not None]
    return not told or now - max(told) >= TOLD_EVERY


def _broken(check: DomainCheck) -> tuple[str, ...]:
    name = check.claim.name
    since = f" since {moment(check.broken_since)}" if check.broken_since else ""
    rows = [row for row in map(from_json, check.report) if row.kind is Kind.MX]
    seen = "".join(f" What we saw: {row.text}" for row in rows)
    cure = "To get it back, publish this record and take other MX records of the name out:"
    wanted = (cure, *(f"{name}. MX {row.value}" for row in rows)) if rows else ()
    return (
        f"Mail for {name} does not come to us any more",
        f"The DNS sends mail for {name} elsewhere{since}.{seen}",
        *wanted,
        "We look again every few minutes at first, then every hour. If you moved the domain away, "
        "you need do nothing; you can remove it from your account.",
    )


def _works(check: DomainCheck) -> tuple[str, ...]:
    name = check.claim.name
    return (
        f"Mail for {name} comes to us again",
        f"The MX record of {name} leads to us again. You need do nothing.",
    )


_TEXTS: Final = {Told.BROKEN: _broken, Told.NOTHING: _works}
