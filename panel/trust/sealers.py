"""Whose seals count: the tenant's list, and the operator's, which he can only see."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_http_methods, require_safe

from mail.address import unicode_domain
from panel.access import Role, needs, place_of
from panel.pages import done, page, submitted, typed
from panel.trust.forms import SealerForm
from routing.models import TrustedSealer
from routing.services.trust import add_sealer, remove_sealer
from routing.trust import sealers_of_the_operator
from tenants.errors import TenancyError, UnknownName


@needs(Role.VIEWER)
@require_safe
def sealers(request: HttpRequest) -> HttpResponse:
    """What a seal does and does not do, and who is trusted."""
    return page(
        request,
        "panel/trust/sealers.html",
        rows=list(TrustedSealer.objects.all()),
        of_the_operator=sealers_of_the_operator(),
    )


@needs(Role.ADMIN)
@require_http_methods(["GET", "HEAD", "POST"])
def add(request: HttpRequest) -> HttpResponse:
    """One more whose seals count."""
    place = place_of(request)
    form = SealerForm(typed(request))
    if submitted(request, form):
        name, note = form.cleaned_data["name"], form.cleaned_data["note"]
        try:
            sealer = add_sealer(tenant=place.tenant, name=name, note=note, actor=place.actor)
        except TenancyError as error:
            form.refuse("name", error)
        else:
            text = f"Seals of {unicode_domain(sealer.name)} count from now on."
            return done(request, text, place.url("trust-sealers"))
    return page(
        request,
        "panel/tenant/form.html",
        form=form,
        heading="Trust a sealer",
        lead="Whoever seals for this domain can then speak for every author whose DMARC fails, "
        "except those whose domains are served here.",
        button="Trust it",
        cancel=place.url("trust-sealers"),
    )


@needs(Role.ADMIN)
@require_http_methods(["GET", "HEAD", "POST"])
def remove(request: HttpRequest, sealer_id: int) -> HttpResponse:
    """Trust one no more; says first what that means."""
    place = place_of(request)
    sealer = get_object_or_404(TrustedSealer, pk=sealer_id)
    if request.method != "POST":
        return page(request, "panel/trust/remove_sealer.html", sealer=sealer)
    back = place.url("trust-sealers")
    try:
        remove_sealer(tenant=place.tenant, sealer_id=sealer.pk, actor=place.actor)
    except UnknownName:
        return done(request, f"{sealer.name} is not on the list any more.", back)
    return done(request, f"Seals of {unicode_domain(sealer.name)} count no more.", back)
