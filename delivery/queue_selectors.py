"""How the queue stands: the figures of `manage.py queue status`, of the metrics and of alerts."""

from dataclasses import dataclass

from django.db import connection

from delivery.queue_figures import OLDEST, STATUS


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """Deliveries by state. Deferred ones were tried before and are due later.

    `oldest_age_seconds` is the age of the oldest message that has not failed, 0 for an empty queue.
    """

    queued: int
    deferred: int
    in_flight: int
    held: int
    failed: int
    oldest_age_seconds: float


def queue_status() -> QueueStatus:
    with connection.cursor() as cursor:
        cursor.execute(STATUS)
        queued, deferred, in_flight, held, failed = cursor.fetchone()
        cursor.execute(OLDEST)
        age = _age(cursor.fetchone())
    return QueueStatus(queued, deferred, in_flight, held, failed, age)


def _age(row: tuple[float] | None) -> float:
    return round(max(0.0, row[0]), 3) if row else 0.0
