"""Three plain pages: the name, the records to publish, and what was found."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from mail.address import unicode_domain
from panel.access import Place, Role, needs, place_of
from panel.domains.forms import AddForm
from panel.domains.lookup import Hosted, hosted
from panel.domains.record_views import record_views
from panel.domains.standing import standing
from panel.pages import done, not_done, page, see, submitted, typed
from routing.records.report import Row
from routing.services.checks import Checked, check_now
from routing.services.domains import add_domain
from routing.services.due import AskedTooSoon
from tenants.errors import NameTaken, TenancyError, UnknownName
from tenants.models import ClaimedDomain
from tenants.selectors import lookalikes_of


@needs(Role.EDITOR)
@require_http_methods(["GET", "HEAD", "POST"])
def add(request: HttpRequest) -> HttpResponse:
    """Step 1: the name."""
    place = place_of(request)
    form = AddForm(typed(request))
    if submitted(request, form):
        try:
            claim = add_domain(
                tenant=place.tenant, name=form.cleaned_data["name"], actor=place.actor
            )
        except NameTaken:
            form.add_error("name", "This is one of your domains already: see the list.")
        except TenancyError as error:
            form.refuse("name", error)
        else:
            _warn_of_twins(request, claim)
            shown = unicode_domain(claim.name)
            text = f"{shown} is added. Now publish its records, so that we know it is yours."
            return done(request, text, place.url("domain-records", claim.name))
    return page(request, "panel/domains/add.html", form=form)


def _warn_of_twins(request: HttpRequest, claim: ClaimedDomain) -> None:
    twins = [f"{unicode_domain(name)} ({name})" for name in lookalikes_of(claim)[:3]]
    if twins:
        messages.warning(
            request,
            f"{unicode_domain(claim.name)} ({claim.name}) looks like {', '.join(twins)}, which "
            "somebody else uses here. If you meant that one, remove this domain again.",
        )


@needs(Role.VIEWER)
@require_safe
def records(request: HttpRequest, domain_name: str) -> HttpResponse:
    """Step 2: what to publish."""
    one = hosted(place_of(request), domain_name)
    views = record_views(one.rows)
    return page(
        request,
        "panel/domains/records.html",
        one=one,
        to_do=[view for view in views if view.is_to_do],
        others=[view for view in views if not view.is_to_do],
    )


@needs(Role.EDITOR)
@require_POST
def check(request: HttpRequest, domain_name: str) -> HttpResponse:
    """Look now; the only page that asks the DNS, at most once a minute for each domain."""
    place = place_of(request)
    one = hosted(place, domain_name)
    page_after = _page_after(one)
    try:
        found = check_now(tenant=place.tenant, name=one.name, actor=place.actor)
    except AskedTooSoon as too_soon:
        return not_done(request, str(too_soon), place.url(page_after, one.name))
    except UnknownName as gone:
        return not_done(request, str(gone), place.url("domains"))
    return _say(request, place, found, page_after)


def _page_after(one: Hosted) -> str:
    """Who is in the wizard goes on in it."""
    return "domain" if one.claim.state == ClaimedDomain.State.VERIFIED else "domain-checked"


def _say(request: HttpRequest, place: Place, found: Checked, page_after: str) -> HttpResponse:
    name = found.claim.name
    url = place.url(page_after, name)
    if found.refusal:
        return not_done(request, found.refusal, url)
    open_rows = [row for row in found.rows if row.is_open]
    if not open_rows:
        messages.success(request, f"We looked at {unicode_domain(name)}.")
    else:
        messages.warning(request, _count(name, open_rows))
    return see(url)


def _count(name: str, open_rows: list[Row]) -> str:
    count = len(open_rows)
    said = "1 record is not as it" if count == 1 else f"{count} records are not as they"
    return f"We looked at {unicode_domain(name)}: {said} could be."


@needs(Role.VIEWER)
@require_safe
def checked(request: HttpRequest, domain_name: str) -> HttpResponse:
    """Step 3: what was found."""
    one = hosted(place_of(request), domain_name)
    return page(
        request,
        "panel/domains/checked.html",
        one=one,
        standing=standing(one.claim, one.now),
        records=record_views(one.rows),
    )
