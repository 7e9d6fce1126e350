"""The list of what is in quarantine, one message of it, and what can be read of that."""

from html import escape
from typing import Any, Final

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_POST, require_safe

from delivery import quarantine as services
from delivery.held_room import little_room
from delivery.quarantine_selectors import in_quarantine, matter, matters
from mail.preview import Preview, TextSource
from mail.trace import format_trace_id
from panel.access import Place, Role, needs, place_of
from panel.pages import not_done, page
from panel.paging import by_key
from panel.quarantine.forms import MOST_ID, FilterForm
from tenants.vault import VaultError

MOST_SHOWN_OCTETS: Final = 36_000
"""Of text, as it stands in the page."""
MOST_FIELD_OCTETS: Final = 9_000
NOT_THERE: Final = (
    "This message is not in quarantine any more: somebody decided, or its time is over."
)


@needs(Role.VIEWER)
@require_safe
def quarantine(request: HttpRequest) -> HttpResponse:
    """What is held, newest first."""
    place = place_of(request)
    form = FilterForm(request.GET)
    wanted = form.wanted() if form.is_valid() else None
    rows = matters(place.tenant.pk, wanted)
    return page(
        request,
        "panel/quarantine/quarantine.html",
        status=None if wanted else 422,
        form=form,
        room=little_room(place.tenant.pk),
        is_narrowed=any(request.GET.get(name) for name in form.fields),
        slice=by_key(rows if wanted else rows.none(), ("-id",), request.GET),
    )


@needs(Role.VIEWER)
@require_safe
def quarantined(request: HttpRequest, held_id: int) -> HttpResponse:
    """Why it is held, until when, and what can be done; its content is on a page of its own."""
    place = place_of(request)
    row = row_or_404(place, held_id)
    return page(request, "panel/quarantine/message.html", **_told(place, row))


@needs(Role.EDITOR)
@require_POST
def look(request: HttpRequest, held_id: int) -> HttpResponse:
    """Fields and plain text; who read them is written into the audit."""
    place = place_of(request)
    row = row_or_404(place, held_id)
    try:
        found = services.look(
            tenant_id=place.tenant.pk,
            trace_id=row.message_id,
            chunk_count=row.message.chunk_count,
            actor=place.actor,
        )
    except VaultError:
        found = None
    if found is None:
        text = "The content of this message cannot be opened."
        return not_done(request, text, place.url("quarantined", held_id))
    fields, fields_cut = _fitting(
        [(f"{name}: {value}", (name, value)) for name, value in found.fields], MOST_FIELD_OCTETS
    )
    lines, lines_cut = _fitting([(line, line) for line in found.lines], MOST_SHOWN_OCTETS)
    return page(
        request,
        "panel/quarantine/look.html",
        preview=found,
        fields=fields,
        lines=lines,
        is_cut=found.is_cut or fields_cut or lines_cut,
        text_heading=_heading(found),
        **_told(place, row),
    )


def row_or_404(place: Place, held_id: int) -> Any:
    """A message in this tenant's quarantine."""
    row = matter(place.tenant.pk, held_id) if held_id <= MOST_ID else None
    if row is None:
        raise Http404
    return row


def _told(place: Place, row: Any) -> dict[str, Any]:
    same = in_quarantine(place.tenant.pk).filter(message_id=row.message_id, recipient=row.recipient)
    return {
        "row": row,
        "trace_id": format_trace_id(row.message_id),
        "destinations": list(same.order_by("pk").values_list("destination", flat=True)[:20]),
    }


def _heading(found: Preview) -> str:
    if found.source is TextSource.PLAIN:
        return "Plain text"
    return "Source of the HTML" if found.source is TextSource.HTML else "No text"


def _fitting(texts: list[tuple[str, Any]], most_octets: int) -> tuple[list[Any], bool]:
    """What of the texts fits into the page, and whether something did not."""
    kept: list[Any] = []
    left = most_octets
    for text, value in texts:
        left -= len(escape(text).encode()) + 40
        if left < 0:
            return kept, True
        kept.append(value)
    return kept, False
