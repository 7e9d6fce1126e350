"""Content that a tenant's policy keeps of mail that failed: whether it is there, and its octets."""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Exists, OuterRef

from delivery.content import unseal_chunk
from delivery.models import Content, Delivery, Message
from mail.facts import LogLevel
from tenants.context import tenant_schema


@dataclass(frozen=True, slots=True)
class KeptContent:
    """One message's content; `octets` opens the tenant's schema for each piece by itself."""

    tenant_id: int
    trace_id: UUID
    chunk_count: int

    def octets(self) -> Iterator[bytes]:
        """The message as we stored it, piece by piece; raises `VaultError` where one is gone."""
        for number in range(self.chunk_count):
            with tenant_schema(self.tenant_id):
                row = Content.objects.get(message_id=self.trace_id, number=number)
            yield unseal_chunk(
                bytes(row.octets),
                tenant_id=self.tenant_id,
                message_id=self.trace_id,
                number=number,
            )


def kept_content(trace_id: UUID, tenant_id: int) -> KeptContent | None:
    """The content of a message that failed, if it was accepted under a policy that keeps it.

    What waits in the queue is there to be sent, not to be read.
    """
    failed = Delivery.objects.filter(message_id=OuterRef("pk"), state=Delivery.State.FAILED)
    first = Content.objects.filter(message_id=OuterRef("pk"), number=0)
    kept = Message.objects.filter(
        Exists(failed),
        Exists(first),
        pk=trace_id,
        tenant_id=tenant_id,
        log_level__gte=LogLevel.CONTENT,
    )
    row = kept.values_list("chunk_count", flat=True).first()
    return None if row is None else KeptContent(tenant_id, trace_id, row)


def has_content(trace_id: UUID) -> bool:
    """Whether a message of the open tenant could still be sent."""
    return Content.objects.filter(message_id=trace_id, number=0).exists()
