"""Releasing and deleting what is in quarantine, one message or several of a page at once."""

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_http_methods, require_POST

from delivery import quarantine as services
from delivery.quarantine_selectors import matters, preview_of
from mail.policy.trust import ListKind
from panel.access import Place, Role, needs, place_of
from panel.pages import done, not_done, page
from panel.quarantine.forms import DELETE, ChosenForm
from panel.quarantine.views import NOT_THERE, row_or_404
from routing.services.trust import EntryWanted, add_entry
from tenants.errors import NotAllowed, TenancyError
from tenants.vault import VaultError

NO_AUTHOR = "It was not released: it does not have exactly one author who could be let in."


@needs(Role.EDITOR)
@require_POST
def release(request: HttpRequest, held_id: int) -> HttpResponse:
    """Send it, once."""
    place = place_of(request)
    row_or_404(place, held_id)
    return _released(request, place, [held_id])


@needs(Role.EDITOR)
@require_POST
def allow(request: HttpRequest, held_id: int) -> HttpResponse:
    """Send it, and put its author on the list of those who are let in."""
    place = place_of(request)
    row = row_or_404(place, held_id)
    back = place.url("quarantined", held_id)
    try:
        found = preview_of(row.message_id, row.message.chunk_count, tenant_id=place.tenant.pk)
    except VaultError:
        found = None
    if found is None or not found.author:
        return not_done(request, NO_AUTHOR, back)
    try:
        with transaction.atomic():
            # The entry first: who changes the lists holds them before he holds the audit.
            wanted = EntryWanted(ListKind.ALLOW, found.author, note="released from quarantine")
            add_entry(tenant=place.tenant, wanted=wanted, actor=place.actor)
            count = _release(place, [held_id])
            transaction.set_rollback(not count)
    except TenancyError as error:
        return not_done(request, str(error), back)
    if not count:
        return not_done(request, NOT_THERE, place.url("quarantine"))
    text = f"The message is released, and {found.author} is on your list of those let in."
    return done(request, text, place.url("quarantine"))


@needs(Role.EDITOR)
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest, held_id: int) -> HttpResponse:
    """Ask first: nothing brings the mail back."""
    place = place_of(request)
    row = row_or_404(place, held_id)
    if request.method == "POST":
        return _deleted(request, place, [held_id])
    return page(request, "panel/quarantine/delete.html", rows=[row], cancel_id=held_id)


@needs(Role.EDITOR)
@require_POST
def chosen(request: HttpRequest) -> HttpResponse:
    """What somebody ticked in the list: released at once, deleted after one more question."""
    place, form = place_of(request), ChosenForm(request.POST)
    url = place.url("quarantine")
    if not form.is_valid() or not form.cleaned_data["chosen"]:
        return not_done(request, "Tick the messages first.", url)
    ids: list[int] = form.cleaned_data["chosen"]
    if form.cleaned_data["action"] != DELETE:
        return _released(request, place, ids)
    if form.cleaned_data["sure"]:
        return _deleted(request, place, ids)
    rows = list(matters(place.tenant.pk).filter(pk__in=ids).order_by("-id"))
    if not rows:
        return not_done(request, NOT_THERE, url)
    return page(request, "panel/quarantine/delete.html", rows=rows)


def _release(place: Place, ids: list[int]) -> int:
    return services.release(tenant_id=place.tenant.pk, delivery_ids=ids, actor=place.actor)


def _released(request: HttpRequest, place: Place, ids: list[int]) -> HttpResponse:
    try:
        count = _release(place, ids)
    except NotAllowed as error:
        return not_done(request, str(error), place.url("quarantine"))
    return _said(request, place, count, len(ids), "released, and on the way")


def _deleted(request: HttpRequest, place: Place, ids: list[int]) -> HttpResponse:
    count = services.delete(tenant_id=place.tenant.pk, delivery_ids=ids, actor=place.actor)
    return _said(request, place, count, len(ids), "deleted")


def _said(request: HttpRequest, place: Place, count: int, wanted: int, what: str) -> HttpResponse:
    url = place.url("quarantine")
    if not count:
        return not_done(request, NOT_THERE, url)
    text = f"1 message is {what}." if count == 1 else f"{count} messages are {what}."
    if count < wanted:
        text += " Others were not in quarantine any more."
    return done(request, text, url)
