"""Making and revoking SMTP credentials."""

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_http_methods

from panel.access import Role, needs, place_of
from panel.access_keys.forms import CredentialForm
from panel.access_keys.revoking import revocation
from panel.pages import page, see, submitted, typed
from panel.shown_once import keep_for_page
from routing.models import SmtpCredential
from routing.services import create_credential, revoke_credential
from tenants.clock import database_now
from tenants.errors import TenancyError


@needs(Role.ADMIN, fresh=True)
@require_http_methods(["GET", "HEAD", "POST"])
def add(request: HttpRequest) -> HttpResponse:
    """A new credential; the next page shows its secret once."""
    place = place_of(request)
    form = CredentialForm(typed(request), today=database_now().date())
    if submitted(request, form):
        try:
            made = create_credential(
                tenant=place.tenant,
                label=form.cleaned_data["label"],
                domain=form.cleaned_data["domain"],
                address=form.cleaned_data["address"],
                expires_at=form.expires_at,
                actor=place.actor,
            )
        except TenancyError as error:
            form.refuse("address" if form.cleaned_data["address"] else "domain", error)
        else:
            label = form.cleaned_data["label"]
            keep_for_page(
                request, kind="credential", label=label, name=made.username, secret=made.secret
            )
            return see(place.url("access-made"))
    return page(
        request,
        "panel/tenant/form.html",
        form=form,
        heading="New SMTP credential",
        button="Make the credential",
        cancel=place.url("access"),
        lead="User name and secret for sending mail; the secret is shown once, on the next page. "
        "Sending comes later; a credential made today will work with it.",
    )


@needs(Role.ADMIN, fresh=True)
@require_http_methods(["GET", "HEAD", "POST"])
def revoke(request: HttpRequest, credential_id: int) -> HttpResponse:
    """What stops working, and the button that stops it."""
    place = place_of(request)
    row = SmtpCredential.objects.filter(pk=credential_id, revoked_at=None).first()
    if row is None:
        raise Http404
    return revocation(
        request,
        lambda: revoke_credential(tenant=place.tenant, username=row.username, actor=place.actor),
        what="SMTP credential",
        name=row.username,
        label=row.label,
        used_at=row.last_used_at,
    )
