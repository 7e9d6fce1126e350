"""The allow and block lists: who is on them, who is put there, who is taken off."""

from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_http_methods, require_safe

from mail.address import unicode_domain
from mail.policy.trust import ListKind
from panel.access import Role, needs, place_of
from panel.pages import done, page, submitted, typed
from panel.paging import by_key
from panel.trust.forms import EntryForm, SearchForm
from routing.models import Domain, Route, TrustEntry
from routing.services.trust import MOST_ENTRIES, EntryWanted, add_entry, remove_entry
from tenants.clock import database_now
from tenants.errors import TenancyError, UnknownName

ORDER = ("subject", "id")
_PREFILLED = ("kind", "subject", "scope")


@needs(Role.VIEWER)
@require_safe
def entries(request: HttpRequest) -> HttpResponse:
    """Fifty a page, searched and narrowed."""
    filters = SearchForm(request.GET or None)
    asked = filters.cleaned_data if filters.is_bound and filters.is_valid() else {}
    rows = by_key(_matching(asked.get("q", ""), asked.get("kind", "")), ORDER, request.GET)
    return page(
        request,
        "panel/trust/lists.html",
        filters=filters,
        is_narrowed=any(asked.values()),
        rows=list(rows),
        slice=rows,
        now=database_now(),
        most=MOST_ENTRIES,
    )


@needs(Role.EDITOR)
@require_http_methods(["GET", "HEAD", "POST"])
def add(request: HttpRequest) -> HttpResponse:
    """A new entry; the address may say what it is about."""
    place = place_of(request)
    asked = {name: request.GET[name][:320] for name in _PREFILLED if name in request.GET}
    form = EntryForm(typed(request), initial={"kind": ListKind.BLOCK.value, **asked})
    if submitted(request, form):
        try:
            entry = add_entry(tenant=place.tenant, wanted=_wanted(form), actor=place.actor)
        except TenancyError as error:
            form.refuse(None, error)
        else:
            text = f"{_shown(entry)} is on the {entry.kind} list."
            return done(request, text, place.url("trust-lists"))
    return page(
        request,
        "panel/tenant/form.html",
        form=form,
        heading="New entry",
        button="Put it on the list",
        cancel=place.url("trust-lists"),
    )


@needs(Role.EDITOR)
@require_http_methods(["GET", "HEAD", "POST"])
def remove(request: HttpRequest, entry_id: int) -> HttpResponse:
    """Take it off; says first what that means."""
    place = place_of(request)
    rows = TrustEntry.objects.select_related("domain", "route__domain")
    entry = get_object_or_404(rows, pk=entry_id)
    if request.method != "POST":
        return page(request, "panel/trust/remove_entry.html", entry=entry, shown=_shown(entry))
    back = place.url("trust-lists")
    try:
        remove_entry(tenant=place.tenant, entry_id=entry.pk, actor=place.actor)
    except UnknownName:
        return done(request, f"{_shown(entry)} is not on the list any more.", back)
    return done(request, f"{_shown(entry)} is taken off the {entry.kind} list.", back)


def _matching(text: str, kind: str) -> QuerySet[TrustEntry]:
    rows = TrustEntry.objects.select_related("domain", "route__domain")
    if kind:
        rows = rows.filter(kind=kind)
    if text:
        rows = rows.filter(Q(subject__icontains=text) | Q(note__icontains=text))
    return rows


def _wanted(form: EntryForm) -> EntryWanted:
    values = form.cleaned_data
    scope = values["scope"]
    return EntryWanted(
        kind=ListKind(values["kind"]),
        subject=values["subject"],
        domain=scope.name if isinstance(scope, Domain) else "",
        route_id=scope.pk if isinstance(scope, Route) else None,
        expires_at=form.expires_at,
        note=values["note"],
    )


def _shown(entry: TrustEntry) -> str:
    local_part, at, domain = entry.subject.rpartition("@")
    return f"{local_part}{at}{unicode_domain(domain)}"
