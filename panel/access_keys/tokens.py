"""Making and revoking API tokens."""

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_http_methods

from panel.access import Role, needs, place_of
from panel.access_keys.forms import TokenForm
from panel.access_keys.revoking import revocation
from panel.pages import page, see, submitted, typed
from panel.shown_once import keep_for_page
from routing.models import ApiToken
from routing.services.tokens import create_token, revoke_token
from tenants.clock import database_now
from tenants.errors import TenancyError


@needs(Role.ADMIN, fresh=True)
@require_http_methods(["GET", "HEAD", "POST"])
def add(request: HttpRequest) -> HttpResponse:
    """A new token; the next page shows it once."""
    place = place_of(request)
    form = TokenForm(typed(request), today=database_now().date())
    if submitted(request, form):
        try:
            made = create_token(
                tenant=place.tenant,
                label=form.cleaned_data["label"],
                scopes=form.cleaned_data["scopes"],
                expires_at=form.expires_at,
                actor=place.actor,
            )
        except TenancyError as error:
            form.refuse("scopes", error)
        else:
            keep_for_page(request, kind="token", label=made.label, secret=made.token)
            return see(place.url("access-made"))
    return page(
        request,
        "panel/tenant/form.html",
        form=form,
        heading="New API token",
        button="Make the token",
        cancel=place.url("access"),
        lead="It is shown once, on the next page. The HTTP API comes later; a token made today "
        "will work with it.",
    )


@needs(Role.ADMIN, fresh=True)
@require_http_methods(["GET", "HEAD", "POST"])
def revoke(request: HttpRequest, token_id: int) -> HttpResponse:
    """What stops working, and the button that stops it."""
    place = place_of(request)
    token = ApiToken.objects.filter(pk=token_id, revoked_at=None).first()
    if token is None:
        raise Http404
    return revocation(
        request,
        lambda: revoke_token(tenant=place.tenant, token_id=token_id, actor=place.actor),
        what="API token",
        name=token.locator,
        label=token.label,
        used_at=token.last_used_at,
    )
