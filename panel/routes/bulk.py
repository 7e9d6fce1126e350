"""Import and export as CSV.

    text or file  ->  preview: what would be done, each bad line by name  ->  a button  ->  done

Nothing is kept between preview and button: the text travels in the page, signed, and only this
person can hand it in for this tenant, within an hour.
"""

from collections.abc import Iterator
from datetime import date

from django.core import signing
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from panel.access import Place, Role, needs, place_of
from panel.heavy import heavy
from panel.pages import done, not_done, page, submitted, typed
from panel.routes.forms import ImportForm
from routing.listing import RouteRow, route_rows, routes_where
from routing.route_csv import COLUMNS, MOST_LINES, UnreadableCsv, last_day, write_csv
from routing.services.bulk import ImportRefused, apply_import, plan_import
from routing.services.import_plan import ImportPlan
from tenants.errors import RouteRefused

SHOWN = 50
LIVES_SECONDS = 3600
_SALT = "panel.routes.import"
_ROWS_AT_ONCE = 500


@needs(Role.EDITOR)
@require_http_methods(["GET", "HEAD", "POST"])
@heavy("POST")
def import_routes(request: HttpRequest) -> HttpResponse:
    """The form, and after it the preview."""
    place = place_of(request)
    form = ImportForm(typed(request), request.FILES or None)
    if submitted(request, form):
        text = form.cleaned_data["text"]
        try:
            plan = plan_import(tenant=place.tenant, text=text)
        except (UnreadableCsv, RouteRefused) as error:
            form.refuse("file" if form.cleaned_data.get("file") else "text", error)
        else:
            return _preview(request, plan, text)
    return page(
        request, "panel/routes/import.html", form=form, columns=COLUMNS, most_lines=MOST_LINES
    )


@needs(Role.EDITOR)
@require_POST
@heavy("POST")
def apply(request: HttpRequest) -> HttpResponse:
    """What the preview showed; `skip`: without the bad lines."""
    place = place_of(request)
    back = place.url("routes-import")
    text = _opened(place, request.POST.get("lines", ""))
    if text is None:
        return not_done(request, "The preview is too old: hand the file in once more.", back)
    skip_bad = request.POST.get("skip") == "yes"
    try:
        plan = apply_import(tenant=place.tenant, text=text, actor=place.actor, skip_bad=skip_bad)
    except ImportRefused as error:
        return _preview(request, error.plan, text, changed=True)
    except (UnreadableCsv, RouteRefused) as error:
        return not_done(request, str(error), back)
    return done(request, _sentence(plan), place.url("routes"))


@needs(Role.VIEWER)
@require_safe
@heavy("GET", "HEAD")
def export(request: HttpRequest) -> HttpResponseBase:
    """All routes but the trash, as import reads them."""
    place = place_of(request)
    response = StreamingHttpResponse(
        _csv_of_routes(), content_type="text/csv; charset=utf-8; header=present"
    )
    name = f"routes-{place.tenant.slug}.csv"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _csv_of_routes() -> Iterator[str]:
    found = routes_where().order_by("domain__name", "pattern_key", "id")
    pieces = found.iterator(chunk_size=_ROWS_AT_ONCE)
    return write_csv(_cells(row) for row in route_rows(pieces))


def _cells(row: RouteRow) -> list[str]:
    route, end = row.route, last_day(row.route.expires_at)
    destinations = " ".join(one.address for one in row.ends)
    return [row.address, destinations, route.mode, route.note, _text_of(end)]


def _text_of(day: date | None) -> str:
    return day.isoformat() if day else ""


def _preview(
    request: HttpRequest, plan: ImportPlan, text: str, *, changed: bool = False
) -> HttpResponse:
    return page(
        request,
        "panel/routes/preview.html",
        status=422 if changed else 200,
        added=plan.added[:SHOWN],
        changed=plan.changed[:SHOWN],
        faults=plan.faults[:SHOWN],
        counts={
            "added": len(plan.added),
            "changed": len(plan.changed),
            "unchanged": plan.unchanged,
            "bad": len(plan.faults),
        },
        shown=SHOWN,
        does_something=bool(plan.added or plan.changed),
        lines=_closed(place_of(request), text),
        is_news=changed,
    )


def _closed(place: Place, text: str) -> str:
    return signing.dumps([place.tenant.pk, place.user.pk, text], salt=_SALT, compress=True)


def _opened(place: Place, token: str) -> str | None:
    try:
        tenant_id, user_id, text = signing.loads(token, salt=_SALT, max_age=LIVES_SECONDS)
    except (signing.BadSignature, ValueError):
        return None
    is_ours = (tenant_id, user_id) == (place.tenant.pk, place.user.pk)
    return str(text) if is_ours else None


def _sentence(plan: ImportPlan) -> str:
    left_out = f", {len(plan.faults)} bad lines left out" if plan.faults else ""
    return f"{len(plan.added)} routes added, {len(plan.changed)} changed{left_out}."
