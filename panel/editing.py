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
from django.http import HttpRequest, HttpResponse

from panel.access import View


def one_after_the_other(view: View) -> View:
    """Hold the page while a form that was sent to it is compared and saved."""

    @wraps(view)
    def respond(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        work = cast(Callable[..., HttpResponse], view)
        if request.method != "POST":
            return work(request, *args, **kwargs)
        with transaction.atomic():
            _hold(request.path)
            return work(request, *args, **kwargs)

    respond.is_for_one_at_a_time = True  # type: ignore[attr-defined]
    return cast(View, respond)


def _hold(path: str) -> None:
    """Until the transaction ends; the path has the tenant in it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"mxax.editing.{path}"]
        )
