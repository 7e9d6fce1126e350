"""Mail that is held for a time: for routes that are paused, and for its end.

| who calls | what follows |
|---|---|
| routing, when a route is on again (mail/ports.py) | what waits for it goes out |
| routing, when the owner of a destination stops it | what is held for it is deleted |
| housekeeping, every ten minutes | the same for routes that are on; what is past its time goes |
| housekeeping, too | owners hear of what is deleted within a day, while they can still get it |

An edge may have judged a recipient a moment before the route was switched on, and keep its mail a
moment later: nobody releases that but housekeeping.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter

import structlog
from django.db import DatabaseError, connection
from django.db.models import Count, Min

from delivery import bell, queue_services
from delivery.models import Delivery
from delivery.queue_services import OF_THE_TENANT, Selection
from delivery.tenant_queue import own_mail_flows
from mail.plan import Hold
from mail.ports import EndingMail, RouteStates
from tenants.context import public_schema, tenant_schema

log = structlog.get_logger("delivery.holds")
State = Delivery.State

_WAITED_FOR = """
    SELECT DISTINCT tenant_id, route_id FROM public.delivery_delivery
    WHERE state = 2 AND hold = %s AND tenant_id IS NOT NULL AND route_id IS NOT NULL
    ORDER BY tenant_id, route_id
"""
_ENDING = """
    SELECT tenant_id, route_id, count(DISTINCT message_id), min(held_until)
    FROM public.delivery_delivery
    WHERE state = 2 AND hold = %s AND tenant_id IS NOT NULL AND route_id IS NOT NULL
      AND held_until < (SELECT clock_timestamp()) + interval '1 day'
    GROUP BY tenant_id, route_id ORDER BY tenant_id, route_id
"""
_bound: list[RouteStates] = []


def bind_route_states(states: RouteStates) -> None:
    """Name who knows which routes are on."""
    _bound[:] = [states]


class QueuedHolds:
    """The `HeldMail` of mail/ports.py over the queue."""

    def release_routes(self, route_ids: Collection[int], *, tenant_id: int) -> int:
        if not route_ids or not own_mail_flows(tenant_id):
            return 0
        held = Selection(tenant_id=tenant_id, route_ids=tuple(route_ids), holds=(Hold.ROUTE,))
        with tenant_schema(tenant_id):
            return queue_services.release(held, ring=bell.ring, by="its route, which is on again")

    def drop_destination(self, address: str, *, tenant_id: int) -> int:
        held = Selection(
            tenant_id=tenant_id, destination=address, states=(State.HELD,), holds=OF_THE_TENANT
        )
        with tenant_schema(tenant_id):
            return queue_services.delete(held, by="the owner of the destination, who stopped it")


@dataclass(frozen=True, slots=True)
class HeldForRoute:
    """How many deliveries wait for a route, and when the first of them is deleted."""

    deliveries: int
    first_ends_at: datetime | None


def held_for_route(tenant_id: int, route_id: int) -> HeldForRoute:
    """What waits for a paused route, or for one that is in the trash."""
    held = Delivery.objects.filter(
        tenant_id=tenant_id, route_id=route_id, state=State.HELD, hold=Hold.ROUTE
    )
    found = held.aggregate(count=Count("pk"), first=Min("held_until"))
    return HeldForRoute(found["count"], found["first"])


def release_for_routes_on() -> int:
    """Release what is held for routes that are on by now; gives how many deliveries."""
    return sum(_release_of(tenant_id, routes) for tenant_id, routes in _waited_for())


def _waited_for() -> Iterator[tuple[int, list[int]]]:
    with public_schema(), connection.cursor() as cursor:
        cursor.execute(_WAITED_FOR, [int(Hold.ROUTE)])
        rows = cursor.fetchall()
    for tenant_id, pairs in groupby(rows, key=itemgetter(0)):
        yield tenant_id, [route_id for _, route_id in pairs]


def tell_of_ends() -> int:
    """Tell the owners of routes whose mail is deleted soon; gives of how many routes."""
    with public_schema(), connection.cursor() as cursor:
        cursor.execute(_ENDING, [int(Hold.ROUTE)])
        rows = cursor.fetchall()
    return sum(
        _told_of(tenant_id, [EndingMail(*row[1:]) for row in found])
        for tenant_id, found in groupby(rows, key=itemgetter(0))
    )


def _told_of(tenant_id: int, ending: Sequence[EndingMail]) -> int:
    try:
        return sum(states.mail_ends(ending, tenant_id=tenant_id) for states in _bound)
    except DatabaseError as error:
        return _waits(tenant_id, error)


def _release_of(tenant_id: int, routes: list[int]) -> int:
    """Trouble with one tenant is no trouble of the others."""
    try:
        on = [one for states in _bound for one in states.routes_on(routes, tenant_id=tenant_id)]
        return QueuedHolds().release_routes(on, tenant_id=tenant_id)
    except DatabaseError as error:
        return _waits(tenant_id, error)


def _waits(tenant_id: int, error: DatabaseError) -> int:
    cause = type(error.__cause__ or error).__name__
    log.warning("holds.tenant_waits", tenant_id=tenant_id, reason=cause)
    return 0
