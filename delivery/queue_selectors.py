"""How the queue stands: the figures of `manage.py queue status`, of the metrics and of alerts."""

from dataclasses import dataclass

from django.db import connection

# One pass over a table that holds what is not finished yet: small unless something is wrong.
_STATUS = """
    SELECT count(*) FILTER (WHERE state = 0 AND NOT (attempts > 0 AND later)),
           count(*) FILTER (WHERE state = 0 AND attempts > 0 AND later),
           count(*) FILTER (WHERE state = 1),
           count(*) FILTER (WHERE state = 2),
           count(*) FILTER (WHERE state = 3)
    FROM (SELECT state, attempts, next_attempt_at > (SELECT clock_timestamp()) AS later
          FROM public.delivery_delivery) AS rows
"""
# Trace ids begin with their time, so the lowest is the oldest and its index gives it at once.
_OLDEST = """
    SELECT extract(epoch FROM clock_timestamp() - accepted_at)::float
    FROM public.delivery_message WHERE id = (
        SELECT message_id FROM public.delivery_delivery WHERE state < 3 ORDER BY message_id LIMIT 1)
"""


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
        cursor.execute(_STATUS)
        counts = cursor.fetchone()
        cursor.execute(_OLDEST)
        return QueueStatus(*counts, oldest_age_seconds=_age(cursor.fetchone()))


def _age(row: tuple[float] | None) -> float:
    return round(max(0.0, row[0]), 3) if row else 0.0
