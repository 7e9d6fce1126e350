"""What every response carries, a policy under which no page can run a script; and its count."""

import time
from collections.abc import Callable
from typing import Final

from django.http import HttpRequest, HttpResponse

from panel.metrics import REQUESTS, SECONDS
from tenants.clients import may_name_the_scheme

POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "style-src 'self'",
        "img-src 'self'",
        "form-action 'self'",
        "script-src 'none'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
_PERMISSIONS: Final = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"

Respond = Callable[[HttpRequest], HttpResponse]


def security_headers(get_response: Respond) -> Respond:
    """The outermost middleware: error pages and static files get the same headers."""

    def respond(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response["Content-Security-Policy"] = POLICY
        response["Permissions-Policy"] = _PERMISSIONS
        return response

    return respond


def scheme_of_trusted_proxies(get_response: Respond) -> Respond:
    """A stranger's word that he came by HTTPS is not taken."""

    def respond(request: HttpRequest) -> HttpResponse:
        if "HTTP_X_FORWARDED_PROTO" in request.META and not may_name_the_scheme(request):
            del request.META["HTTP_X_FORWARDED_PROTO"]
        return get_response(request)

    return respond


def counted(get_response: Respond) -> Respond:
    """Counts every answer and its seconds, errors and static files too."""

    def respond(request: HttpRequest) -> HttpResponse:
        began = time.perf_counter()
        response = get_response(request)
        SECONDS.observe(time.perf_counter() - began)
        REQUESTS.labels(f"{response.status_code // 100}xx").inc()
        return response

    return respond
