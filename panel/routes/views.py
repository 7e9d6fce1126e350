"""The list of routes, a route, and the forms that make and change one."""

from datetime import UTC

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_http_methods, require_safe

from delivery.holds import held_for_route
from delivery.route_counts import counts_of, days_of
from mail.facts import RouteMode
from panel.access import Role, needs, place_of
from panel.charts import Series, bars_of_days
from panel.editing import one_after_the_other
from panel.pages import done, not_done, page, submitted, typed
from panel.paging import by_key
from panel.routes.forms import FilterForm, RouteEditForm, RouteForm, typed_lines
from routing.listing import RouteRow, RouteState, Wanted, route_row, route_rows, routes_where
from routing.models import Destination, Domain
from routing.route_csv import last_day
from routing.services import RouteEdit, add_route, edit_route
from tenants.errors import DestinationRefused, ExpiryRefused, TenancyError

ORDER = ("domain__name", "pattern_key", "id")
TRASH_ORDER = ("-removed_at", "-id")
SERIES = (Series("delivered"), Series("deferred", "warn"), Series("failed", "bad"))


@needs(Role.VIEWER)
@require_safe
def routes(request: HttpRequest) -> HttpResponse:
    """What routes there are: searched, narrowed, fifty a page, each with its counts."""
    filters = FilterForm(request.GET or None)
    asked = filters.cleaned_data if filters.is_bound and filters.is_valid() else {}
    state = Wanted(asked["state"]) if asked.get("state") else None
    found = routes_where(search=asked.get("q", ""), domain=asked.get("domain", ""), state=state)
    slice_ = by_key(found, TRASH_ORDER if state is Wanted.TRASH else ORDER, request.GET)
    rows = route_rows(slice_)
    counts = counts_of(row.route.pk for row in rows)
    return page(
        request,
        "panel/routes/routes.html",
        filters=filters,
        is_narrowed=any(asked.values()),
        is_trash=state is Wanted.TRASH,
        rows=[(row, counts.get(row.route.pk)) for row in rows],
        slice=slice_,
    )


@needs(Role.VIEWER)
@require_safe
def route(request: HttpRequest, route_id: int) -> HttpResponse:
    """One route: where it goes, how it stands, what it carried."""
    row = row_or_404(route_id)
    today = row.route.read_at.astimezone(UTC).date()  # type: ignore[attr-defined]
    counted = days_of(row.route.pk, today=today)
    days = [(one.day, (one.delivered, one.deferred, one.failed)) for one in counted]
    return page(
        request,
        "panel/routes/route.html",
        row=row,
        route=row.route,
        ends=row.route.ends,  # type: ignore[attr-defined]
        messages_of="" if "*" in row.route.pattern_key else row.address,
        last_day=last_day(row.route.expires_at),
        is_live=row.state is not RouteState.TRASH,
        counts=counts_of([row.route.pk]).get(row.route.pk),
        held=held_for_route(place_of(request).tenant.pk, row.route.pk),
        chart=bars_of_days("days", "Mail of the last 30 days", SERIES, days),
    )


@needs(Role.EDITOR)
@require_http_methods(["GET", "HEAD", "POST"])
def route_add(request: HttpRequest) -> HttpResponse:
    """A new route."""
    place = place_of(request)
    if not Domain.objects.exists():
        return not_done(
            request,
            "A route is an address of one of your domains: add a domain first.",
            place.url("domain-add"),
        )
    form = RouteForm(typed(request), initial={"address": request.GET.get("address", "")[:320]})
    if submitted(request, form):
        values = form.cleaned_data
        try:
            made = add_route(
                tenant=place.tenant,
                address=values["address"],
                destinations=values["destinations"],
                note=values["note"],
                expires_at=form.expires_at,
                actor=place.actor,
            )
        except TenancyError as error:
            form.refuse(_field_of(error, "address"), error)
        else:
            return done(request, f"Route {made} is there.", place.url("route", made.pk))
    return page(
        request,
        "panel/tenant/form.html",
        heading="New route",
        form=form,
        button="Add the route",
        cancel=place.url("routes"),
    )


@needs(Role.EDITOR)
@require_http_methods(["GET", "HEAD", "POST"])
@one_after_the_other
def route_edit(request: HttpRequest, route_id: int) -> HttpResponse:
    """Where a route goes, its state, note and end."""
    place = place_of(request)
    row = live_or_404(route_id)
    form = RouteEditForm(typed(request), initial=_initial(row), current=_current(row))
    if submitted(request, form):
        values = form.cleaned_data
        try:
            edit_route(
                tenant=place.tenant,
                address=row.address,
                edit=RouteEdit(
                    destinations=values["destinations"],
                    mode=RouteMode(values["mode"]),
                    note=values["note"],
                    expires_at=form.expires_at,
                ),
                actor=place.actor,
            )
        except TenancyError as error:
            form.refuse(_field_of(error, None), error)
        else:
            return done(request, f"Route {row.address} is changed.", place.url("route", route_id))
    return page(
        request,
        "panel/tenant/form.html",
        heading=f"Change {row.address}",
        form=form,
        cancel=place.url("route", route_id),
    )


def row_or_404(route_id: int) -> RouteRow:
    """A route of the open tenant, in the trash or out of it."""
    row = route_row(route_id) if route_id < _MOST_ID else None
    if row is None:
        raise Http404
    return row


def live_or_404(route_id: int) -> RouteRow:
    """A route that is not in the trash."""
    row = row_or_404(route_id)
    if row.state is RouteState.TRASH:
        raise Http404
    return row


def destination_or_404(destination_id: int) -> Destination:
    """A destination of the open tenant."""
    found = Destination.objects.filter(pk=min(destination_id, _MOST_ID)).first()
    if found is None:
        raise Http404
    return found


_MOST_ID = 2**63 - 1


def _field_of(error: Exception, otherwise: str | None) -> str | None:
    if isinstance(error, DestinationRefused):
        return "destinations"
    return "last_day" if isinstance(error, ExpiryRefused) else otherwise


def _initial(row: RouteRow) -> dict[str, object]:
    return {
        "destinations": typed_lines([end.address for end in row.ends]),
        "mode": row.route.mode,
        "note": row.route.note,
        "last_day": last_day(row.route.expires_at),
    }


def _current(row: RouteRow) -> dict[str, object]:
    return {
        "Goes to": ", ".join(end.address for end in row.ends),
        "State": row.route.get_mode_display(),
        "Note": row.route.note,
        "Last day": last_day(row.route.expires_at) or "",
    }
