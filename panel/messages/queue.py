"""The tenant's queue: what waits, why, and when it is tried next."""

from dataclasses import dataclass
from typing import Final

from django import forms
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_POST, require_safe

from delivery import tenant_queue
from delivery.models import Delivery
from delivery.queue_selectors import hosts_waited_for, unfinished
from delivery.selectors import state_word
from delivery.story_text import TONES
from mail.trace import format_trace_id
from panel.access import Role, needs, place_of
from panel.forms import PanelForm
from panel.pages import done, not_done, page
from panel.paging import by_key
from tenants.errors import NotAllowed

State = Delivery.State
VIEWS: Final = {
    "waiting": ((State.QUEUED, State.IN_FLIGHT), ("next_attempt_at", "id")),
    "held": ((State.HELD,), ("-id",)),
    "failed": ((State.FAILED,), ("-finished_at", "-id")),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One delivery of the list."""

    trace_id: str
    delivery: Delivery
    word: str
    tone: str


class HostForm(PanelForm):
    """Which next hop is meant; "" is mail that was not tried yet."""

    next_hop = forms.CharField(max_length=255, required=False, strip=False)


@needs(Role.VIEWER)
@require_safe
def waiting(request: HttpRequest) -> HttpResponse:
    """What is not finished, in one of three lists."""
    place = place_of(request)
    show = request.GET.get("show", "")
    show = show if show in VIEWS else "waiting"
    states, order = VIEWS[show]
    rows = by_key(unfinished(place.tenant.pk, states), order, request.GET)
    return page(
        request,
        "panel/messages/queue.html",
        show=show,
        views=list(VIEWS),
        slice=rows,
        lines=[_line(row) for row in rows],
        hosts=hosts_waited_for(place.tenant.pk) if show == "waiting" else [],
    )


def _line(row: Delivery) -> Line:
    is_later = bool(getattr(row, "is_later", False))
    word = state_word(row.state, row.attempts, later=is_later)
    return Line(format_trace_id(row.message_id), row, word, TONES.get(word, ""))


@needs(Role.EDITOR)
@require_POST
def retry_host(request: HttpRequest) -> HttpResponse:
    """Try everything now that waits for one next hop."""
    place = place_of(request)
    form = HostForm(request.POST)
    url = place.url("queue")
    if not form.is_valid():
        return not_done(request, "There is no such host in your queue.", url)
    host = form.cleaned_data["next_hop"]
    try:
        count = tenant_queue.retry_host(tenant_id=place.tenant.pk, next_hop=host, actor=place.actor)
    except NotAllowed as error:
        return not_done(request, str(error), url)
    if not count:
        return not_done(request, "Nothing waits for this host any more.", url)
    what = "1 delivery is" if count == 1 else f"{count} deliveries are"
    return done(request, f"{what} tried again now.", url)
