"""The rows of opaque SRS addresses, from the database."""

from delivery.models import OpaquePath
from mail.opaque import OpaqueRow
from smtp_edge.database_threads import DatabaseThreads


class ReturnPaths:
    """Asks in these threads."""

    def __init__(self, threads: DatabaseThreads) -> None:
        self._threads = threads

    async def find(self, row_id: bytes) -> OpaqueRow | None:
        return await self._threads.run(_opaque_row, row_id)


def _opaque_row(row_id: bytes) -> OpaqueRow | None:
    row = OpaquePath.objects.filter(row_id=row_id).first()
    return OpaqueRow(bytes(row.row_id), bytes(row.sealed), row.expires_on) if row else None
