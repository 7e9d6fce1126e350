"""Support grants: one member of staff may look into one tenant, for an hour at most.

Opening and ending are written to the tenant's audit as well as the platform's: the tenant sees who
looked, why, and until when. Row-level security reads the same rows (tenants/isolation.py).
"""

from datetime import timedelta
from typing import Any

import structlog
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from tenants.audit import Actor, record_in_tenant, record_platform
from tenants.clock import database_now
from tenants.context import public_schema, tenant_schema
from tenants.errors import TenancyError
from tenants.models import LONGEST_GRANT, SupportGrant, Tenant, User

log = structlog.get_logger()


class GrantRefused(TenancyError):
    """The grant cannot be opened; the text says why."""


def active_grant(*, staff_id: int, tenant_id: int) -> SupportGrant | None:
    """The grant under which a member of staff may open a tenant now."""
    with public_schema():
        return (
            _active()
            .filter(staff_id=staff_id, tenant_id=tenant_id)
            .select_related("tenant")
            .order_by("-ends_at")
            .first()
        )


def active_grants(*, staff_id: int) -> list[SupportGrant]:
    """All tenants that a member of staff may open now, the one that ends first in front."""
    with public_schema():
        return list(
            _active().filter(staff_id=staff_id).select_related("tenant").order_by("ends_at")
        )


def granted_tenants(*, staff_id: int) -> QuerySet[SupportGrant, Any]:
    """The ids of those tenants, for use inside another query."""
    return _active().filter(staff_id=staff_id).order_by().values("tenant_id")


def _active() -> QuerySet[SupportGrant]:
    return SupportGrant.objects.filter(
        starts_at__lte=Now(), ends_at__gt=Now(), revoked_at__isnull=True
    )


def open_grant(
    *,
    tenant: Tenant,
    staff: User,
    reason: str,
    actor: Actor | str,
    lasts: timedelta = LONGEST_GRANT,
) -> SupportGrant:
    """Let `staff` into the tenant from now on. Raises `GrantRefused`."""
    reason = " ".join(reason.split())
    if not (staff.is_active and staff.is_staff):
        raise GrantRefused(f"{staff.email} is not a member of staff.")
    if not reason:
        raise GrantRefused("Say why: the tenant reads the reason in his audit.")
    if not timedelta(0) < lasts <= LONGEST_GRANT:
        raise GrantRefused("A grant lasts one hour at most.")
    with transaction.atomic(), public_schema():
        now = database_now()
        grant = SupportGrant(tenant=tenant, staff=staff, reason=reason[:500])
        grant.starts_at, grant.ends_at = now, now + lasts
        grant.full_clean()
        grant.save(force_insert=True)
        _record("support.opened", grant, actor)
    log.info("support.opened", tenant_id=tenant.pk, staff_id=staff.pk, grant_id=grant.pk)
    return grant


def end_grants(*, tenant: Tenant, staff: User, actor: Actor | str) -> int:
    """End every active grant of `staff` for the tenant; gives how many there were."""
    with transaction.atomic(), public_schema():
        now = database_now()
        grants = list(_active().select_for_update().filter(tenant=tenant, staff=staff))
        for grant in grants:
            grant.revoked_at = now
            grant.save(update_fields=["revoked_at"])
            _record("support.ended", grant, actor)
    return len(grants)


def _record(action: str, grant: SupportGrant, actor: Actor | str) -> None:
    """The tenant's chain first, as everywhere."""
    new = {"reason": grant.reason, "until": grant.revoked_at or grant.ends_at}
    slug, staff = grant.tenant.slug, grant.staff.email
    with tenant_schema(grant.tenant_id):
        record_in_tenant(action, staff, actor=actor, new=new)
    record_platform(action, slug, actor=actor, tenant_slug=slug, new={"staff": staff, **new})
