"""Taking routes away: thirty days in the trash, then gone.

| call | what it does |
|---|---|
| `remove_route` | into the trash; its address is unknown at once |
| `restore_route` | out of it, unless another route has its place |
| `purge_trash` | removes what has been there for thirty days, and destinations nobody names |
"""

from datetime import timedelta
from typing import Final

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from routing.models import KEPT_IN_TRASH, Destination, Route, RouteDestination
from routing.names import parse_route_address
from routing.services import saving
from routing.services.routes import told
from tenants.audit import THE_SERVICE, Actor, record_in_tenant
from tenants.changes import lock_routes, routes_changed
from tenants.clock import database_now
from tenants.context import public_schema, tenant_schema
from tenants.errors import UnknownName
from tenants.models import Tenant

# Who was asked within a day counts against the tenant's limit, so these rows stay that long.
_ASKED_LATELY: Final = timedelta(days=2)


def remove_route(*, tenant: Tenant, address: str, actor: Actor | str) -> Route:
    """Put a route into the trash. Raises `UnknownName`; `RouteRefused` where a circle follows."""
    where = parse_route_address(address)
    with transaction.atomic(), tenant_schema(tenant.pk):
        lock_routes(tenant.schema_name)
        route = saving.route_of(where)
        old = told(route, saving.addresses_of(route))
        route.removed_at = database_now()
        route.save(update_fields=["removed_at"])
        # Mail that this route took may now fall to a catch-all that leads back.
        saving.refuse_circles()
        record_in_tenant("route.removed", where.text, actor=actor, old=old)
        routes_changed(where.domain)
    return route


def restore_route(*, tenant: Tenant, route_id: int, actor: Actor | str) -> Route:
    """Take a route out of the trash as it was.

    Raises `UnknownName` where it is not there; `RouteRefused` where another route took its place,
    ties with it, or mail would go in a circle.
    """
    with transaction.atomic(), tenant_schema(tenant.pk):
        lock_routes(tenant.schema_name)
        route = _in_trash().select_related("domain").filter(pk=route_id).first()
        if route is None:
            raise UnknownName("This route is not in the trash.")
        where = parse_route_address(str(route))
        saving.refuse_ties(route.domain, where)
        route.removed_at = None
        saving.save_checked(route)
        saving.refuse_circles()
        new = told(route, saving.addresses_of(route))
        record_in_tenant("route.restored", where.text, actor=actor, new=new)
        routes_changed(where.domain)
    return route


def newest_in_trash(*, tenant: Tenant, address: str) -> Route:
    """Of the routes of this address in the trash the one put there last. Raises `UnknownName`."""
    where = parse_route_address(address)
    with tenant_schema(tenant.pk):
        route = (
            _in_trash()
            .filter(domain__name=where.domain, pattern_key=where.pattern_key)
            .order_by("-removed_at")
            .first()
        )
    if route is None:
        raise UnknownName(f"There is no route {where.text} in the trash.")
    return route


def purge_all(*, dry_run: bool = False) -> dict[str, int]:
    """Every tenant's trash; gives rows by slug."""
    with public_schema():
        tenants = list(Tenant.objects.exclude(schema_name="public"))
    return {tenant.slug: purge_trash(tenant=tenant, dry_run=dry_run) for tenant in tenants}


def purge_trash(*, tenant: Tenant, dry_run: bool = False) -> int:
    """Remove for good what was in the trash for thirty days (or count it); gives rows."""
    with transaction.atomic(), tenant_schema(tenant.pk):
        if not dry_run:
            lock_routes(tenant.schema_name)
        old = list(
            _in_trash().filter(removed_at__lt=Now() - KEPT_IN_TRASH).select_related("domain")
        )
        if dry_run:
            return len(old) + _unnamed().count()
        Route.with_trash.filter(pk__in=[route.pk for route in old]).delete()
        destinations, _ = _unnamed().delete()
        for route in old:
            record_in_tenant("route.purged", str(route), actor=THE_SERVICE)
    return len(old) + destinations


def _in_trash() -> QuerySet[Route]:
    return Route.with_trash.filter(removed_at__isnull=False)


def _unnamed() -> QuerySet[Destination]:
    """Destinations that no route names any more, in the trash or out of it."""
    named = RouteDestination.objects.filter(destination=OuterRef("pk"))
    not_lately = Q(asked_at=None) | Q(asked_at__lt=Now() - _ASKED_LATELY)
    return Destination.objects.filter(
        ~Exists(named), not_lately, created_at__lt=Now() - _ASKED_LATELY
    )
