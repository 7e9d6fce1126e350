"""What is in a tenant's quarantine, and what may be looked at of it.

A matter of the quarantine is a message for one recipient, however many destinations he has: its
first delivery stands for all of them. Author and subject are those of the log, as far as the
tenant's policy keeps them; the content is opened for a preview alone.
"""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.db.models import CharField, Exists, OuterRef, Q, QuerySet, Subquery, TextField, Value
from django.db.models.functions import Coalesce

from delivery.content import CHUNK_OCTETS, unseal_chunk
from delivery.messagelog.models import LoggedMessage
from delivery.models import Content, Delivery
from mail.plan import Hold
from mail.preview import Preview, preview
from tenants.context import tenant_schema

MOST_PREVIEWED_OCTETS: Final = 8 * 1024 * 1024
_MOST_CHUNKS: Final = MOST_PREVIEWED_OCTETS // CHUNK_OCTETS


@dataclass(frozen=True, slots=True)
class Quarantined:
    """What stands in a filter: each is part of what it is about."""

    reason: str = ""
    recipient: str = ""
    author: str = ""


def in_quarantine(tenant_id: int) -> QuerySet[Delivery]:
    """Every delivery that is kept in the tenant's quarantine."""
    return Delivery.objects.filter(
        tenant_id=tenant_id, state=Delivery.State.HELD, hold=Hold.QUARANTINE
    )


def matters(tenant_id: int, wanted: Quarantined | None = None) -> QuerySet[Any]:
    """One row a matter, with `author`, `subject` and `reverse_path`; of the schema that is open."""
    rows = in_quarantine(tenant_id)
    earlier = rows.filter(
        message_id=OuterRef("message_id"), recipient=OuterRef("recipient"), pk__lt=OuterRef("pk")
    )
    logged = LoggedMessage.objects.filter(trace_id=OuterRef("message_id"))
    found = (
        rows.filter(~Exists(earlier))
        .select_related("message")
        .annotate(
            author=_said(logged, "author", CharField()),
            subject=_said(logged, "subject", TextField()),
        )
    )
    return found if wanted is None else _narrowed(found, wanted)


def _said(logged: QuerySet[LoggedMessage], name: str, kind: Any) -> Any:
    return Coalesce(Subquery(logged.values(name)[:1]), Value(""), output_field=kind)


def _narrowed(rows: QuerySet[Any], wanted: Quarantined) -> QuerySet[Any]:
    if wanted.reason:
        rows = rows.filter(hold_reason__icontains=wanted.reason)
    if wanted.recipient:
        rows = rows.filter(recipient__icontains=wanted.recipient)
    if wanted.author:
        of_path = Q(message__reverse_path__icontains=wanted.author)
        rows = rows.filter(Q(author__icontains=wanted.author) | of_path)
    return rows


def matter(tenant_id: int, delivery_id: int) -> Any:
    """One of them by the id of its first delivery; None where there is none, or not any more."""
    return matters(tenant_id).filter(pk=delivery_id).first()


def ids_of(tenant_id: int, delivery_ids: tuple[int, ...]) -> dict[UUID, tuple[int, ...]]:
    """The deliveries that these matters stand for, by message."""
    firsts = in_quarantine(tenant_id).filter(pk__in=delivery_ids)
    pairs = set(firsts.values_list("message_id", "recipient"))
    rows = in_quarantine(tenant_id).filter(message_id__in={message for message, _ in pairs})
    found: dict[UUID, tuple[int, ...]] = {}
    for pk, message, recipient in rows.order_by("pk").values_list("pk", "message_id", "recipient"):
        if (message, recipient) in pairs:
            found[message] = (*found.get(message, ()), pk)
    return found


def preview_of(trace_id: UUID, chunk_count: int, *, tenant_id: int) -> Preview | None:
    """Its fields, plain text and names of attachments; None where the content is gone.

    Raises `VaultError` where it does not open.
    """
    with tenant_schema(tenant_id):
        rows = Content.objects.filter(message_id=trace_id, tenant_id=tenant_id)
        sealed = list(rows.order_by("number").values_list("octets", flat=True)[:_MOST_CHUNKS])
    if not sealed:
        return None
    clear = (
        unseal_chunk(bytes(one), tenant_id=tenant_id, message_id=trace_id, number=number)
        for number, one in enumerate(sealed)
    )
    return preview(b"".join(clear), is_whole=len(sealed) == chunk_count)
