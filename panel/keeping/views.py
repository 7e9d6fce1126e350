"""What is written down now: the tenant's preferences, and those of one domain."""

from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from delivery.models import RetentionRun
from delivery.retention import AUDIT, KINDS
from delivery.retention_counts import rows_now
from panel.access import Place, Role, needs, place_of
from panel.keeping.forms import DomainForm
from panel.keeping.words import KINDS as KIND_WORDS
from panel.keeping.words import LEVELS, days_text, figure_text, level_name
from panel.pages import page, see
from panel.paging import by_key
from routing.models import Domain, LogPolicy


@dataclass(frozen=True, slots=True)
class Line:
    """One kind of record: for how long it is kept, and how much there is."""

    label: str
    days: str
    rows: str = ""


@dataclass(frozen=True, slots=True)
class Own:
    """A domain with preferences of its own."""

    domain: Domain
    level: str


def tenant_default() -> LogPolicy:
    """The open tenant's own policy."""
    return LogPolicy.objects.filter(domain=None).first() or LogPolicy()


@needs(Role.VIEWER)
@require_safe
def logging(request: HttpRequest) -> HttpResponse:
    """What is kept now, how much of it there is, and which domains differ."""
    place = place_of(request)
    form = DomainForm(request.GET if "domain" in request.GET else None)
    if form.is_bound and form.is_valid():
        return see(place.url("logging-domain", form.cleaned_data["domain"].name))
    policy = tenant_default()
    own = LogPolicy.objects.exclude(domain=None).select_related("domain")
    rows = by_key(own, ("domain__name",), request.GET)
    return page(
        request,
        "panel/keeping/logging.html",
        status=422 if form.is_bound else None,
        form=form,
        level=LEVELS[policy.kept_level],
        lines=_counted(place, policy),
        last_run=RetentionRun.objects.filter(tenant_id=place.tenant.pk).first(),
        slice=rows,
        own=[Own(one.domain, level_name(one.level)) for one in rows if one.domain],
    )


def _counted(place: Place, policy: LogPolicy) -> list[Line]:
    figures = rows_now(place.tenant.pk)
    return [
        Line(KIND_WORDS[kind], days_text(policy, kind), figure_text(figures[kind]))
        for kind in KINDS
    ]


@needs(Role.VIEWER)
@require_safe
def domain_policy(request: HttpRequest, name: str) -> HttpResponse:
    """What holds for one domain, and whether it is its own."""
    domain = get_object_or_404(Domain, name=name)
    own = LogPolicy.objects.filter(domain=domain).first()
    policy = own or tenant_default()
    return page(
        request,
        "panel/keeping/domain.html",
        domain=domain,
        is_own=own is not None,
        level=LEVELS[policy.kept_level],
        lines=[Line(KIND_WORDS[kind], days_text(policy, kind)) for kind in KINDS if kind != AUDIT],
    )
