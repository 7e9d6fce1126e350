"""Taking a domain out of the tenant: what stops working, and the name typed."""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_http_methods

from mail.address import unicode_domain
from panel.access import Role, needs, place_of
from panel.domains.forms import RemoveForm
from panel.domains.lookup import hosted
from panel.pages import done, page, submitted, typed
from routing.models import SmtpCredential
from routing.services.domains import remove_domain
from tenants.errors import TenancyError


@needs(Role.ADMIN, fresh=True)
@require_http_methods(["GET", "HEAD", "POST"])
def remove(request: HttpRequest, domain_name: str) -> HttpResponse:
    """The last page of a domain."""
    place = place_of(request)
    one = hosted(place, domain_name)
    form = RemoveForm(typed(request), name=one.name)
    if submitted(request, form):
        try:
            remove_domain(tenant=place.tenant, name=one.name, actor=place.actor)
        except TenancyError as error:
            form.refuse(None, error)
        else:
            text = f"{unicode_domain(one.name)} is removed: its mail has stopped."
            return done(request, text, place.url("domains"))
    return page(
        request,
        "panel/domains/remove.html",
        form=form,
        one=one,
        credentials=SmtpCredential.objects.filter(domain=one.domain, revoked_at=None).count(),
    )
