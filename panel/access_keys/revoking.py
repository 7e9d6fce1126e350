"""Making a token or a credential useless: what stops working, and the button that stops it."""

from collections.abc import Callable
from datetime import datetime

from django.http import HttpRequest, HttpResponse

from panel.access import place_of
from panel.pages import done, not_done, page
from tenants.errors import UnknownName


def revocation(
    request: HttpRequest,
    revoke: Callable[[], object],
    *,
    what: str,
    name: str,
    label: str,
    used_at: datetime | None,
) -> HttpResponse:
    """The page, or what its button does; somebody may have been faster."""
    back = place_of(request).url("access")
    if request.method == "POST":
        try:
            revoke()
        except UnknownName as error:
            return not_done(request, str(error), back)
        return done(request, f"The {what} {label or name} is revoked.", back)
    return page(
        request, "panel/access/revoke.html", what=what, name=name, label=label, used_at=used_at
    )
