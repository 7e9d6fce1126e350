"""The rules in order with what the tenant chose, and the form that changes it."""

from typing import Any

from django.db.models import Count, Q
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_http_methods, require_safe

from panel.access import Role, needs, place_of
from panel.editing import one_after_the_other
from panel.pages import done, page, submitted, typed
from panel.trust.forms import ChoiceForm, TrialForm, current_values, initial_of
from panel.trust.words import Counted, author_lines, content_lines, scores_text
from routing.models import TrustedSealer, TrustEntry
from routing.services.trust import TrustChoice, set_preference
from routing.trust import preference_here, sealers_of_the_operator
from tenants.errors import PolicyRefused


@needs(Role.VIEWER)
@require_safe
def trust(request: HttpRequest) -> HttpResponse:
    """Every rule in order, in plain words, with its setting beside it."""
    choice = TrustChoice.of(preference_here())
    counted = _counted()
    return page(
        request,
        "panel/trust/trust.html",
        sections=[
            ("Who wrote it", "who", author_lines(choice, counted)),
            ("What is in it", "what", content_lines(choice, counted)),
        ],
        choice=choice,
        fields_from=scores_text(choice, "add_fields_from"),
    )


@needs(Role.ADMIN)
@require_http_methods(["GET", "HEAD", "POST"])
@one_after_the_other
def change(request: HttpRequest) -> HttpResponse:
    """Choose; what the dry run tried stands in the form already."""
    place = place_of(request)
    choice = TrustChoice.of(preference_here())
    form = ChoiceForm(
        typed(request), current=current_values(choice), initial=initial_of(choice) | _tried(request)
    )
    if submitted(request, form):
        try:
            set_preference(tenant=place.tenant, choice=form.choice(choice), actor=place.actor)
            return done(request, "Trust is saved as you chose.", place.url("trust"))
        except PolicyRefused as error:
            form.refuse(None, error)
    return page(
        request,
        "panel/tenant/form.html",
        form=form,
        heading="Change what is trusted",
        lead="It counts from the next message on, within a second.",
        button="Save",
        cancel=place.url("trust"),
    )


def _tried(request: HttpRequest) -> dict[str, Any]:
    """What was tried before, where the address says it."""
    tried = TrialForm(request.GET) if request.GET else None
    if tried is None or not tried.is_valid():
        return {}
    names = set(tried.cleaned_data) - {"days"}
    return {name: request.GET.get(name, "") for name in names}


def _counted() -> Counted:
    in_force = Q(expires_at=None) | Q(expires_at__gt=Now())
    kinds = TrustEntry.objects.filter(in_force).order_by().values_list("kind").annotate(Count("id"))
    numbers = dict(kinds)
    return Counted(
        allowed=numbers.get(TrustEntry.Kind.ALLOW, 0),
        blocked=numbers.get(TrustEntry.Kind.BLOCK, 0),
        sealers=TrustedSealer.objects.count() + len(sealers_of_the_operator()),
    )
