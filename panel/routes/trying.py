"""The try-it page: which route wins, which rules are asked, where it would go. Nothing is sent."""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from delivery.refusals import accepted_today
from mail.address import split_path
from panel.access import Role, needs, place_of
from panel.pages import page
from panel.routes.forms import TryForm
from panel.routes.rules import asked_of
from routing.listing import RouteRow, route_row
from routing.trying import Question, Tried, try_message

NOT_YOURS = "This domain is not one of yours, so nothing is said about it here."
_NOBODY = "somebody@author.example"


@needs(Role.VIEWER)
@require_safe
def try_it(request: HttpRequest) -> HttpResponse:
    """A GET form: asking changes nothing."""
    place = place_of(request)
    form = TryForm(request.GET if "address" in request.GET else None)
    tried = None
    if form.is_bound and form.is_valid():
        count = accepted_today(place.tenant.pk)
        tried = try_message(place.tenant, _question(form), accepted_today=count)
        if tried is None:
            form.add_error("address", NOT_YOURS)
    return page(
        request,
        "panel/routes/try.html",
        status=422 if form.errors else None,
        form=form,
        tried=tried,
        row=_winner(tried),
        recipient_rules=asked_of(tried.recipient) if tried else (),
        message_rules=asked_of(tried.message) if tried and tried.message else (),
        reply=tried.decides.reply if tried else None,
    )


def _question(form: TryForm) -> Question:
    author = str(form.cleaned_data["author"] or _NOBODY)
    typed_path = form.data.get("reverse_path", "").strip(" ")
    path = form.cleaned_data["reverse_path"] if typed_path else author
    return Question(form.recipient, path, split_path(author)[1])


def _winner(tried: Tried | None) -> RouteRow | None:
    return route_row(tried.match.route.route_id) if tried and tried.match else None
