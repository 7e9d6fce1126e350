"""Routes whose mail fails again and again: counted here, paused by routing (mail/ports.py).

The log writer calls when something failed for good. A route is named once it has failed twelve
times within 24 hours; if that call is lost, the next failure makes another.
"""

from collections.abc import Sequence

import structlog
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction

from mail.ports import FAILURES_THAT_PAUSE, FailingRoute, RouteGuard
from tenants.context import tenant_schema

log = structlog.get_logger("delivery.failing_routes")

_FORGET = """
DELETE FROM messagelog_routefailure WHERE at < (SELECT clock_timestamp()) - interval '24 hours'
"""
_FAILING = """
SELECT route_id, (array_agg(at ORDER BY at DESC))[%(enough)s]
FROM messagelog_routefailure
WHERE route_id = ANY(%(routes)s) AND at > (SELECT clock_timestamp()) - interval '24 hours'
GROUP BY route_id HAVING count(*) >= %(enough)s
"""

_bound: list[RouteGuard] = []


def bind_route_guard(guard: RouteGuard) -> None:
    """Name who pauses routes."""
    _bound[:] = [guard]


def look_after(tenant_id: int, routes: Sequence[int]) -> None:
    """Have those of these routes paused that failed too often. Trouble here stops no log."""
    try:
        with tenant_schema(tenant_id):
            failing = _failing(routes)
        for guard in _bound if failing else ():
            guard.pause_failing(failing, tenant_id=tenant_id)
    except DatabaseError as error:
        if isinstance(error, OperationalError | InterfaceError) and not connection.is_usable():
            raise
        cause = type(error.__cause__ or error).__name__
        log.warning("routes.not_paused", tenant_id=tenant_id, reason=cause)


def _failing(routes: Sequence[int]) -> list[FailingRoute]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_FORGET)
        cursor.execute(_FAILING, {"routes": list(routes), "enough": FAILURES_THAT_PAUSE})
        return [FailingRoute(route_id, began_at) for route_id, began_at in cursor.fetchall()]
