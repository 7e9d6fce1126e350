"""The tenant's audit: who changed what, from where; when support looked in; whether it is whole."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from panel.access import Role, needs, place_of
from panel.heavy import heavy
from panel.pages import page
from panel.paging import by_key
from panel.people.audit_text import Change, changes_of, words_of
from panel.people.forms import AuditFilterForm
from routing.models import AuditEntry
from tenants.audit import first_break
from tenants.models import SupportGrant

MOST_GRANTS = 10


@dataclass(frozen=True, slots=True)
class Line:
    """One entry, in words."""

    at: datetime
    actor: str
    client_ip: str
    words: str
    subject: str
    changes: list[Change]


@needs(Role.VIEWER)
@require_safe
def audit(request: HttpRequest) -> HttpResponse:
    """Entries, newest first, and the last times that support could look in."""
    form = AuditFilterForm(request.GET or None)
    wanted = form.cleaned_data if form.is_bound and form.is_valid() else {}
    slice_ = by_key(_matching(wanted), ("-id",), request.GET)
    grants = SupportGrant.objects.filter(tenant=place_of(request).tenant)
    return page(
        request,
        "panel/people/audit.html",
        form=form,
        slice=slice_,
        lines=[_line(entry) for entry in slice_],
        filtered=any(wanted.values()),
        grants=list(grants.select_related("staff").order_by("-starts_at")[:MOST_GRANTS]),
    )


@needs(Role.VIEWER)
@require_safe
@heavy("GET", "HEAD")
def chain(request: HttpRequest) -> HttpResponse:
    """Whether every entry follows from the one before; counted now, for whoever asks."""
    entries = AuditEntry.objects.order_by("id")
    broken = first_break(AuditEntry)
    return page(
        request,
        "panel/people/chain.html",
        broken=None if broken is None else entries.filter(pk=broken).first(),
        first=entries.first(),
        count=entries.count(),
    )


def _matching(wanted: dict[str, Any]) -> QuerySet[AuditEntry]:
    entries = AuditEntry.objects.all()
    if wanted.get("kind"):
        entries = entries.filter(action__startswith=wanted["kind"])
    if wanted.get("who"):
        entries = entries.filter(actor__istartswith=wanted["who"])
    if wanted.get("subject"):
        entries = entries.filter(subject__istartswith=wanted["subject"])
    if wanted.get("since"):
        entries = entries.filter(at__date__gte=wanted["since"])
    if wanted.get("until"):
        entries = entries.filter(at__date__lte=wanted["until"])
    return entries


def _line(entry: AuditEntry) -> Line:
    return Line(
        at=entry.at,
        actor=entry.actor,
        client_ip=entry.client_ip or "",
        words=words_of(entry.action),
        subject=entry.subject,
        changes=changes_of(entry.old, entry.new),
    )
