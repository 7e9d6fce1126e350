"""What routing says to whoever keeps mail for paused routes, and is asked by (mail/ports.py)."""

from collections.abc import Collection, Iterable, Sequence

from mail.facts import RouteMode
from mail.ports import EndingMail, HeldMail
from routing.models import Route
from routing.services.held_mail_news import tell_of_ends
from tenants.context import tenant_schema

_bound: list[HeldMail] = []


def bind_held_mail(held: HeldMail) -> None:
    """Name who keeps the mail of paused routes."""
    _bound[:] = [held]


def release_mail_of(routes: Iterable[Route], *, tenant_id: int) -> int:
    """In the current transaction, let go what waits for those of these routes that are on."""
    on = [route.pk for route in routes if route.mode == RouteMode.ON.value]
    return sum(held.release_routes(on, tenant_id=tenant_id) for held in _bound if on)


def drop_mail_to(address: str, *, tenant_id: int) -> int:
    """In the current transaction, delete what is held for somebody who wants no more mail."""
    return sum(held.drop_destination(address, tenant_id=tenant_id) for held in _bound)


class TenantRoutes:
    """The `RouteStates` of mail/ports.py over the tenant's routes."""

    def routes_on(self, route_ids: Collection[int], *, tenant_id: int) -> frozenset[int]:
        with tenant_schema(tenant_id):
            on = Route.objects.filter(pk__in=list(route_ids), mode=RouteMode.ON.value)
            return frozenset(on.values_list("pk", flat=True))

    def mail_ends(self, ending: Sequence[EndingMail], *, tenant_id: int) -> int:
        return tell_of_ends(tenant_id=tenant_id, ending=ending)
