"""The tenant as a whole: its name, second factors, pausing its mail."""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_http_methods, require_safe

from panel.access import Place, Role, needs, place_of
from panel.editing import one_after_the_other
from panel.pages import done, not_done, page, submitted, typed
from panel.people.forms import NameForm, ReasonForm
from tenants.errors import TenancyError
from tenants.services.owners import (
    pause_mail,
    rename_tenant,
    require_second_factor,
    resume_mail,
)


@needs(Role.ADMIN)
@require_safe
def settings(request: HttpRequest) -> HttpResponse:
    """What can be set, and what it is now."""
    return page(request, "panel/people/settings.html", tenant=place_of(request).tenant)


@needs(Role.ADMIN)
@require_http_methods(["GET", "HEAD", "POST"])
@one_after_the_other
def name(request: HttpRequest) -> HttpResponse:
    """Another name; the short name stays."""
    place = place_of(request)
    now = place.tenant.name
    form = NameForm(typed(request), current={"Name": now}, initial={"name": now})
    if submitted(request, form):
        try:
            rename_tenant(tenant=place.tenant, name=form.cleaned_data["name"], actor=place.actor)
        except TenancyError as error:
            form.refuse("name", error)
        else:
            text = f"The tenant is called {place.tenant.name or place.tenant.slug} now."
            return done(request, text, _settings(place))
    return page(
        request,
        "panel/tenant/form.html",
        form=form,
        heading="Name of the tenant",
        lead=f"Its short name, {place.tenant.slug}, stays: addresses of pages and user names "
        "have it.",
        cancel=_settings(place),
    )


@needs(Role.OWNER, fresh=True)
@require_http_methods(["GET", "HEAD", "POST"])
def second_factor(request: HttpRequest) -> HttpResponse:
    """Whether every member needs a second factor; who asks for it needs one first."""
    place = place_of(request)
    required = place.tenant.requires_second_factor
    has_one = request.user.is_verified()  # type: ignore[union-attr]
    # What the button said: a second click must not take back what the first did.
    wanted = request.POST.get("required", "")
    if wanted == "no" or (wanted == "yes" and has_one):
        try:
            require_second_factor(tenant=place.tenant, required=wanted == "yes", actor=place.actor)
        except TenancyError as error:
            return not_done(request, str(error), _settings(place))
        text = (
            "Members without a second factor see nothing until they set one up."
            if wanted == "yes"
            else "A second factor is each member's own choice now."
        )
        return done(request, text, _settings(place))
    return page(
        request,
        "panel/people/second_factor.html",
        required=required,
        has_one=has_one,
        status=409 if request.method == "POST" else None,
    )


@needs(Role.OWNER, fresh=True)
@require_http_methods(["GET", "HEAD", "POST"])
def pause(request: HttpRequest) -> HttpResponse:
    """What stops, and the button that stops it."""
    place = place_of(request)
    form = ReasonForm(typed(request))
    if submitted(request, form):
        try:
            pause_mail(tenant=place.tenant, reason=form.cleaned_data["reason"], actor=place.actor)
        except TenancyError as error:
            form.refuse("reason" if "reason" in str(error) else None, error)
        else:
            return done(request, "All mail of the tenant is paused.", _settings(place))
    return page(request, "panel/people/pause.html", form=form)


@needs(Role.OWNER)
@require_http_methods(["GET", "HEAD", "POST"])
def resume(request: HttpRequest) -> HttpResponse:
    """Let mail flow again that an owner paused."""
    place = place_of(request)
    if request.method == "POST":
        try:
            resume_mail(tenant=place.tenant, actor=place.actor)
        except TenancyError as error:
            return not_done(request, str(error), _settings(place))
        return done(request, "Mail flows again.", _settings(place))
    return page(request, "panel/people/resume.html", tenant=place.tenant)


def _settings(place: Place) -> str:
    return place.url("settings")
