"""Pausing, resuming, removing, restoring and testing a route; asking a destination again.

Each has an address of its own: the page says what follows, its button does it.
"""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_http_methods

from mail.facts import RouteMode
from mail.trace import format_trace_id
from panel.access import Role, needs, place_of
from panel.pages import done, not_done, page, submitted, typed
from panel.routes.forms import Confirm, PauseForm
from panel.routes.views import destination_or_404, live_or_404, row_or_404
from routing.listing import heir_of
from routing.models import Route
from routing.services import ask_again, remove_route, restore_route, set_mode
from routing.services.confirmations import MOST_ASKED_A_DAY, Asked
from routing.services.trial_messages import MOST_AN_HOUR, send_test_message
from tenants.errors import TenancyError

_GET_OR_POST = ["GET", "HEAD", "POST"]


@needs(Role.EDITOR)
@require_http_methods(_GET_OR_POST)
def pause(request: HttpRequest, route_id: int) -> HttpResponse:
    """Choose how the paused route answers."""
    place, row = place_of(request), live_or_404(route_id)
    form = PauseForm(typed(request))
    if submitted(request, form):
        mode = RouteMode(form.cleaned_data["mode"])
        try:
            set_mode(tenant=place.tenant, address=row.address, mode=mode, actor=place.actor)
        except TenancyError as error:
            return not_done(request, str(error), place.url("routes"))
        return done(request, f"Route {row.address} is paused.", place.url("route", route_id))
    return page(
        request,
        "panel/tenant/form.html",
        heading=f"Pause {row.address}",
        lead="Nothing is forwarded until you resume it. Mail that is in the queue still goes out; "
        "what an earlier pause held stays held.",
        form=form,
        button="Pause it",
        cancel=place.url("route", route_id),
    )


@needs(Role.EDITOR)
@require_http_methods(_GET_OR_POST)
def resume(request: HttpRequest, route_id: int) -> HttpResponse:
    """Switch it on; failures count anew."""
    place, row = place_of(request), live_or_404(route_id)

    def act() -> str:
        on = RouteMode.ON
        set_mode(tenant=place.tenant, address=row.address, mode=on, actor=place.actor)
        return f"Route {row.address} is on."

    return _confirmed(
        request,
        act,
        back=place.url("route", route_id),
        heading=f"Resume {row.address}",
        lead="Its mail is forwarded again, and what was held for it goes out now. If it was paused "
        "because mail failed, mend that first.",
        button="Resume it",
    )


@needs(Role.EDITOR)
@require_http_methods(_GET_OR_POST)
def delete(request: HttpRequest, route_id: int) -> HttpResponse:
    """Into the trash, after saying what stops."""
    place, row = place_of(request), live_or_404(route_id)
    form = Confirm(typed(request))
    if submitted(request, form):
        try:
            remove_route(tenant=place.tenant, address=row.address, actor=place.actor)
        except TenancyError as error:
            return not_done(request, str(error), place.url("route", route_id))
        text = f"Route {row.address} is in the trash; it can be restored for 30 days."
        return done(request, text, place.url("routes"))
    return page(
        request, "panel/routes/delete.html", row=row, form=form, takes_over=heir_of(row.route)
    )


@needs(Role.EDITOR)
@require_http_methods(_GET_OR_POST)
def restore(request: HttpRequest, route_id: int) -> HttpResponse:
    """Out of the trash."""
    place, row = place_of(request), row_or_404(route_id)

    def act() -> str:
        restore_route(tenant=place.tenant, route_id=route_id, actor=place.actor)
        return f"Route {row.address} is back."

    return _confirmed(
        request,
        act,
        back=place.url("route", route_id),
        heading=f"Restore {row.address}",
        lead="It works again as it did, with the same destinations and the same state.",
        button="Restore it",
    )


@needs(Role.EDITOR)
@require_http_methods(_GET_OR_POST)
def test(request: HttpRequest, route_id: int) -> HttpResponse:
    """A message of ours by the way of all mail; then to its trace."""
    place, row = place_of(request), live_or_404(route_id)
    form = Confirm(typed(request))
    if submitted(request, form):
        try:
            trace_id = send_test_message(tenant=place.tenant, route_id=route_id, actor=place.actor)
        except TenancyError as error:
            return not_done(request, str(error), place.url("route", route_id))
        text = f"A test message to {row.address} is on its way."
        url = place.url("message", format_trace_id(trace_id))
        return done(request, text, f"{url}?watch=on")
    return page(
        request,
        "panel/tenant/form.html",
        heading=f"Test {row.address}",
        lead="We send a short message to this address and show you what became of it. It goes to "
        f"the confirmed destinations. {MOST_AN_HOUR} tests an hour are possible.",
        form=form,
        button="Send a test message",
        cancel=place.url("route", route_id),
    )


@needs(Role.EDITOR)
@require_http_methods(_GET_OR_POST)
def ask(request: HttpRequest, destination_id: int) -> HttpResponse:
    """Another confirmation mail to the owner of a destination."""
    place = place_of(request)
    destination = destination_or_404(destination_id)
    back = _route_to(destination.pk, place.url("routes"), request)
    form = Confirm(typed(request))
    if submitted(request, form):
        try:
            asked = ask_again(tenant=place.tenant, address=destination.address, actor=place.actor)
        except TenancyError as error:
            return not_done(request, str(error), back)
        say = done if asked is Asked.YES else not_done
        return say(request, f"{destination.address}: {asked.value}.", back)
    return page(
        request,
        "panel/tenant/form.html",
        heading=f"Ask {destination.address} again",
        lead="The owner gets a new link; the old one no longer works. An address is asked once a "
        f"day and three times in all, whoever asks, and you may ask {MOST_ASKED_A_DAY} addresses "
        "a day.",
        form=form,
        button="Send the mail",
        cancel=back,
    )


def _route_to(destination_id: int, otherwise: str, request: HttpRequest) -> str:
    route = Route.objects.filter(destinations=destination_id).order_by("id").first()
    return place_of(request).url("route", route.pk) if route else otherwise


def _confirmed(
    request: HttpRequest,
    act: Callable[[], str],
    *,
    back: str,
    heading: str,
    lead: str,
    button: str,
) -> HttpResponse:
    """A page with a button that does one thing, and says what was done."""
    form = Confirm(typed(request))
    if submitted(request, form):
        try:
            return done(request, act(), back)
        except TenancyError as error:
            return not_done(request, str(error), back)
    return page(
        request,
        "panel/tenant/form.html",
        heading=heading,
        lead=lead,
        form=form,
        button=button,
        cancel=back,
    )
