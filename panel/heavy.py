"""Pages that take long: few at once (tenants/heavy.py), otherwise 429 and when to come back."""

from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import Any, cast

from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse

from panel.access import View, place_of
from panel.pages import page
from tenants.errors import TooBusy
from tenants.heavy import RETRY_SECONDS, HeavyWork, begin_heavy_work


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
                return _later(request, busy)
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


def _later(request: HttpRequest, busy: TooBusy) -> HttpResponseBase:
    """429 (RFC 6585, 4)."""
    response = page(request, "panel/tenant/busy.html", status=429, why=str(busy))
    response["Retry-After"] = str(RETRY_SECONDS)
    return response
