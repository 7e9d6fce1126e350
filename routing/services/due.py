"""Whose turn it is to be looked at: by beat when due, by a person's button once a minute.

A look keeps a thread of the web process for up to five seconds, so a tenant has twelve a minute.
"""

from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import Q

from tenants.clock import database_now
from tenants.context import public_schema
from tenants.errors import TenancyError
from tenants.models import ClaimedDomain, DomainCheck
from tenants.services.powers import locked_tenant

ASKED_EVERY: Final = timedelta(minutes=1)
MOST_ASKED: Final = 12
"""Domains of one tenant that people have looked at within a minute."""
LOOKING_TAKES_AT_MOST: Final = timedelta(minutes=5)
SOON: Final = timedelta(minutes=1)


class AskedTooSoon(TenancyError):
    """Somebody pressed the button less than a minute ago."""

    def __init__(self, again_at: datetime) -> None:
        super().__init__(
            f"We looked less than a minute ago. You can ask again from {again_at:%H:%M:%S} UTC on; "
            "what was found then is below."
        )
        self.again_at = again_at


class AskedTooOften(AskedTooSoon):
    """The tenant's people had many of their domains looked at within a minute."""

    def __init__(self, again_at: datetime) -> None:
        super().__init__(again_at)
        self.args = (
            f"{MOST_ASKED} of your domains were looked at within a minute: go on in a minute. We "
            "look by ourselves, too.",
        )


def take_turn(claim: ClaimedDomain, *, is_limited: bool) -> None:
    """One look a minute by people; the statement decides, so that two at once are one.

    Raises `AskedTooSoon`, `AskedTooOften`.
    """
    with transaction.atomic(), public_schema():
        if is_limited:
            locked_tenant(claim.tenant)
        check, _ = DomainCheck.objects.get_or_create(claim_id=claim.pk)
        now = database_now()
        asked = DomainCheck.objects.filter(
            claim__tenant_id=claim.tenant_id, asked_at__gt=now - ASKED_EVERY
        ).exclude(pk=check.pk)
        if is_limited and asked.count() >= MOST_ASKED:
            raise AskedTooOften(now + ASKED_EVERY)
        turn = DomainCheck.objects.filter(pk=check.pk)
        if is_limited:
            turn = turn.filter(Q(asked_at=None) | Q(asked_at__lte=now - ASKED_EVERY))
        if not turn.update(asked_at=now, next_check_at=now + LOOKING_TAKES_AT_MOST):
            check.refresh_from_db(fields=["asked_at"])
            raise AskedTooSoon((check.asked_at or now) + ASKED_EVERY)


def lease_due(limit: int) -> list[ClaimedDomain]:
    """Domains to look at now; other processes skip them for five minutes."""
    with transaction.atomic(), public_schema():
        now = database_now()
        new = ClaimedDomain.objects.filter(check_seen=None).order_by("pk")[:limit]
        DomainCheck.objects.bulk_create(
            [DomainCheck(claim=claim, next_check_at=now) for claim in new], ignore_conflicts=True
        )
        due = list(
            DomainCheck.objects.select_for_update(skip_locked=True, of=("self",))
            .select_related("claim__tenant")
            .filter(next_check_at__lte=now)
            .order_by("next_check_at")[:limit]
        )
        DomainCheck.objects.filter(pk__in=[check.pk for check in due]).update(
            next_check_at=now + LOOKING_TAKES_AT_MOST
        )
    return [check.claim for check in due]


def look_soon(*, tenant_id: int, name: str) -> None:
    """Something changed here that the DNS should follow: look within a minute, and often again."""
    with public_schema():
        DomainCheck.objects.filter(claim__tenant_id=tenant_id, claim__name=name).update(
            next_check_at=database_now() + SOON, unchanged_looks=0
        )
