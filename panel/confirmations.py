"""Pages for the owners of destinations, who come by a link in a mail and have no account.

| page | GET | POST |
|---|---|---|
| confirm | what is asked, a button | mail flows |
| stop | what would stop, a button | it stops |
| not-me | what would follow, a button | nobody asks this address again |

A GET changes nothing, so that programs which open links in mail answer nothing. Whoever comes with
a token that fits nothing sees one page, whatever the reason.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.cache import add_never_cache_headers
from django.views.decorators.http import require_http_methods, require_safe

from panel.client import client_ip
from routing.consents import Consent, LinkState, asked_consent, given_consent
from routing.services.confirmations import (
    LinkGone,
    block_by_owner,
    confirm_by_owner,
    stop_by_owner,
)


@dataclass(frozen=True, slots=True)
class Action:
    """One thing an owner may do: where it is read, what does it, what he sees before and after."""

    read: Callable[[str], Consent | None]
    act: Callable[..., None]
    page: str
    done: str
    spent: dict[LinkState, str]


ACTIONS: Final = {
    "confirm": Action(
        asked_consent,
        confirm_by_owner,
        "panel/owner/confirm.html",
        "confirmed",
        {LinkState.EXPIRED: "panel/owner/expired.html", LinkState.USED: "panel/owner/used.html"},
    ),
    "stop": Action(
        given_consent,
        stop_by_owner,
        "panel/owner/stop.html",
        "stopped",
        {LinkState.USED: "panel/owner/stopped.html"},
    ),
    "not-me": Action(given_consent, block_by_owner, "panel/owner/not_me.html", "blocked", {}),
}
DONE: Final = {
    "confirmed": "panel/owner/confirmed.html",
    "stopped": "panel/owner/stopped.html",
    "blocked": "panel/owner/blocked.html",
}


@require_http_methods(["GET", "HEAD", "POST"])
def answer(request: HttpRequest, action: str, token: str) -> HttpResponse:
    """The page behind a link, and what its button does."""
    return _private(_acted if request.method == "POST" else _asked)(request, ACTIONS[action], token)


@require_safe
def done(request: HttpRequest, result: str) -> HttpResponse:
    """What the owner did; the page tells nothing of anybody."""
    return _private(render)(request, DONE[result])


def _asked(request: HttpRequest, action: Action, token: str) -> HttpResponse:
    consent = action.read(token)
    if consent is None:
        return _gone(request)
    page = action.spent.get(consent.state, action.page)
    return render(request, page, {"consent": consent})


def _acted(request: HttpRequest, action: Action, token: str) -> HttpResponse:
    try:
        action.act(token, client_ip=client_ip(request))
    except LinkGone:
        # The page says why, if there is anything to say to the holder of this link.
        return _asked(request, action, token)
    seen = redirect("panel:owner-done", action.done)
    seen.status_code = 303  # RFC 9110, 15.4.4: the answer to a POST is read by GET
    return seen


def _gone(request: HttpRequest) -> HttpResponse:
    return render(request, "panel/owner/gone.html", status=404)


def _private(respond: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """The address of the page is a secret: it goes into no cache and to no other site."""

    def with_headers(*args: object, **more: object) -> HttpResponse:
        response = respond(*args, **more)
        add_never_cache_headers(response)
        # Not `no-referrer`: browsers then send `Origin: null` with the page's own button (Fetch,
        # "append a request Origin header"), and Django's CSRF protection refuses that.
        response["Referrer-Policy"] = "same-origin"
        return response

    return with_headers
