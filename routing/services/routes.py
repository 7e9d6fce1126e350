"""Adding, changing and pausing routes, and confirming destinations.

One change of a tenant's routes at a time: ties and circles span several rows. What takes a route
away is in `trash`, what pauses it by itself in `failing`, many at once in `bulk`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

from django.db import transaction

from mail.facts import RouteMode
from routing.models import Destination, Route
from routing.names import parse_destination, parse_route_address
from routing.services import saving
from routing.services.confirmations import ask_owners
from routing.services.held_mail import release_mail_of
from tenants.audit import Actor, record_in_tenant
from tenants.changes import lock_routes, routes_changed
from tenants.context import tenant_schema
from tenants.errors import UnknownName
from tenants.models import Tenant
from tenants.names import one_line


class Unchanged(Enum):
    """Where None says something else: keep what is there."""

    KEEP = "keep"


KEEP: Final = Unchanged.KEEP


@dataclass(frozen=True, slots=True)
class RouteEdit:
    """What is to be different about a route; what is left out stays."""

    destinations: Sequence[str] | None = None
    mode: RouteMode | None = None
    note: str | None = None
    expires_at: datetime | Unchanged | None = KEEP


def add_route(
    *,
    tenant: Tenant,
    address: str,
    destinations: Sequence[str],
    actor: Actor | str,
    mode: RouteMode = RouteMode.ON,
    confirmed: bool = False,
    note: str = "",
    expires_at: datetime | None = None,
) -> Route:
    """A route from `pattern@domain` to destinations; `confirmed` is the operator's word for them.

    Raises `RouteRefused` for a pattern that ties, a destination that cannot be one and a circle;
    `UnknownName` for a domain that the tenant does not have. Asks the DNS, three seconds at most,
    whether destinations take mail at all, before the tenant's routes are locked.
    """
    where = parse_route_address(address)
    wanted = saving.typed_destinations(destinations)
    saving.refuse_where_no_mail_goes(wanted)
    with transaction.atomic(), tenant_schema(tenant.pk):
        lock_routes(tenant.schema_name)
        saving.refuse_past(expires_at)
        domain = saving.domain_of(tenant, where.domain)
        saving.refuse_ties(domain, where)
        route = Route(domain=domain, pattern=where.pattern, pattern_key=where.pattern_key)
        route.mode, route.note, route.expires_at = mode.value, one_line(note, "note"), expires_at
        saving.save_checked(route)
        saving.set_destinations(route, wanted, actor, confirmed=confirmed)
        saving.refuse_circles()
        new = {**told(route, wanted), "confirmed": confirmed}
        record_in_tenant("route.added", where.text, actor=actor, new=new)
        ask_owners(tenant, route.destinations.all(), actor)
        routes_changed(where.domain)
    return route


def edit_route(*, tenant: Tenant, address: str, edit: RouteEdit, actor: Actor | str) -> Route:
    """Change where a route goes, its mode, note or end. New destinations are asked to confirm.

    Raises what `add_route` raises; `UnknownName` where there is no such route.
    """
    where = parse_route_address(address)
    wanted = None if edit.destinations is None else saving.typed_destinations(edit.destinations)
    if wanted is not None:
        saving.refuse_where_no_mail_goes(_not_there_yet(tenant, address, wanted))
    with transaction.atomic(), tenant_schema(tenant.pk):
        lock_routes(tenant.schema_name)
        route = saving.route_of(where)
        before = saving.addresses_of(route)
        old = told(route, before)
        _change(route, edit)
        if wanted is not None:
            saving.set_destinations(route, wanted, actor, confirmed=False)
        saving.refuse_circles()
        changed = _difference(old, told(route, before if wanted is None else wanted))
        if changed:
            record_in_tenant("route.changed", where.text, actor=actor, **changed)
        ask_owners(tenant, route.destinations.exclude(address__in=before), actor)
        if edit.mode is not None:
            release_mail_of([route], tenant_id=tenant.pk)
        routes_changed(where.domain)
    return route


def _not_there_yet(tenant: Tenant, address: str, wanted: Sequence[str]) -> list[str]:
    """Destinations that are new to the route: the DNS of the others was asked once."""
    with tenant_schema(tenant.pk):
        known = set(saving.addresses_of(saving.route_of(parse_route_address(address))))
    return [one for one in wanted if one not in known]


def _change(route: Route, edit: RouteEdit) -> None:
    if edit.mode is not None and edit.mode.value != route.mode:
        route.mode, route.paused_because = edit.mode.value, Route.Cause.WISH
    if edit.note is not None:
        route.note = one_line(edit.note, "note")
    if edit.expires_at is not KEEP and edit.expires_at != route.expires_at:
        saving.refuse_past(edit.expires_at)
        route.expires_at = edit.expires_at
    saving.save_checked(route)


def set_mode(*, tenant: Tenant, address: str, mode: RouteMode, actor: Actor | str) -> Route:
    """Switch a route on, or pause it in one of four ways. Raises `UnknownName`.

    Whatever paused it before is forgotten: failures count anew from here. Switched on, it lets go
    what was held for it, to where it was planned to go when it came.
    """
    where = parse_route_address(address)
    with transaction.atomic(), tenant_schema(tenant.pk):
        lock_routes(tenant.schema_name)
        route = saving.route_of(where)
        old = {"mode": route.mode, "because": route.paused_because}
        route.mode, route.paused_because = mode.value, Route.Cause.WISH
        saving.save_checked(route)
        change = _difference(old, {"mode": mode.value, "because": ""})
        record_in_tenant("route.mode", where.text, actor=actor, **change)
        release_mail_of([route], tenant_id=tenant.pk)
        routes_changed(where.domain)
    return route


def confirm_destination(*, tenant: Tenant, address: str, actor: Actor | str) -> Destination:
    """The operator's word that a destination's owner wants the mail. Raises `UnknownName`."""
    wanted = parse_destination(address)
    with transaction.atomic(), tenant_schema(tenant.pk):
        lock_routes(tenant.schema_name)
        destination = Destination.objects.filter(address=wanted).first()
        if destination is None:
            raise UnknownName(f"No route of {tenant.slug} leads to {wanted}.")
        saving.confirm(destination, actor)
        for name in set(destination.routes.values_list("domain__name", flat=True)):
            routes_changed(name)
    return destination


def told(route: Route, destinations: Sequence[str]) -> dict[str, Any]:
    """A route as the audit tells of it."""
    ends = route.expires_at
    return {
        "mode": route.mode,
        "destinations": list(destinations),
        **({"note": route.note} if route.note else {}),
        **({"expires_at": f"{ends.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"} if ends else {}),
    }


def _difference(old: dict[str, Any], new: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Old and new without what is the same in both; {} where nothing differs."""
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    if not names:
        return {}
    return {
        "old": {name: old.get(name) for name in names},
        "new": {name: new.get(name) for name in names},
    }
