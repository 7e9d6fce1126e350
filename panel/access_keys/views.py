"""What machines may use to reach this tenant: the list, and the page that shows a secret once."""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from panel.access import Role, needs, place_of
from panel.pages import not_done, page
from panel.shown_once import take_for_page
from routing.models import ApiToken, SmtpCredential
from routing.services.tokens import Scope
from tenants.clock import database_now

MOST_SHOWN = 100


@needs(Role.VIEWER)
@require_safe
def access(request: HttpRequest) -> HttpResponse:
    """Tokens and credentials, those in force first."""
    order = ("revoked_at", "-created_at")
    tokens = list(ApiToken.objects.order_by(*order)[:MOST_SHOWN])
    names = dict(Scope.choices)
    credentials = SmtpCredential.objects.select_related("domain").order_by(*order)[:MOST_SHOWN]
    return page(
        request,
        "panel/access/access.html",
        tokens=[(token, [names.get(scope, scope) for scope in token.scopes]) for token in tokens],
        credentials=list(credentials),
        now=database_now(),
    )


@needs(Role.ADMIN)
@require_safe
def made(request: HttpRequest) -> HttpResponse:
    """A secret just made; a reload has nothing to show any more."""
    values = take_for_page(request)
    if values is None:
        text = "A secret is shown once. If you did not keep it, revoke it and make another."
        return not_done(request, text, place_of(request).url("access"))
    return page(request, "panel/access/made.html", made=values)
