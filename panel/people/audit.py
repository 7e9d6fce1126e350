"""The tenant's audit: who changed what, from where; when support looked in; whether it is whole."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from panel.access import Role, needs, place_of
from panel.heavy import heavy
from panel.pages import page
from panel.paging import by_key
from panel.people.audit_text import Change, changes_of, words_of
from panel.people.forms import AuditFilterForm
from routing.models import AuditEntry
from tenants.audit import look_at_chain
from tenants.models import SupportGrant

MOST_GRANTS: Final = 10
SECONDS: Final = 8.0
"""A page is waited for: a longer chain is looked at in parts."""
MOST_DIGITS: Final = 19


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
    """Whether every entry follows from the one before; looked at now, some seconds at a time."""
    entries = AuditEntry.objects.order_by("id")
    after = _entry_or_404(request.GET.get("after"))
    seen = look_at_chain(AuditEntry, after=after, seconds=SECONDS)
    if seen.broken is not None and after is None:  # unless it was cut while we read
        seen = look_at_chain(AuditEntry, seconds=SECONDS)
    return page(
        request,
        "panel/people/chain.html",
        seen=seen,
        broken=None if seen.broken is None else entries.filter(pk=seen.broken).first(),
        first=after or entries.first(),
        last=entries.filter(pk=seen.last).first(),
        count=entries.count(),
    )


def _entry_or_404(text: str | None) -> AuditEntry | None:
    """The entry that an earlier look ended with."""
    if text is None:
        return None
    is_id = text.isascii() and text.isdigit() and len(text) < MOST_DIGITS
    found = AuditEntry.objects.filter(pk=int(text)).first() if is_id else None
    if found is None:
        raise Http404
    return found


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
