"""Two who edit the same thing at the same moment: one after the other.

A form that notices what changed meanwhile (panel/forms.py:VersionedForm) compares before the
service writes. Both of two clicks in the same moment would find nothing changed, and the second
would overwrite the first unseen. So the page's whole work on a sent form is one transaction that
holds a lock on the page: who comes second reads what the first has written. He does not wait for
long, because a process has few threads: where the first one is slow, he is asked to save again.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, Final, cast

from django.db import OperationalError, connection, transaction
from django.http import Http404, HttpRequest, HttpResponse
from psycopg.errors import LockNotAvailable

from panel.access import View, place_of
from panel.kept import keep_values, return_path
from panel.pages import not_done
from tenants.models import Tenant

PATIENCE_SECONDS: Final = 1
BUSY: Final = (
    "Somebody is saving this page at this moment, so nothing of yours was saved. Look at what is "
    "there now, and save again."
)


def one_after_the_other(view: View) -> View:
    """Hold the page while a form that was sent to it is compared and saved."""

    @wraps(view)
    def respond(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        work = cast(Callable[..., HttpResponse], view)
        if request.method != "POST":
            return work(request, *args, **kwargs)
        with transaction.atomic():
            if not _hold(request.path):
                keep_values(request)
                return not_done(request, BUSY, return_path(request))
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


def _hold(path: str) -> bool:
    """Until the transaction ends; the path has the tenant in it. False where others hold it."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{PATIENCE_SECONDS}s'")
            cursor.execute(
                "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"mxax.editing.{path}"]
            )
            cursor.execute("SET LOCAL lock_timeout TO DEFAULT")
    except OperationalError as error:
        if not isinstance(error.__cause__, LockNotAvailable):
            raise
        return False
    return True
