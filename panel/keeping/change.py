"""Changing preferences: first what a change would remove is shown, then it is saved.

Fewer days delete mail's records for good, within minutes: who changes them has lately proved who he
is, as for every deletion.
"""

from dataclasses import asdict, dataclass

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_http_methods

from delivery.retention import KINDS, Terms
from delivery.retention_counts import Figure, would_remove
from mail.address import unicode_domain
from panel.access import Place, Role, needs, place_of
from panel.editing import one_after_the_other
from panel.keeping.forms import KeepingForm, current_values
from panel.keeping.views import tenant_default
from panel.keeping.words import KINDS as KIND_WORDS
from panel.keeping.words import days_text, figure_text, level_name
from panel.pages import done, page, submitted, typed
from routing.models import Domain, LogPolicy
from routing.services.logpolicy import Keeping, remove_policy, set_policy
from tenants.errors import PolicyRefused, UnknownName


@dataclass(frozen=True, slots=True)
class Effect:
    """What a change does to one kind of record."""

    label: str
    before: str
    after: str
    removed: Figure

    @property
    def removes(self) -> str:
        """What goes, in words; "" for nothing."""
        return figure_text(self.removed) if self.removed.number else ""


@needs(Role.ADMIN, fresh=True)
@require_http_methods(["GET", "HEAD", "POST"])
@one_after_the_other
def tenant_policy(request: HttpRequest) -> HttpResponse:
    """The preferences of all domains that have none of their own."""
    return _change(request, tenant_default(), None, place_of(request).url("logging"))


@needs(Role.ADMIN, fresh=True)
@require_http_methods(["GET", "HEAD", "POST"])
@one_after_the_other
def domain_policy(request: HttpRequest, name: str) -> HttpResponse:
    """The preferences of one domain."""
    domain = get_object_or_404(Domain, name=name)
    own = LogPolicy.objects.filter(domain=domain).first()
    back = place_of(request).url("logging-domain", domain.name)
    return _change(request, own or tenant_default(), domain, back)


@needs(Role.ADMIN, fresh=True)
@require_http_methods(["GET", "HEAD", "POST"])
def remove(request: HttpRequest, name: str) -> HttpResponse:
    """Let a domain follow the tenant's preferences again; says first what that removes."""
    place = place_of(request)
    domain = get_object_or_404(Domain, name=name)
    own = LogPolicy.objects.filter(domain=domain).first()
    if own is None:
        raise Http404
    back = place.url("logging-domain", domain.name)
    if request.method == "POST":
        try:
            remove_policy(tenant=place.tenant, domain=domain.name, actor=place.actor)
        except UnknownName:  # somebody was faster
            raise Http404 from None
        text = f"{unicode_domain(domain.name)} follows the tenant's logging preferences again."
        return done(request, text, back)
    others = [one for one in _policies() if one.pk != own.pk]
    default = tenant_default()
    return page(
        request,
        "panel/keeping/preview.html",
        heading=f"Remove the preferences of {unicode_domain(domain.name)}?",
        before=level_name(own.level),
        after=level_name(default.level),
        effects=_effects(place, own, default, others),
        button="Remove them",
        cancel=back,
    )


def _change(
    request: HttpRequest, policy: LogPolicy, domain: Domain | None, back: str
) -> HttpResponse:
    form = KeepingForm(typed(request), policy=policy, for_domain=domain is not None)
    heading = f"Logging of {unicode_domain(domain.name)}" if domain else "Logging preferences"
    if submitted(request, form):
        if "confirmed" not in request.POST:
            return _preview(request, form, policy, domain, back)
        try:
            return _saved(request, form.keeping(), domain, back)
        except PolicyRefused as error:
            form.refuse(None, error)
        except UnknownName:  # the domain was removed meanwhile
            raise Http404 from None
    return page(
        request,
        "panel/tenant/form.html",
        form=form,
        heading=heading,
        button="See what it changes",
        cancel=back,
    )


def _saved(
    request: HttpRequest, keeping: Keeping, domain: Domain | None, back: str
) -> HttpResponse:
    place = place_of(request)
    name = domain.name if domain else ""
    set_policy(tenant=place.tenant, keeping=keeping, actor=place.actor, domain=name)
    whose = f" of {unicode_domain(name)}" if name else ""
    return done(request, f"Logging preferences{whose} are saved.", back)


def _preview(
    request: HttpRequest,
    form: KeepingForm,
    policy: LogPolicy,
    domain: Domain | None,
    back: str,
) -> HttpResponse:
    """What the values would do, before anything is saved."""
    proposed = LogPolicy(domain=domain, **asdict(form.keeping()))
    if domain is not None:
        proposed.audit_days = policy.audit_days
    same = domain is None or policy.domain_id is not None
    if same and current_values(policy) == current_values(proposed):
        return done(request, "Nothing was changed: these are the preferences already.", back)
    others = [one for one in _policies() if one.domain_id != (domain.pk if domain else None)]
    return page(
        request,
        "panel/keeping/preview.html",
        heading="Save these preferences?",
        hidden=form,
        before=level_name(policy.level),
        after=level_name(proposed.level),
        says_less=proposed.kept_level < policy.kept_level,
        effects=_effects(place_of(request), policy, proposed, [*others, proposed]),
        button="Save",
        cancel=back,
    )


def _policies() -> list[LogPolicy]:
    return list(LogPolicy.objects.select_related("domain"))


def _effects(
    place: Place, before: LogPolicy, after: LogPolicy, policies: list[LogPolicy]
) -> list[Effect]:
    """Each kind under the new policies; what is removed is counted as retention would."""
    of_tenant = after.domain is None and before.domain is None
    removed = would_remove(
        place.tenant.pk,
        Terms.of(policies),
        audit_days=after.audit_days if of_tenant else 0,
    )
    return [
        Effect(KIND_WORDS[kind], days_text(before, kind), days_text(after, kind), removed[kind])
        for kind in KINDS
        if kind in removed
    ]
