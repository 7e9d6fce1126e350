"""How the queue stands: the figures of `manage.py queue status`, of the metrics and of alerts."""

from dataclasses import dataclass
from datetime import datetime

from django.db import connection
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from delivery.models import Delivery
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


MOST_COUNTED = 10_000
_HOSTS = """
    SELECT next_hop, count(*), min(next_attempt_at), (array_agg(last_reply ORDER BY id DESC))[1]
    FROM (SELECT * FROM public.delivery_delivery
          WHERE tenant_id = %s AND state IN (0, 1) AND state = 0
          ORDER BY next_attempt_at LIMIT %s) AS waiting
    GROUP BY next_hop ORDER BY count(*) DESC, next_hop LIMIT 20
"""


@dataclass(frozen=True, slots=True)
class HostWaiting:
    """What waits for one next hop; `next_hop` is "" for mail that was not tried yet."""

    next_hop: str
    deliveries: int
    next_attempt_at: datetime
    last_reply: str


def hosts_waited_for(tenant_id: int) -> list[HostWaiting]:
    """The next hops that most of a tenant's mail waits for, of the 10,000 that are due first."""
    with connection.cursor() as cursor:
        cursor.execute(_HOSTS, [tenant_id, MOST_COUNTED])
        return [HostWaiting(*row) for row in cursor.fetchall()]


def unfinished(tenant_id: int, states: tuple[Delivery.State, ...]) -> QuerySet[Delivery]:
    """A tenant's deliveries in these states; `is_later` says whether one is due later."""
    rows = Delivery.objects.filter(tenant_id=tenant_id, state__in=states)
    return rows.annotate(is_later=Q(next_attempt_at__gt=Now()))
