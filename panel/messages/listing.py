"""The list of messages and refusals, with its search and the last 30 days as a chart."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from delivery.logsearch import LogPage, LogQuery, find, read_typed
from delivery.messagelog.models import LoggedMessage, RouteDay
from delivery.selectors import counted_refusals
from delivery.story import MoreRefusals
from delivery.story_text import TONES
from mail.facts import LogLevel
from mail.trace import format_trace_id
from panel.access import Place, Role, needs, place_of
from panel.charts import Chart, Series, bars_of_days
from panel.messages.forms import STATE_WORDS, SearchForm
from panel.pages import page
from routing.models import LogPolicy
from tenants.clock import database_now

CHART_DAYS: Final = 30
_SERIES: Final = (Series("delivered"), Series("refused", "warn"), Series("failed", "bad"))


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the list."""

    trace_id: str
    message: LoggedMessage
    more_recipients: int
    word: str
    tone: str


@needs(Role.VIEWER)
@require_safe
def messages(request: HttpRequest) -> HttpResponse:
    """The log, newest first, or what a search finds in it."""
    place = place_of(request)
    form = SearchForm(request.GET)
    query = form.query() if form.is_valid() else None
    is_asked = any(request.GET.get(name) for name in form.fields)
    first = not (request.GET.get("after") or request.GET.get("before"))
    found = _found(request, query)
    return page(
        request,
        "panel/messages/messages.html",
        status=None if query else 422,
        form=form,
        is_asked=is_asked,
        slice=found,
        lines=[_line(row) for row in found.rows],
        looked_back_to=found.looked_back_to,
        wider=_wider(query) if first and not found.rows else "",
        hashed=_policies_hash(),
        counted=_counted(place, query) if first else [],
        chart=_chart() if first and not is_asked else None,
    )


def _found(request: HttpRequest, query: LogQuery | None) -> LogPage:
    if query is None:
        return LogPage(())
    return find(query, after=request.GET.get("after", ""), before=request.GET.get("before", ""))


def _line(row: LoggedMessage) -> Line:
    recipients = sum(name.startswith("to:") and not name.startswith("to:@") for name in row.names)
    return Line(
        format_trace_id(row.trace_id),
        row,
        max(recipients - 1, 0),
        STATE_WORDS.get(row.state, row.state).partition(",")[0],
        TONES.get(row.state, "warn"),
    )


def _wider(query: LogQuery | None) -> str:
    """The same as a beginning, where an exact address or domain was found nowhere."""
    names = read_typed(query.typed).names if query else ()
    return f"{names[0]}*" if names else ""


def _policies_hash() -> bool:
    """Whether addresses of some mail are hashed: then only whole ones are found."""
    return bool(LogPolicy.objects.filter(level=LogLevel.HASHED).exists())


def _counted(place: Place, query: LogQuery | None) -> list[MoreRefusals]:
    """Refusals that were only counted, where refusals are looked at."""
    if query is None or query.state not in ("", "refused") or query.reason or query.direction:
        return []
    names = read_typed(query.typed).names
    domain = names[0].rpartition("@")[2] if names else ""
    if query.typed and not domain:
        return []
    return counted_refusals(place.tenant.pk, domain=domain)


def _chart() -> Chart:
    """The whole tenant's counts by day."""
    today = database_now().date()
    first = today - timedelta(days=CHART_DAYS - 1)
    rows = RouteDay.objects.filter(route_id=0, day__gte=first)
    counts = {row.day: (row.delivered, row.refused, row.failed) for row in rows}
    days = [first + timedelta(days=number) for number in range(CHART_DAYS)]
    return bars_of_days(
        "last-days",
        "Mail of the last 30 days",
        _SERIES,
        [(d, counts.get(d, (0, 0, 0))) for d in days],
    )
