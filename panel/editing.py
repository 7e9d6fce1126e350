"""Two who edit the same thing at the same moment: one after the other.

A form that notices what changed meanwhile (panel/forms.py:VersionedForm) compares before the
service writes. Both of two clicks in the same moment would find nothing changed, and the second
would overwrite the first unseen. So the page's whole work on a sent form is one transaction that
holds a lock on the page: who comes second reads what the first has written.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, cast

from django.db import connection, transaction
from django.http import Http404, HttpRequest, HttpResponse

from panel.access import View, place_of
from tenants.models import Tenant


def one_after_the_other(view: View) -> View:
    """Hold the page while a form that was sent to it is compared and saved."""

    @wraps(view)
    def respond(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        work = cast(Callable[..., HttpResponse], view)
        if request.method != "POST":
            return work(request, *args, **kwargs)
        with transaction.atomic():
            _hold(request.path)
            _read_again(request)
            return work(request, *args, **kwargs)

    respond.is_for_one_at_a_time = True  # type: ignore[attr-defined]
    return cast(View, respond)


def _read_again(request: HttpRequest) -> None:
    """The tenant, which the door read before we waited."""
    try:
        place_of(request).tenant.refresh_from_db()
    except Tenant.DoesNotExist:
        raise Http404 from None


def _hold(path: str) -> None:
    """Until the transaction ends; the path has the tenant in it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"mxax.editing.{path}"]
        )
