"""What pages of the account ask for before they run, and what they carry."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.cache import add_never_cache_headers

from panel.account.texts import CONFIRM, SIGN_IN
from panel.door import to_page
from panel.kept import keep_values, return_path
from panel.pages import page
from panel.recency import is_recent
from tenants.limits import Verdict

View = Callable[..., HttpResponse]


def private(view: View) -> View:
    """The page goes into no cache, and its address (a secret, sometimes) to no other site.

    Not `no-referrer`: browsers send `Origin: null` with such a page's own form, which is refused.
    """

    @wraps(view)
    def respond(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = view(request, *args, **kwargs)
        add_never_cache_headers(response)
        response["Referrer-Policy"] = "same-origin"
        return response

    return respond


def signed_in(view: View | None = None, *, fresh: bool = False) -> Any:
    """Only for somebody signed in; `fresh`: who has proved lately who he is."""

    def guard(view: View) -> View:
        @private
        @wraps(view)
        def respond(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if not request.user.is_authenticated:
                keep_values(request)
                return to_page(SIGN_IN, back=return_path(request))
            if fresh and not is_recent(request):
                keep_values(request)
                return to_page(CONFIRM, back=return_path(request))
            return view(request, *args, **kwargs)

        return respond

    return guard if view is None else guard(view)


def slow_down(request: HttpRequest, verdict: Verdict) -> HttpResponse:
    """429 (RFC 6585, 4), and when to come back."""
    seconds = verdict.retry_after_seconds
    minutes = max(1, round(seconds / 60))
    response = page(request, "panel/account/slow_down.html", status=429, minutes=minutes)
    response["Retry-After"] = str(seconds)
    return response
