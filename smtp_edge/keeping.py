"""Keeps messages in the queue: the committer for whole ones, the storing thread for pieces."""

from collections.abc import Sequence
from uuid import UUID

from django.db import DatabaseError

from delivery.acceptance import KeptMessage
from smtp_edge.committer import Committer
from smtp_edge.database_threads import DatabaseThreads
from smtp_edge.ports import PieceOfMessage, ServiceAway
from smtp_edge.store import discard_pieces, store_pieces


class QueueKeeper:
    def __init__(self, committer: Committer, storing: DatabaseThreads) -> None:
        self._committer = committer
        self._storing = storing

    async def keep(self, messages: Sequence[KeptMessage]) -> None:
        await self._committer.keep(messages)

    async def store(self, pieces: Sequence[PieceOfMessage]) -> None:
        try:
            await self._storing.run(store_pieces, pieces)
        except DatabaseError as error:
            raise ServiceAway("a piece could not be stored") from error

    def discard(self, trace_ids: Sequence[UUID]) -> None:
        if trace_ids:
            self._storing.post(discard_pieces, tuple(trace_ids))
