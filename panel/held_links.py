"""Pages behind the links of a digest: for members, without signing in, about one message each.

| page | GET | POST |
|---|---|---|
| release | what is held and why, a button | it is sent |
| delete | the same | it is gone |

A GET changes nothing, so that programs which open links in mail decide nothing. What is in the
message is not shown here: for that one signs in.
"""

from collections.abc import Callable
from typing import Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.cache import add_never_cache_headers
from django.views.decorators.http import require_http_methods, require_safe

from delivery.quarantine_links import LinkAction, LinkGone, decide_by_link, read_link
from panel.client import client_ip
from tenants.errors import NotAllowed

PAGES: Final = {
    LinkAction.RELEASE: "panel/held/release.html",
    LinkAction.DELETE: "panel/held/delete.html",
}
RESULTS: Final = {LinkAction.RELEASE: "released", LinkAction.DELETE: "deleted"}


@require_http_methods(["GET", "HEAD", "POST"])
def decide(request: HttpRequest, action: str, token: str) -> HttpResponse:
    """The page behind a link, and what its button does."""
    return _private(_decided if request.method == "POST" else _asked)(
        request, LinkAction(action), token
    )


@require_safe
def done(request: HttpRequest, result: str) -> HttpResponse:
    """What was done; the page tells nothing of anybody."""
    return _private(render)(request, f"panel/held/{result}.html")


def _asked(request: HttpRequest, action: LinkAction, token: str) -> HttpResponse:
    try:
        held = read_link(action, token)
    except LinkGone:
        return render(request, "panel/held/gone.html", status=404)
    if held is None:
        return render(request, "panel/held/decided.html")
    return render(request, PAGES[action], {"held": held})


def _decided(request: HttpRequest, action: LinkAction, token: str) -> HttpResponse:
    try:
        acted = decide_by_link(action, token, client_ip=client_ip(request))
    except LinkGone:
        return render(request, "panel/held/gone.html", status=404)
    except NotAllowed as error:
        return render(request, "panel/held/stopped.html", {"reason": str(error)}, status=409)
    if not acted:
        return render(request, "panel/held/decided.html")
    seen = redirect("panel:held-done", RESULTS[action])
    seen.status_code = 303  # RFC 9110, 15.4.4: the answer to a POST is read by GET
    return seen


def _private(respond: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """The address of the page is a secret: it goes into no cache and to no other site."""

    def with_headers(*args: object, **more: object) -> HttpResponse:
        response = respond(*args, **more)
        add_never_cache_headers(response)
        # `no-referrer` would make browsers send `Origin: null` with the page's own button.
        response["Referrer-Policy"] = "same-origin"
        return response

    return with_headers
