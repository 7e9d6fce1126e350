"""The status page: how the service did in the last day, in words and numbers."""

from dataclasses import dataclass
from datetime import datetime
from math import isinf

from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

from delivery.pulse import Hour, last_day
from panel.pages import page
from tenants.clock import database_now


@dataclass(frozen=True, slots=True)
class Line:
    """One hour, as text."""

    at: datetime
    accepted: str
    p95: str
    delivered: int
    age: str


@require_safe
@cache_control(max_age=30, public=True)
def status(request: HttpRequest) -> HttpResponse:
    """Acceptance, delivery and age of the queue in the last 24 hours."""
    day = last_day()
    whole = _line(day.whole)
    return page(
        request,
        "panel/public/status.html",
        here="status",
        day=day,
        accepted=whole.accepted,
        p95=whole.p95,
        age=whole.age,
        hours=[_line(hour) for hour in reversed(day.hours)],
        now=database_now(),
    )


def _line(hour: Hour) -> Line:
    return Line(
        at=hour.begins_at,
        accepted=_share(hour.accepted_share),
        p95=_seconds(hour.p95_seconds),
        delivered=hour.delivered,
        age=_seconds(hour.queue_age_seconds),
    )


def _share(share: float | None) -> str:
    """Never rounded up to 100 %."""
    if share is None:
        return "–"
    return "100 %" if share == 1 else f"{int(share * 10_000) / 100:.2f} %"


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    if isinf(seconds):
        return "over five days"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
