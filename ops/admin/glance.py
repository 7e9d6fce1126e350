"""A tenant at a glance: what somebody of support wants to know before he asks anything else."""

from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db.models import Count, Q
from django.db.models.functions import Now

from delivery.models import Delivery, RetentionRun, TenantUsage
from ops.admin.columns import moment
from routing.models import Destination, Route
from tenants.models import ClaimedDomain, Tenant


def of_tenant(tenant: Tenant) -> list[tuple[str, Any]]:
    """Label and value, in the tenant's schema."""
    return [
        ("Domains", _domains(tenant)),
        ("Routes", _routes()),
        ("Destinations that wait for their owner", Destination.objects.filter(_WAITS).count()),
        ("Queue", _queue(tenant)),
        ("Deliveries accepted today", _used_today(tenant)),
        ("Retention last applied", _retention(tenant)),
        ("Second factor", "required of members" if tenant.requires_second_factor else "optional"),
    ]


_WAITS = Q(confirmed_at=None, routes__isnull=False, routes__removed_at=None)


def _domains(tenant: Tenant) -> str:
    proved = Count("pk", filter=Q(state=ClaimedDomain.State.VERIFIED))
    broken = Count("pk", filter=Q(check_seen__broken_since__isnull=False))
    told = ClaimedDomain.objects.filter(tenant=tenant).aggregate(
        all=Count("pk"), proved=proved, broken=broken
    )
    text = f"{told['all']}, {told['proved']} of them proved"
    return f"{text}, mail of {told['broken']} goes elsewhere" if told["broken"] else text


def _routes() -> str:
    failing = Count("pk", filter=Q(paused_because=Route.Cause.FAILURES))
    over = Count("pk", filter=Q(expires_at__lte=Now()))
    told = Route.objects.order_by().aggregate(all=Count("pk"), failing=failing, over=over)
    parts = [str(told["all"])]
    if told["failing"]:
        parts.append(f"{told['failing']} paused after failures")
    if told["over"]:
        parts.append(f"{told['over']} expired")
    return ", ".join(parts)


def _queue(tenant: Tenant) -> str:
    state = Delivery.State
    waits = Count("pk", filter=Q(state__in=(state.QUEUED, state.IN_FLIGHT)))
    told = Delivery.objects.filter(tenant_id=tenant.pk).aggregate(
        waits=waits,
        held=Count("pk", filter=Q(state=state.HELD)),
        failed=Count("pk", filter=Q(state=state.FAILED)),
    )
    return f"{told['waits']} on their way, {told['held']} held, {told['failed']} failed"


def _used_today(tenant: Tenant) -> str:
    today = datetime.now(UTC).date()
    used = TenantUsage.objects.filter(tenant_id=tenant.pk, day=today)
    count = used.values_list("accepted", flat=True).first() or 0
    own = tenant.forward_cap
    cap = settings.ENV.forward_cap_per_day if own is None else own
    return f"{count:,} of {cap:,}"


def _retention(tenant: Tenant) -> str:
    run = RetentionRun.objects.filter(tenant_id=tenant.pk).first()
    return moment(run.finished_at) if run else "not yet"
