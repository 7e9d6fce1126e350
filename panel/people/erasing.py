"""Taking everything along, and erasing the tenant."""

from collections.abc import Iterator

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_http_methods

from delivery.models import Delivery
from panel.access import Place, Role, needs, place_of
from panel.heavy import heavy
from panel.kept import forget_values
from panel.pages import done, page, submitted, typed
from panel.people.forms import TypedSlugForm
from routing.models import Route
from tenants.clock import database_now
from tenants.errors import NotConfirmed, TenancyError
from tenants.export import export_tenant
from tenants.models import ClaimedDomain, Membership
from tenants.services.owners import delete_own_tenant

PIECE_CHARACTERS = 64 * 1024


@needs(Role.OWNER, fresh=True)
@require_http_methods(["GET", "HEAD", "POST"])
@heavy("POST")
def export(request: HttpRequest) -> HttpResponseBase:
    """What is in the file, and the button that downloads it."""
    place = place_of(request)
    if request.method != "POST":
        return page(request, "panel/people/export.html")
    response = StreamingHttpResponse(
        _joined(export_tenant(place.tenant, actor=place.actor)),
        content_type="application/json; charset=utf-8",
    )
    name = f"{place.tenant.slug}-{database_now():%Y-%m-%d}.json"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _joined(texts: Iterator[str]) -> Iterator[bytes]:
    """The same text in pieces worth sending: the export makes one for each row."""
    waiting, size = [], 0
    for text in texts:
        waiting.append(text)
        size += len(text)
        if size >= PIECE_CHARACTERS:
            yield "".join(waiting).encode()
            waiting, size = [], 0
    yield "".join(waiting).encode()


@needs(Role.OWNER, fresh=True)
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest) -> HttpResponse:
    """Everything that goes, and the field that wants the short name typed."""
    place = place_of(request)
    form = TypedSlugForm(typed(request))
    if submitted(request, form):
        text = f"{place.tenant.slug} is deleted, with everything in it."
        try:
            delete_own_tenant(
                tenant=place.tenant, typed=form.cleaned_data["typed"], actor=place.actor
            )
        except NotConfirmed as error:
            form.refuse("typed", error)
        except TenancyError as error:
            form.refuse(None, error)
        else:
            forget_values(request)
            return done(request, text, "/t/")
    return page(request, "panel/people/delete.html", form=form, going=_going(place))


def _going(place: Place) -> list[tuple[str, int]]:
    """What goes, with its numbers."""
    tenant = place.tenant
    return [
        ("domains", ClaimedDomain.objects.filter(tenant=tenant).count()),
        ("routes", Route.objects.count()),
        (
            "deliveries that wait or are kept",
            Delivery.objects.filter(tenant_id=tenant.pk).count(),
        ),
        ("members lose their access", Membership.objects.filter(tenant=tenant).count()),
    ]
