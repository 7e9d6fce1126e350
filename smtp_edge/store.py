"""The edge's side of the queue: what the committer's thread and the storing thread do there."""

import time
from collections.abc import Callable, Sequence
from uuid import UUID

import structlog
from django.db import InterfaceError, OperationalError, connection

from delivery import acceptance, one_call
from delivery.acceptance import KeptMessage
from smtp_edge.lifeline import Lifeline
from smtp_edge.ports import PieceOfMessage

log = structlog.get_logger()

AWAY = (OperationalError, InterfaceError)
RETRY_DOUBTS_SECONDS = 0.5
_LONGEST_DOUBT = 120.0


class OutcomeUnknown(Exception):
    """The COMMIT was sent and no answer came: it may have happened."""

    def __init__(self, backend: int) -> None:
        super().__init__("the outcome of a COMMIT is unknown")
        self.backend = backend


class MessageStore:
    """One thread's way into the queue; only `cut` may be called by others."""

    def __init__(self) -> None:
        self._lifeline = Lifeline()
        self._doubtful: list[tuple[float, int, tuple[UUID, ...]]] = []
        self._resolved_at = 0.0

    def keep(self, messages: Sequence[KeptMessage], before_commit: Callable[[], None]) -> int:
        """Insert and commit; `before_commit` may still refuse by raising. Gives the backend's pid.

        Raises `OutcomeUnknown` when the connection broke in COMMIT, else what the database raised.
        """
        self._lifeline.tie()
        backend: int = connection.connection.info.backend_pid
        committing = False
        try:
            with one_call.transaction():
                self.insert(messages)
                before_commit()
                committing = True
        except AWAY as error:
            if committing:
                raise OutcomeUnknown(backend) from error
            raise
        return backend

    def insert(self, messages: Sequence[KeptMessage]) -> None:
        acceptance.insert_in_one_call(messages)

    def cut(self) -> None:
        """End the connection, from any thread: what was not committed will not be."""
        self._lifeline.cut()

    def let_go(self) -> None:
        """Close the connection; the next call makes a new one."""
        self._lifeline.untie()

    def doubt(self, backend: int, trace_ids: Sequence[UUID]) -> None:
        """Messages that may be in the queue although their clients were told to try again."""
        self._doubtful.append((time.monotonic(), backend, tuple(trace_ids)))

    @property
    def doubts(self) -> bool:
        return bool(self._doubtful)

    def resolve_doubts(self) -> None:
        """Withdraw doubtful messages once the backend that may commit them is gone.

        Does nothing when it was asked a moment ago.
        """
        if time.monotonic() - self._resolved_at < RETRY_DOUBTS_SECONDS:
            return
        self._resolved_at = time.monotonic()
        try:
            self._lifeline.tie()
            alive = self._backends_alive()
            for doubtful in list(self._doubtful):
                since, backend, trace_ids = doubtful
                if backend in alive and time.monotonic() - since < _LONGEST_DOUBT:
                    continue
                withdrawn = acceptance.withdraw(trace_ids)
                self._doubtful.remove(doubtful)
                log.warning("mail.withdrawn", asked=len(trace_ids), withdrawn=len(withdrawn))
        except AWAY:
            self.let_go()

    def _backends_alive(self) -> set[int]:
        backends = [backend for _, backend, _ in self._doubtful]
        with connection.cursor() as cursor:
            cursor.execute("SELECT pid FROM pg_stat_activity WHERE pid = ANY(%s)", [backends])
            return {row[0] for row in cursor.fetchall()}


def store_pieces(pieces: Sequence[PieceOfMessage]) -> None:
    for piece in pieces:
        acceptance.store_chunk(piece.trace_id, piece.tenant_id, piece.number, piece.octets)


def discard_pieces(trace_ids: Sequence[UUID]) -> None:
    acceptance.withdraw(trace_ids)
