"""What a tenant does to his own mail in the queue; each change is written into his audit.

Where an operator stopped the tenant's mail, nothing is sent that he may have held: `NotAllowed`.
What the operator holds himself, or what killed workers, stays held.

The audit names messages by their trace ids: it lives longer than addresses may.
"""

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

from django.db import transaction

from delivery import bell, queue_services
from delivery.models import Delivery
from delivery.queue_services import OF_THE_TENANT, Selection
from mail.plan import Hold
from mail.trace import format_trace_id
from tenants.audit import Actor, record_in_tenant
from tenants.context import public_schema, tenant_schema
from tenants.errors import NotAllowed
from tenants.models import Tenant

A_MEMBER = "a member of the tenant"


def retry(*, tenant_id: int, trace_id: UUID, actor: Actor) -> int:
    """Make what waits of a message, or failed while its content is there, due now."""
    require_own_mail_flows(tenant_id)
    return _act("retry", tenant_id, trace_id, actor, _retry)


def hold(*, tenant_id: int, trace_id: UUID, actor: Actor) -> int:
    """Keep what waits of a message until it is released."""
    return _act("hold", tenant_id, trace_id, actor, _hold)


def release(*, tenant_id: int, trace_id: UUID, actor: Actor) -> int:
    """Put what a member, a route or the quarantine holds of a message back, due now.

    Raises `NotAllowed` where the rest of it is the operator's to release.
    """
    require_own_mail_flows(tenant_id)
    count = _act("release", tenant_id, trace_id, actor, _release)
    if not count and _is_held(tenant_id, trace_id):
        raise NotAllowed("The operator holds this message, and only he can let it go.")
    return count


def cancel(*, tenant_id: int, trace_id: UUID, actor: Actor) -> int:
    """Take what is left of a message out of the queue for good; no DSN tells the author."""
    return _act("delete", tenant_id, trace_id, actor, _delete)


def retry_host(*, tenant_id: int, next_hop: str, actor: Actor) -> int:
    """Make everything due now that waits for a next hop; gives how many deliveries."""
    require_own_mail_flows(tenant_id)
    selection = Selection(
        tenant_id=tenant_id, next_hop=next_hop, states=(queue_services.State.QUEUED,)
    )
    with tenant_schema(tenant_id):
        count = _retry(selection)
        if count:
            new = {"deliveries": count}
            record_in_tenant("queue.retry", next_hop or "not tried yet", actor=actor, new=new)
    return count


def note_download(*, tenant_id: int, trace_id: UUID, actor: Actor) -> None:
    """Somebody reads the content of a message."""
    with tenant_schema(tenant_id):
        record_in_tenant("message.downloaded", format_trace_id(trace_id), actor=actor)


def own_mail_flows(tenant_id: int) -> bool:
    """Whether what a tenant holds may be sent: no operator stopped his mail."""
    with public_schema():
        tenant = Tenant.objects.filter(pk=tenant_id).first()
    return tenant is not None and (
        tenant.standing == Tenant.Standing.ACTIVE or tenant.paused_by_owner
    )


def require_own_mail_flows(tenant_id: int) -> None:
    """Raise `NotAllowed` where an operator stopped the tenant's mail."""
    if not own_mail_flows(tenant_id):
        raise NotAllowed("The operator stopped this mail, and only he can let it flow again.")


def _act(
    name: str, tenant_id: int, trace_id: UUID, actor: Actor, act: Callable[[Selection], int]
) -> int:
    with transaction.atomic(), tenant_schema(tenant_id):
        count = act(Selection(tenant_id=tenant_id, trace_id=trace_id))
        if count:
            subject, new = format_trace_id(trace_id), {"deliveries": count}
            record_in_tenant(f"queue.{name}", subject, actor=actor, new=new)
    return count


def _retry(selection: Selection) -> int:
    return queue_services.retry(selection, ring=bell.ring, by=A_MEMBER)


def _hold(selection: Selection) -> int:
    return queue_services.hold(selection, by=A_MEMBER, holder=Hold.TENANT)


def _release(selection: Selection) -> int:
    own = replace(selection, holds=OF_THE_TENANT)
    return queue_services.release(own, ring=bell.ring, by=A_MEMBER)


def _is_held(tenant_id: int, trace_id: UUID) -> bool:
    with tenant_schema(tenant_id):
        held = Delivery.objects.filter(tenant_id=tenant_id, state=Delivery.State.HELD)
        return held.filter(message_id=trace_id).exists()


def _delete(selection: Selection) -> int:
    return queue_services.delete(selection, by=A_MEMBER)
