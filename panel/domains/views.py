"""The list of domains, a domain's own page, its note and its zone file."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_http_methods, require_safe

from mail.address import unicode_domain
from panel.access import Place, Role, needs, place_of
from panel.domains.forms import FilterForm, NoteForm
from panel.domains.lookup import hosted
from panel.domains.record_views import record_views, zone_snippet
from panel.domains.standing import CONDITIONS, Standing, check_of, standing
from panel.editing import one_after_the_other
from panel.pages import done, page, submitted, typed
from panel.paging import by_key
from routing.models import DkimKey, Domain, LogPolicy
from routing.services.domains import change_note
from tenants.clock import database_now
from tenants.errors import TenancyError
from tenants.models import ClaimedDomain


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the list."""

    name: str
    standing: Standing
    looked_at: datetime | None
    routes: int
    note: str


@needs(Role.VIEWER)
@require_safe
def domains(request: HttpRequest) -> HttpResponse:
    """All domains of the tenant, fifty a page."""
    place = place_of(request)
    form = FilterForm(request.GET)
    rows = by_key(_asked_for(place, form), ("name",), request.GET)
    now = database_now()
    details = _details([claim.name for claim in rows])
    lines = [_line(claim, details.get(claim.name), now) for claim in rows]
    return page(
        request,
        "panel/domains/domains.html",
        filters=form,
        is_filtered=bool(request.GET.get("q") or request.GET.get("state")),
        slice=rows,
        lines=lines,
    )


def _asked_for(place: Place, form: FilterForm) -> QuerySet[ClaimedDomain]:
    claims = ClaimedDomain.objects.filter(tenant=place.tenant).select_related("check_seen")
    if not form.is_valid():
        return claims
    condition = CONDITIONS.get(form.cleaned_data["state"])
    if condition is not None:
        claims = claims.filter(condition)
    text = form.cleaned_data["q"].lower().strip()
    return claims.filter(_matches(claims, text)) if text else claims


def _matches(claims: QuerySet[ClaimedDomain], text: str) -> Q:
    """By A-label, by U-label, by note."""
    noted = list(Domain.objects.filter(note__icontains=text).values_list("name", flat=True))
    spelled = []
    if not text.isascii():
        foreign = claims.filter(name__contains="xn--").values_list("name", flat=True)
        spelled = [name for name in foreign if text in unicode_domain(name)]
    return Q(name__contains=text) | Q(name__in=[*noted, *spelled])


def _details(names: list[str]) -> dict[str, Domain]:
    live = Count("routes", filter=Q(routes__removed_at=None))
    found = Domain.objects.filter(name__in=names).annotate(live_routes=live)
    return {domain.name: domain for domain in found}


def _line(claim: ClaimedDomain, domain: Domain | None, now: datetime) -> Line:
    check = check_of(claim)
    return Line(
        name=claim.name,
        standing=standing(claim, now),
        looked_at=check.checked_at if check else claim.checked_at,
        routes=getattr(domain, "live_routes", 0),
        note=domain.note if domain else "",
    )


@needs(Role.VIEWER)
@require_safe
def domain(request: HttpRequest, domain_name: str) -> HttpResponse:
    """How a domain stands, who proved it, and what was last seen of its records."""
    place = place_of(request)
    one = hosted(place, domain_name)
    policies = LogPolicy.objects.filter(Q(domain=None) | Q(domain=one.domain))
    by_domain = {policy.domain_id: policy for policy in policies}
    return page(
        request,
        "panel/domains/domain.html",
        one=one,
        standing=standing(one.claim, one.now),
        records=record_views(one.rows),
        proofs=ClaimedDomain.Proof,
        keys=[key for key in one.keys if key.state != DkimKey.State.RETIRED],
        policy=by_domain.get(one.domain.pk) or by_domain.get(None) or LogPolicy(),
        has_own_policy=one.domain.pk in by_domain,
    )


@needs(Role.VIEWER)
@require_safe
def zone(request: HttpRequest, domain_name: str) -> HttpResponse:
    """What to publish, as a text to download."""
    one = hosted(place_of(request), domain_name)
    response = HttpResponse(
        zone_snippet(one.name, one.rows), content_type="text/plain; charset=us-ascii"
    )
    response["Content-Disposition"] = f'attachment; filename="{one.name}.zone.txt"'
    return response


@needs(Role.EDITOR)
@require_http_methods(["GET", "HEAD", "POST"])
@one_after_the_other
def note(request: HttpRequest, domain_name: str) -> HttpResponse:
    """A line about the domain."""
    place = place_of(request)
    one = hosted(place, domain_name)
    now_there = one.domain.note
    form = NoteForm(typed(request), initial={"note": now_there}, current={"Note": now_there})
    if submitted(request, form):
        try:
            change_note(
                tenant=place.tenant,
                name=one.name,
                note=form.cleaned_data["note"],
                actor=place.actor,
            )
        except TenancyError as error:
            form.refuse("note", error)
        else:
            text = f"The note on {unicode_domain(one.name)} is saved."
            return done(request, text, place.url("domain", one.name))
    return page(
        request,
        "panel/tenant/form.html",
        form=form,
        heading=f"Note on {unicode_domain(one.name)}",
        cancel=place.url("domain", one.name),
    )
