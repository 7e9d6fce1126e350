"""What somebody typed is not lost with his session or with a token that got too old.

The values wait in the session and come back into the form they were typed into. Only values that
our own page sent are kept, and for an hour: another site must not fill in a form for somebody. Of
people who are not signed in few are kept: whoever writes his own headers could fill our disk. With
a tenant goes what its members typed there (tenants/services/signins.py).
"""

import time
from typing import Final
from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render

from panel.client import client_ip
from tenants.limits import Kind, count_attempt
from tenants.services.signins import KEPT_VALUES

MOST_OCTETS: Final = 64_000
KEPT_SECONDS: Final = 3600
_NEVER_KEPT: Final = ("password", "code", "secret", "csrfmiddlewaretoken")


def keep_values(request: HttpRequest) -> bool:
    """Keep a form's values until the form is asked for again; whether they were kept."""
    if request.method != "POST" or not is_from_here(request):
        return False
    values = request.POST.copy()
    for name in list(values):
        if any(word in name for word in _NEVER_KEPT):
            del values[name]
    text = values.urlencode()
    if not values or len(text) > MOST_OCTETS or not _may_be_kept(request):
        return False
    path, now = return_path(request), int(time.time())
    request.session[KEPT_VALUES] = {"path": path, "values": text, "at": now}
    return True


def _may_be_kept(request: HttpRequest) -> bool:
    if request.user.is_authenticated:
        return True
    if not count_attempt(Kind.KEPT_FORM, client_ip=client_ip(request), account="").allowed:
        return False
    request.session.set_expiry(KEPT_SECONDS)
    return True


def kept_values(request: HttpRequest) -> QueryDict | None:
    """What was typed into this page before, once; None where nothing was."""
    kept = request.session.get(KEPT_VALUES)
    if request.method != "GET" or not kept or kept["path"] != request.get_full_path():
        return None
    del request.session[KEPT_VALUES]
    return QueryDict(kept["values"])


def forget_old_values(request: HttpRequest) -> None:
    """Drop what nobody came back for within an hour."""
    kept = request.session.get(KEPT_VALUES)
    if kept and not 0 <= time.time() - kept.get("at", 0) < KEPT_SECONDS:
        del request.session[KEPT_VALUES]


def forget_values(request: HttpRequest) -> None:
    """Drop what was typed in this browser, whatever page it is for."""
    request.session.pop(KEPT_VALUES, None)


def return_path(request: HttpRequest) -> str:
    """Where the browser should come back to: this page, or the page whose button was pressed."""
    if request.method == "POST" and is_from_here(request):
        referer = urlsplit(request.headers.get("Referer", ""))
        if referer.path.startswith("/") and not referer.path.startswith("//"):
            return referer.path + (f"?{referer.query}" if referer.query else "")
    return request.get_full_path()


def is_from_here(request: HttpRequest) -> bool:
    """Whether our own page sent this request, as far as the browser says."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None and site != "same-origin":
        return False
    source = request.headers.get("Origin") or request.headers.get("Referer") or ""
    return urlsplit(source).netloc == request.get_host()


def csrf_lost(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403 where the token is missing, old or somebody else's; what was typed here is kept."""
    kept = keep_values(request)
    return render(
        request, "403_csrf.html", {"kept": kept, "back": return_path(request)}, status=403
    )
