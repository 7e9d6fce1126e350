"""What owners are told when mail for a working domain comes to us no more, and when it does again;
and when the records of keys that sign its mail vanish.

At most one mail a day for a domain, news of its proof (routing/services/news.py) counted: while the
proof is missing the owners know already that something is wrong with the zone, and hear of that.
"""

from datetime import datetime
from typing import Final

from django.db import transaction

from routing.models import DkimKey
from routing.records.report import Row, from_json
from routing.records.values import Kind, Verdict
from routing.services.news import TOLD_EVERY, mail_owners, moment
from tenants.clock import database_now
from tenants.context import public_schema, tenant_schema
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
        subject, *paragraphs = _text(check, state)
        check.told, check.told_at = state, now
        check.save(update_fields=["told", "told_at"])
        mail_owners(check.claim, subject, tuple(paragraphs))
    return True


def _to_be_told(check: DomainCheck) -> str:
    """What is true of a domain that is served; of any other its proof is what matters."""
    claim = check.claim
    if claim.state != State.VERIFIED or claim.proof_missing_since is not None:
        return check.told
    if check.broken_since:
        return Told.BROKEN
    verdicts = {row.verdict for row in _rows_of_keys(check)}
    if verdicts & _GONE:
        return Told.KEYS_GONE
    is_sure = verdicts <= {Verdict.RIGHT}
    return Told.NOTHING if is_sure or check.told != Told.KEYS_GONE else Told.KEYS_GONE


def _rows_of_keys(check: DomainCheck) -> list[Row]:
    """What the last look said of the keys that sign now; new ones may wait for their record."""
    claim = check.claim
    with tenant_schema(claim.tenant_id):
        active = DkimKey.objects.filter(domain__name=claim.name, state=DkimKey.State.ACTIVE)
        names = {
            f"{selector}._domainkey.{claim.name}"
            for selector in active.values_list("selector", flat=True)
        }
    return [row for row in map(from_json, check.report) if row.name in names]


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


def _keys_gone(check: DomainCheck) -> tuple[str, ...]:
    name = check.claim.name
    rows = [row for row in _rows_of_keys(check) if row.verdict in _GONE]
    return (
        f"Signature keys of {name} are not in the DNS any more",
        f"We sign mail from {name} with keys whose records were in the DNS and are not there as "
        "they should be. Receivers cannot check these signatures, and may refuse the mail.",
        "Publish these TXT records again, or make new keys in your account:",
        *(f"{row.name}. TXT {row.value} What we saw: {row.text}" for row in rows),
        "Mail that comes in for the domain is not concerned.",
    )


def _keys_are_back(check: DomainCheck) -> tuple[str, ...]:
    name = check.claim.name
    return (
        f"No signature key of {name} is missing in the DNS any more",
        f"All keys that sign mail from {name} have their records. You need do nothing.",
    )


def _text(check: DomainCheck, state: str) -> tuple[str, ...]:
    """What is news for somebody who was told `check.told`."""
    if state == Told.BROKEN:
        return _broken(check)
    if state == Told.KEYS_GONE:
        return _keys_gone(check)
    return _keys_are_back(check) if check.told == Told.KEYS_GONE else _works(check)


_GONE: Final = frozenset({Verdict.MISSING, Verdict.WRONG, Verdict.SEVERAL})
