"""Pages that take long: few at once (tenants/heavy.py) and not one after the other all day
(tenants/limits.py); otherwise 429 and when to come back.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import Any, Final, cast

from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse

from panel.access import View, place_of
from panel.client import client_ip
from panel.pages import page
from tenants.errors import TooBusy
from tenants.heavy import RETRY_SECONDS, HeavyWork, begin_heavy_work
from tenants.limits import Kind, Verdict, count_attempt

TOO_OFTEN: Final = (
    "There were many exports, imports and checks of this tenant, or from your network."
)


def heavy(*methods: str) -> Callable[[View], View]:
    """Run a view only where its tenant, and the service, have no heavy work enough already."""

    def limit(view: View) -> View:
        @wraps(view)
        def respond(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if request.method not in methods:
                return cast(HttpResponseBase, view(request, *args, **kwargs))
            try:
                work = begin_heavy_work(place_of(request).tenant.pk)
            except TooBusy as busy:
                return _later(request, str(busy), RETRY_SECONDS)
            verdict = _counted(request)
            if not verdict.allowed:
                work.end()
                return _later(request, TOO_OFTEN, verdict.retry_after_seconds)
            response = None
            try:
                response = cast(HttpResponseBase, view(request, *args, **kwargs))
            finally:
                if not isinstance(response, StreamingHttpResponse):
                    work.end()
            if isinstance(response, StreamingHttpResponse):
                pieces = cast(Iterable[bytes], response.streaming_content)
                response.streaming_content = _UntilRead(pieces, work)
            return response

        return cast(View, respond)

    return limit


class _UntilRead(Iterator[bytes]):
    """The pieces of a streamed response; the work ends with the last one, or with the response."""

    def __init__(self, pieces: Iterable[bytes], work: HeavyWork) -> None:
        self.pieces, self.work = iter(pieces), work

    def __next__(self) -> bytes:
        try:
            return next(self.pieces)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self.work.end()


def _counted(request: HttpRequest) -> Verdict:
    """Who asks for one after the other leaves others no place either."""
    account = f"tenant {place_of(request).tenant.pk}"
    return count_attempt(Kind.HEAVY_WORK, client_ip=client_ip(request), account=account)


def _later(request: HttpRequest, why: str, seconds: int) -> HttpResponseBase:
    """429 (RFC 6585, 4)."""
    minutes = -(-seconds // 60)
    response = page(request, "panel/tenant/busy.html", status=429, why=why, minutes=minutes)
    response["Retry-After"] = str(seconds)
    return response
