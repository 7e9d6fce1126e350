"""Content of mail that failed: whether it is there, whether it may be read, and its octets."""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Exists, OuterRef

from delivery.content import unseal_chunk
from delivery.models import Content, Delivery, Message
from mail.facts import LogLevel
from tenants.context import tenant_schema


@dataclass(frozen=True, slots=True)
class FailedContent:
    """One message's content. `may_be_read`: it was accepted under a policy that keeps content.

    Other content is there for a while to be sent again, not to be read.
    """

    tenant_id: int
    trace_id: UUID
    chunk_count: int
    may_be_read: bool

    def octets(self) -> Iterator[bytes]:
        """The message as we stored it, piece by piece; raises `VaultError` where none opens.

        Opens the tenant's schema for each piece by itself: whoever reads may take his time.
        """
        for number in range(self.chunk_count):
            with tenant_schema(self.tenant_id):
                row = Content.objects.get(message_id=self.trace_id, number=number)
            yield unseal_chunk(
                bytes(row.octets),
                tenant_id=self.tenant_id,
                message_id=self.trace_id,
                number=number,
            )


def failed_content(trace_id: UUID, tenant_id: int) -> FailedContent | None:
    """The content of a message with a delivery that failed, while it is there."""
    failed = Delivery.objects.filter(message_id=OuterRef("pk"), state=Delivery.State.FAILED)
    first = Content.objects.filter(message_id=OuterRef("pk"), number=0)
    rows = Message.objects.filter(Exists(failed), Exists(first), pk=trace_id, tenant_id=tenant_id)
    row = rows.values_list("chunk_count", "log_level").first()
    if row is None:
        return None
    return FailedContent(tenant_id, trace_id, row[0], row[1] >= LogLevel.CONTENT)
