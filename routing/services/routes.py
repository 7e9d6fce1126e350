"""Saving, pausing and removing routes, and confirming destinations.

One change of a tenant's routes at a time: ties and circles span several rows.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from django.core.exceptions import ValidationError
from django.db import transaction

from mail.address import split_path
from mail.facts import RouteMode
from mail.routes import conflicts, parse_pattern
from routing.mail_exchangers import configured_questions, domains_without_mail
from routing.models import Destination, Domain, Route, RouteDestination
from routing.names import RouteAddress, parse_destination, parse_route_address
from routing.selectors import leads_in_a_circle
from routing.services.confirmations import ask_owners
from tenants import contacts
from tenants.audit import Actor, record_in_tenant
from tenants.changes import lock_routes, routes_changed
from tenants.clock import database_now
from tenants.context import public_schema, tenant_schema
from tenants.errors import DestinationRefused, RouteRefused, UnknownName
from tenants.models import ClaimedDomain, Tenant
from tenants.names import one_line

MOST_DESTINATIONS: Final = 20


def add_route(
    *,
    tenant: Tenant,
    address: str,
    destinations: Sequence[str],
    actor: Actor | str,
    mode: RouteMode = RouteMode.ON,
    confirmed: bool = False,
    note: str = "",
) -> Route:
    """A route from `pattern@domain` to destinations; `confirmed` is the operator's word for them.

    Raises `RouteRefused` for a pattern that ties, a destination that cannot be one and a circle;
    `UnknownName` for a domain that the tenant does not have. Asks the DNS, three seconds at most,
    whether destinations take mail at all, before the tenant's routes are locked.
    """
    where = parse_route_address(address)
    wanted = _checked_destinations(destinations)
    with transaction.atomic(), tenant_schema(tenant.pk):
        lock_routes(tenant.schema_name)
        domain = _domain(tenant, where.domain)
        _refuse_ties(domain, where)
        route = Route(domain=domain, pattern=where.pattern, pattern_key=where.pattern_key)
        route.mode, route.note = mode.value, one_line(note, "note")
        _save_checked(route)
        _set_destinations(route, wanted, actor, confirmed=confirmed)
        _refuse_circles()
        new = {"mode": mode.value, "destinations": list(wanted), "confirmed": confirmed}
        record_in_tenant("route.added", where.text, actor=actor, new=new)
        ask_owners(tenant, route.destinations.all(), actor)
        routes_changed(where.domain)
    return route


def remove_route(*, tenant: Tenant, address: str, actor: Actor | str) -> None:
    """Take a route away. Raises `UnknownName`; `RouteRefused` where others then form a circle."""
    where = parse_route_address(address)
    with transaction.atomic(), tenant_schema(tenant.pk):
        lock_routes(tenant.schema_name)
        route = _route(where)
        old = {"mode": route.mode, "destinations": _addresses(route)}
        route.delete()
        # Mail that this route took may now fall to a catch-all that leads back.
        _refuse_circles()
        record_in_tenant("route.removed", where.text, actor=actor, old=old)
        routes_changed(where.domain)


def set_mode(*, tenant: Tenant, address: str, mode: RouteMode, actor: Actor | str) -> Route:
    """Switch a route on, or pause it in one of three ways. Raises `UnknownName`."""
    where = parse_route_address(address)
    with transaction.atomic(), tenant_schema(tenant.pk):
        lock_routes(tenant.schema_name)
        route = _route(where)
        old, route.mode = route.mode, mode.value
        _save_checked(route)
        change = {"old": {"mode": old}, "new": {"mode": mode.value}}
        record_in_tenant("route.mode", where.text, actor=actor, **change)
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
        _confirm(destination, actor)
        for name in set(destination.routes.values_list("domain__name", flat=True)):
            routes_changed(name)
    return destination


def _checked_destinations(texts: Sequence[str]) -> tuple[str, ...]:
    wanted = tuple(dict.fromkeys(parse_destination(text) for text in texts))
    if not wanted:
        raise DestinationRefused("A route needs a destination: name an address that mail goes to.")
    if len(wanted) > MOST_DESTINATIONS:
        raise DestinationRefused(
            f"A route has at most {MOST_DESTINATIONS} destinations: these are {len(wanted)}."
        )
    _refuse_where_no_mail_goes(wanted)
    return wanted


def _refuse_where_no_mail_goes(addresses: Sequence[str]) -> None:
    """Raises `DestinationRefused` for a domain that says itself that it takes no mail."""
    questions = configured_questions()
    if questions is None:
        return
    domains = {address: split_path(address)[1] for address in addresses}
    elsewhere = sorted(set(domains.values()) - _hosted_here(domains.values()))
    against = domains_without_mail(elsewhere, questions)
    for address, domain in domains.items():
        if domain in against:
            raise DestinationRefused(
                f"No mail can go to {address}: the domain {domain} {against[domain].value}. "
                "Check its spelling."
            )


def _hosted_here(names: Iterable[str]) -> set[str]:
    """Mail to these stays inside: their records do not matter."""
    with public_schema():
        hosted = ClaimedDomain.objects.filter(
            name__in=set(names), state=ClaimedDomain.State.VERIFIED
        )
        return set(hosted.values_list("name", flat=True))


def _domain(tenant: Tenant, name: str) -> Domain:
    domain = Domain.objects.filter(name=name).first()
    if domain is None:
        raise UnknownName(
            f"{tenant.slug} has no domain {name}: `manage.py domain add {tenant.slug} {name}`."
        )
    return domain


def _route(where: RouteAddress) -> Route:
    route = Route.objects.select_related("domain").filter(
        domain__name=where.domain, pattern_key=where.pattern_key
    )
    found = route.first()
    if found is None:
        raise UnknownName(f"There is no route {where.text}: see `manage.py route list`.")
    return found


def _refuse_ties(domain: Domain, where: RouteAddress) -> None:
    if domain.routes.filter(pattern_key=where.pattern_key).exists():
        raise RouteRefused(f"There is a route {where.text} already: remove it first.")
    globs = domain.routes.filter(pattern__contains="*").values_list("pattern", flat=True)
    tied = conflicts(where.parsed, [parse_pattern(pattern) for pattern in globs])
    if tied:
        raise RouteRefused(
            f"{where.text} ties with {tied[0]}@{where.domain}: some addresses fit both equally "
            "well. Make one of them longer, or remove the other."
        )


def _save_checked(route: Route) -> None:
    try:
        route.full_clean()
    except ValidationError as error:
        raise RouteRefused(" ".join(error.messages)) from None
    route.save()


def _set_destinations(
    route: Route, addresses: Sequence[str], actor: Actor | str, *, confirmed: bool
) -> None:
    for address in addresses:
        destination = Destination.objects.filter(address=address).first()
        if destination is None:
            destination = Destination(address=address)
            destination.full_clean()
            destination.save(force_insert=True)
        if confirmed and destination.confirmed_at is None:
            _confirm(destination, actor)
        RouteDestination.objects.create(route=route, destination=destination)


def _confirm(destination: Destination, actor: Actor | str) -> None:
    """Raises `RouteRefused` for an address whose owner wants nothing from us."""
    if contacts.is_blocked(destination.address):
        raise RouteRefused(f"The owner of {destination.address} wants no mail from this service.")
    by = actor if isinstance(actor, str) else actor.name
    destination.confirmed_at, destination.confirmed_by = database_now(), by[:254]
    destination.stopped_at = None
    destination.save(update_fields=["confirmed_at", "confirmed_by", "stopped_at"])
    record_in_tenant("destination.confirmed", destination.address, actor=actor, new={"by": by})


def _refuse_circles() -> None:
    circle = leads_in_a_circle()
    if circle:
        raise RouteRefused(f"Mail would go in a circle: {' to '.join(circle)}.")


def _addresses(route: Route) -> list[str]:
    return list(route.destinations.values_list("address", flat=True))
