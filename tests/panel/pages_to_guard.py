"""A tenant with a few pages, for the tests of the door."""

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import include, path

from panel import tenant_urls
from panel.access import Role, needs, place_of
from panel.forms import PanelForm, forms
from panel.pages import done, page, submitted, typed
from tenants.context import open_schema


class NameForm(PanelForm):
    name = forms.CharField(max_length=10, help_text="Ten letters at most.")


@needs(Role.VIEWER)
def home(request: HttpRequest) -> HttpResponse:
    place = place_of(request)
    return HttpResponse(f"{place.tenant.slug} {place.role} {open_schema()}")


@needs(Role.EDITOR)
def edit(request: HttpRequest) -> HttpResponse:
    form = NameForm(typed(request))
    if submitted(request, form):
        return done(request, "Saved.", place_of(request).url("home"))
    return page(request, "panel/tenant/form.html", form=form, heading="Edit")


@needs(Role.OWNER, fresh=True)
def careful(request: HttpRequest) -> HttpResponse:
    return HttpResponse("careful")


def unguarded(request: HttpRequest) -> HttpResponse:
    return HttpResponse("never seen")


@needs(Role.VIEWER)
def streamed(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(f"{open_schema()} " for _ in range(3))


inside = (
    [
        path("", home, name="home"),
        path("edit/", edit, name="edit"),
        path("careful/", careful, name="careful"),
        path("unguarded/", unguarded, name="unguarded"),
        path("streamed/", streamed, name="streamed"),
        *tenant_urls.urlpatterns,  # what the navigation leads to
    ],
    "tenant",
)
urlpatterns = [path("t/<slug:slug>/", include(inside))]
