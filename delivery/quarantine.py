"""What a member does with the quarantine of his tenant; each change is written into the audit.

| action | then |
|---|---|
| release | it is sent, as planned when it came; once |
| delete | it is gone for good, and its author hears nothing |
| look | nothing changes; the audit says who read it |

What an operator took over, what was decided a moment before and what is past its time count as not
there. Where an operator stopped the tenant's mail nothing is released: `NotAllowed`.
"""

from collections.abc import Callable, Iterable
from functools import partial
from uuid import UUID

from django.db import transaction

from delivery import bell, queue_services
from delivery.quarantine_selectors import ids_of, preview_of
from delivery.queue_services import Selection
from delivery.tenant_queue import A_MEMBER, require_own_mail_flows
from mail.plan import Hold
from mail.preview import Preview
from mail.trace import format_trace_id
from tenants.audit import Actor, record_in_tenant
from tenants.context import tenant_schema


def release(*, tenant_id: int, delivery_ids: Iterable[int], actor: Actor) -> int:
    """Send what these matters stand for; gives how many messages. Raises `NotAllowed`."""
    require_own_mail_flows(tenant_id)
    act = partial(queue_services.release, ring=bell.ring, by=A_MEMBER)
    return _each_message("quarantine.released", tenant_id, delivery_ids, actor, act)


def delete(*, tenant_id: int, delivery_ids: Iterable[int], actor: Actor) -> int:
    """Take them out for good; gives how many messages."""
    act = partial(queue_services.delete, by=A_MEMBER)
    return _each_message("quarantine.deleted", tenant_id, delivery_ids, actor, act)


def look(*, tenant_id: int, trace_id: UUID, chunk_count: int, actor: Actor) -> Preview | None:
    """Open the content for somebody who reads it, and write down that he did.

    None where it is gone; raises `VaultError` where it does not open.
    """
    with transaction.atomic(), tenant_schema(tenant_id):
        found = preview_of(trace_id, chunk_count, tenant_id=tenant_id)
        if found is not None:
            record_in_tenant("quarantine.read", format_trace_id(trace_id), actor=actor)
    return found


def _each_message(
    action: str,
    tenant_id: int,
    delivery_ids: Iterable[int],
    actor: Actor,
    act: Callable[[Selection], int],
) -> int:
    with transaction.atomic(), tenant_schema(tenant_id):
        done = {
            trace_id: act(Selection(tenant_id=tenant_id, ids=ids, holds=(Hold.QUARANTINE,)))
            for trace_id, ids in ids_of(tenant_id, tuple(delivery_ids)).items()
        }
        acted = {trace_id: count for trace_id, count in done.items() if count}
        # Last: who holds the audit and still wants a message waits for who has it and wants both.
        for trace_id, count in acted.items():
            new = {"deliveries": count}
            record_in_tenant(action, format_trace_id(trace_id), actor=actor, new=new)
    return len(acted)
