"""Feels the pulse of the service once a minute, and reads the last day for the status page."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import connection
from django.db.models import Max

from delivery.health import check_all
from delivery.latency import BOUNDS, percentile
from delivery.models import ServicePulse, WorkerHeartbeat
from tenants.clock import database_now
from tenants.context import public_schema

DAY: Final = timedelta(hours=24)
KEPT: Final = timedelta(days=8)
_CLASSES: Final = len(BOUNDS) + 1
_OLDEST = """
    SELECT coalesce(max(extract(epoch FROM clock_timestamp()
        - coalesce(waiting.released_at, message.accepted_at))), 0)::int
    FROM (SELECT message_id, released_at FROM public.delivery_delivery
          WHERE state IN (0, 1) AND attempts = 0 ORDER BY next_attempt_at, id LIMIT 100) waiting
    JOIN public.delivery_message message ON message.id = waiting.message_id
"""


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour of the last day; the shares are of the minutes that were measured."""

    begins_at: datetime
    minutes: int
    accepted_share: float | None
    p95_seconds: float | None
    delivered: int
    queue_age_seconds: int | None


@dataclass(frozen=True, slots=True)
class Day:
    """The last 24 hours, the oldest first, and all of them together."""

    hours: tuple[Hour, ...]
    whole: Hour
    measured_at: datetime | None
    accepts_now: bool
    sends_now: bool


def feel_pulse() -> ServicePulse:
    """Measure this minute; called again within it, the minute is measured anew."""
    with public_schema():
        minute = database_now().replace(second=0, microsecond=0)
        before = ServicePulse.objects.filter(minute__lt=minute).order_by("-minute").first()
        beats = WorkerHeartbeat.objects.values_list("name", "latency")
        seen = {name: list(counts) for name, counts in beats if len(counts) == _CLASSES}
        fine = {check.name: check.ok for check in check_all()}
        values = {
            "accepts": fine["database"] and fine["edge"],
            "sends": fine["workers"],
            "queue_age_seconds": _oldest_never_tried(),
            "latency": _since(before.seen if before else {}, seen),
            "seen": seen,
        }
        pulse, _ = ServicePulse.objects.update_or_create(minute=minute, defaults=values)
        ServicePulse.objects.filter(minute__lt=minute - KEPT).delete()
    return pulse


def _oldest_never_tried() -> int:
    # Mail that a next hop put off waits for him, not for us.
    with connection.cursor() as cursor:
        cursor.execute(_OLDEST)
        return max(0, int(cursor.fetchone()[0]))


def _since(before: dict[str, list[int]], now: dict[str, list[int]]) -> list[int]:
    """What was added; a loop that was not there before began at nothing."""
    total = [0] * _CLASSES
    for name, counts in now.items():
        old = before.get(name, [])
        for number, count in enumerate(counts):
            total[number] += max(0, count - (old[number] if number < len(old) else 0))
    return total


def last_day() -> Day:
    """The last 24 hours by the hour."""
    with public_schema():
        now = database_now()
        first = now.replace(minute=0, second=0, microsecond=0) - DAY + timedelta(hours=1)
        rows = list(ServicePulse.objects.filter(minute__gte=first).order_by("minute").defer("seen"))
        measured_at = ServicePulse.objects.aggregate(at=Max("minute"))["at"]
    hours = tuple(
        _hour(at, [row for row in rows if at <= row.minute < at + timedelta(hours=1)])
        for at in (first + timedelta(hours=number) for number in range(24))
    )
    is_fresh = measured_at is not None and now - measured_at < timedelta(minutes=3)
    last = rows[-1] if rows and is_fresh else None
    return Day(
        hours,
        _hour(first, rows),
        measured_at,
        last is not None and last.accepts,
        last is not None and last.sends,
    )


def _hour(begins_at: datetime, rows: list[ServicePulse]) -> Hour:
    counts = [sum(column) for column in zip(*(row.latency for row in rows), strict=True)]
    ages = [row.queue_age_seconds for row in rows]
    return Hour(
        begins_at=begins_at,
        minutes=len(rows),
        accepted_share=sum(row.accepts for row in rows) / len(rows) if rows else None,
        p95_seconds=percentile(counts, 0.95) if counts else None,
        delivered=sum(counts),
        queue_age_seconds=max(ages) if ages else None,
    )
