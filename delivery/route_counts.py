"""What routes' mail came to, from the counts that the log writer keeps: nothing is counted here.

In the open schema of a tenant; days are UTC's. Route 0 is the whole tenant.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from django.db.models import DateField, Func, Max, Q, Sum

from delivery.messagelog.models import RouteDay
from tenants.clock import database_now

WHOLE_TENANT: Final = 0
DAYS: Final = 30


@dataclass(frozen=True, slots=True)
class RouteCounts:
    """The last 30 days of a route; `last_used_at` whenever that was."""

    accepted: int = 0
    delivered: int = 0
    deferred: int = 0
    failed: int = 0
    refused: int = 0
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class DayCounts:
    """One day of a route."""

    day: date
    accepted: int = 0
    delivered: int = 0
    deferred: int = 0
    failed: int = 0
    refused: int = 0


def counts_of(route_ids: Iterable[int]) -> dict[int, RouteCounts]:
    """The counts of these routes by id, in one query; a route without mail is left out."""
    lately = Q(day__gt=_BEFORE)
    sums = {name: Sum(name, filter=lately, default=0) for name in _KINDS}
    rows: Any = (
        RouteDay.objects.filter(route_id__in=list(route_ids))
        .values("route_id")
        .annotate(**sums, last_used_at=Max("last_at"))
        .order_by()
    )
    return {row.pop("route_id"): RouteCounts(**row) for row in rows}


def days_of(
    route_id: int = WHOLE_TENANT, *, days: int = DAYS, today: date | None = None
) -> Sequence[DayCounts]:
    """Each of the last days, oldest first, also those without mail.

    `today` (UTC) is the database's where the caller does not know it already.
    """
    today = today or _today()
    first = today - timedelta(days=days - 1)
    rows = RouteDay.objects.filter(route_id=route_id, day__gte=first, day__lte=today)
    known = {row["day"]: DayCounts(**row) for row in rows.values("day", *_KINDS)}
    wanted = [first + timedelta(days=number) for number in range(days)]
    return [known.get(day, DayCounts(day)) for day in wanted]


_BEFORE: Final = Func(
    template=f"(clock_timestamp() AT TIME ZONE 'UTC')::date - {DAYS}", output_field=DateField()
)
_KINDS: Final = ("accepted", "delivered", "deferred", "failed", "refused")


def _today() -> date:
    return database_now().date()
