"""Telling the edges that routes changed, and keeping changes of one tenant's routes apart."""

from typing import Final

from django.db import connection

CHANNEL: Final = "mxax_routes"
EVERY_DOMAIN: Final = "*"


class OutsideTransaction(RuntimeError):
    """A notice would go out before, or without, what it tells of."""


def routes_changed(name: str = EVERY_DOMAIN) -> None:
    """Tell every edge to forget a domain (A-label) once the current transaction commits."""
    _execute("SELECT pg_notify(%s, %s)", [CHANNEL, name])


def owners_changed(tenant_id: int) -> None:
    """The same for every domain of a tenant: mail for its postmasters goes to its owners."""
    _execute(
        "SELECT pg_notify(%s, name) FROM public.tenants_claimeddomain WHERE tenant_id = %s",
        [CHANNEL, tenant_id],
    )


def lock_routes(schema_name: str) -> None:
    """Wait for other changes to this tenant's routes: ties and cycles span several rows."""
    _execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"mxax.routes.{schema_name}"]
    )


def _execute(statement: str, values: list[str | int]) -> None:
    if not connection.in_atomic_block:
        raise OutsideTransaction("a change of routes needs transaction.atomic() around it")
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
