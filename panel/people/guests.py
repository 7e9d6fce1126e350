"""The pages behind the link of an invitation. A GET changes nothing: programs open links too."""

from contextlib import suppress
from typing import cast

from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.cache import add_never_cache_headers
from django.views.decorators.http import require_http_methods

from panel.account.guards import signed_in
from panel.client import client_ip
from panel.pages import done, page, see, submitted, typed
from panel.people.forms import AcceptAsNewForm, DeclineForm
from tenants.errors import InvitationRefused, NameTaken, TenancyError
from tenants.invitations import InvitationSeen, LinkState, invitation_of_link, waiting_for
from tenants.models import User
from tenants.people import WHAT_A_ROLE_MAY, Role
from tenants.services.invitations import (
    accept,
    accept_as_new,
    accept_waiting,
    decline,
    decline_waiting,
)


@require_http_methods(["GET", "HEAD", "POST"])
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """Who invites to what, and the button that accepts."""
    seen = invitation_of_link(token)
    if seen is None:
        return _private(page(request, "panel/people/no_invitation.html", status=404))
    if seen.state is not LinkState.OPEN:
        return _private(_spent(request, seen))
    if request.user.is_authenticated:
        return _private(_as_member(request, seen, token))
    if seen.has_account:
        return _private(_shown(request, seen, token, how="sign_in"))
    return _private(_as_stranger(request, seen, token))


def _as_member(request: HttpRequest, seen: InvitationSeen, token: str) -> HttpResponse:
    user = cast(User, request.user)
    if user.email.lower() != seen.email.lower():
        return _shown(request, seen, token, how="somebody_else")
    if request.method != "POST":
        return _shown(request, seen, token, how="accept")
    try:
        accept(token=token, user=user, client_ip=client_ip(request))
    except InvitationRefused as error:
        return _shown(request, seen, token, how="accept", refusal=str(error), status=409)
    name = seen.tenant.name or seen.tenant.slug
    return done(request, f"You belong to {name} now.", f"/t/{seen.tenant.slug}/")


def _as_stranger(request: HttpRequest, seen: InvitationSeen, token: str) -> HttpResponse:
    form = AcceptAsNewForm(typed(request))
    if submitted(request, form):
        try:
            accept_as_new(
                token=token,
                password=form.cleaned_data["password"],
                name=form.cleaned_data["name"],
                client_ip=client_ip(request),
            )
        except ValidationError as error:
            form.add_error("password", error.messages)
        except (InvitationRefused, NameTaken):
            return see(request.get_full_path())  # the page says how it stands by now
        except TenancyError as error:
            form.refuse("name", error)
        else:
            text = f"Your account {seen.email} is ready. Sign in to begin."
            return done(request, text, f"/sign-in/?next=/t/{seen.tenant.slug}/")
    return _shown(request, seen, token, how="sign_up", form=form)


@require_http_methods(["GET", "HEAD", "POST"])
def decline_invitation(request: HttpRequest, token: str) -> HttpResponse:
    """What declining means, and the button that does it."""
    seen = invitation_of_link(token)
    if seen is None or seen.state is not LinkState.OPEN:
        return _private(see("../"))
    form = DeclineForm(typed(request))
    if submitted(request, form):
        never = form.cleaned_data["never_again"]
        with suppress(InvitationRefused):  # answered meanwhile: the page says so
            decline(token=token, never_again=never, client_ip=client_ip(request))
        return _private(see("../"))
    return _private(page(request, "panel/people/decline.html", seen=seen, form=form))


@signed_in
@require_http_methods(["GET", "HEAD", "POST"])
def waiting(request: HttpRequest, waiting_id: int) -> HttpResponse:
    """An invitation of a person who has proved his address, and needs no link."""
    user = cast(User, request.user)
    found = next((one for one in waiting_for(user) if one.pk == waiting_id), None)
    if found is None:
        raise Http404
    refusal = None
    if request.method == "POST":
        answer = decline_waiting if request.POST.get("answer") == "decline" else accept_waiting
        try:
            answer(invitation_id=waiting_id, user=user, client_ip=client_ip(request))
        except InvitationRefused as error:
            refusal = str(error)
        else:
            name = found.tenant.name or found.tenant.slug
            joined = answer is accept_waiting
            text = f"You belong to {name} now." if joined else f"You declined {name}."
            return done(request, text, f"/t/{found.tenant.slug}/" if joined else "/t/")
    return _private(
        page(
            request,
            "panel/people/waiting.html",
            status=409 if refusal else None,
            invitation=found,
            what=WHAT_A_ROLE_MAY[Role(found.role)],
            refusal=refusal,
        )
    )


def _shown(
    request: HttpRequest, seen: InvitationSeen, token: str, *, how: str, **more: object
) -> HttpResponse:
    what = WHAT_A_ROLE_MAY[Role(seen.role)]
    status = cast("int | None", more.pop("status", None))
    return page(
        request,
        "panel/people/invitation.html",
        status=status,
        seen=seen,
        how=how,
        what=what,
        token=token,
        **more,
    )


def _spent(request: HttpRequest, seen: InvitationSeen) -> HttpResponse:
    return page(request, "panel/people/spent_invitation.html", status=410, seen=seen)


def _private(response: HttpResponse | HttpResponseRedirect) -> HttpResponse:
    """The address of the page is a secret: it goes into no cache.

    To no other site either: `same-origin` is the policy everywhere. `no-referrer` would make
    browsers send `Origin: null` with the form, which is refused.
    """
    add_never_cache_headers(response)
    return response
