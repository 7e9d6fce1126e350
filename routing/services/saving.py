"""What every change of routes is made of: what is checked, and what is written.

All of it runs in the open schema of a tenant whose routes are locked, but for `typed_destinations`
and `refuse_where_no_mail_goes`, which ask the DNS before.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from django.core.exceptions import ValidationError

from mail.address import split_path
from mail.routes import conflicts, parse_pattern
from routing.mail_exchangers import configured_questions, domains_without_mail
from routing.models import Destination, Domain, Route, RouteDestination
from routing.names import RouteAddress, parse_destination
from routing.selectors import leads_in_a_circle
from tenants import contacts
from tenants.audit import Actor, record_in_tenant
from tenants.clock import database_now
from tenants.context import public_schema
from tenants.errors import DestinationRefused, ExpiryRefused, RouteRefused, UnknownName
from tenants.models import ClaimedDomain, Tenant

MOST_DESTINATIONS: Final = 20
MOST_GLOBS: Final = 200
"""Patterns with a star in a domain: each is tried in turn, and each pair must be told apart."""
LONGEST_LIFE: Final = timedelta(days=3660)


def typed_destinations(texts: Iterable[str]) -> tuple[str, ...]:
    """Destinations in wire form, each once. Raises `DestinationRefused`."""
    wanted = tuple(dict.fromkeys(parse_destination(text) for text in texts))
    if not wanted:
        raise DestinationRefused("A route needs a destination: name an address that mail goes to.")
    if len(wanted) > MOST_DESTINATIONS:
        raise DestinationRefused(
            f"A route has at most {MOST_DESTINATIONS} destinations: these are {len(wanted)}."
        )
    return wanted


def refuse_where_no_mail_goes(addresses: Sequence[str]) -> None:
    """Raises `DestinationRefused` for a domain that says itself that it takes no mail."""
    against = words_against(addresses)
    for address in addresses:
        if address in against:
            raise DestinationRefused(against[address])


def words_against(addresses: Sequence[str]) -> dict[str, str]:
    """Those whose domain says that it takes no mail, with words for people; 3 s at most."""
    questions = configured_questions()
    if questions is None:
        return {}
    domains = {address: split_path(address)[1] for address in addresses}
    elsewhere = sorted(set(domains.values()) - hosted_here(domains.values()))
    against = domains_without_mail(elsewhere, questions)
    return {
        address: f"No mail can go to {address}: the domain {domain} {against[domain].value}. "
        "Check its spelling."
        for address, domain in domains.items()
        if domain in against
    }


def hosted_here(names: Iterable[str]) -> set[str]:
    """Mail to these stays inside: their records do not matter."""
    with public_schema():
        hosted = ClaimedDomain.objects.filter(
            name__in=set(names), state=ClaimedDomain.State.VERIFIED
        )
        return set(hosted.values_list("name", flat=True))


def domain_of(tenant: Tenant, name: str) -> Domain:
    """The tenant's domain. Raises `UnknownName`."""
    domain = Domain.objects.filter(name=name).first()
    if domain is None:
        raise UnknownName(
            f"{tenant.slug} has no domain {name}: add the domain first, then its routes."
        )
    return domain


def route_of(where: RouteAddress) -> Route:
    """The route of an address, not in the trash. Raises `UnknownName`."""
    found = (
        Route.objects.select_related("domain")
        .filter(domain__name=where.domain, pattern_key=where.pattern_key)
        .first()
    )
    if found is None:
        raise UnknownName(f"There is no route {where.text}: see the list of routes.")
    return found


def refuse_ties(domain: Domain, where: RouteAddress) -> None:
    """Raises `RouteRefused` where another route takes the same addresses equally well."""
    if domain.routes.filter(pattern_key=where.pattern_key).exists():
        raise RouteRefused(f"There is a route {where.text} already: change that one.")
    if "*" not in where.pattern_key:
        return
    globs = list(domain.routes.filter(pattern__contains="*").values_list("pattern", flat=True))
    if len(globs) >= MOST_GLOBS:
        raise RouteRefused(
            f"{where.domain} has {MOST_GLOBS} routes with a star already: that is the most."
        )
    tied = conflicts(where.parsed, [parse_pattern(pattern) for pattern in globs])
    if tied:
        raise RouteRefused(
            f"{where.text} ties with {tied[0]}@{where.domain}: some addresses fit both equally "
            "well. Make one of them longer, or remove the other."
        )


def refuse_circles() -> None:
    """Raises `RouteRefused` where routes of the tenant lead into each other."""
    circle = leads_in_a_circle()
    if circle:
        raise RouteRefused(f"Mail would go in a circle: {' to '.join(circle)}.")


def refuse_past(expires_at: datetime | None) -> None:
    """Raises `ExpiryRefused` for an end that is over already, or further off than ten years."""
    if expires_at is None:
        return
    now = database_now()
    if expires_at <= now:
        raise ExpiryRefused("This day is over: name one that is to come, or none.")
    if expires_at > now + LONGEST_LIFE:
        raise ExpiryRefused("Name a day within the next ten years, or none.")


def save_checked(route: Route) -> None:
    """Raises `RouteRefused` for what the model refuses."""
    try:
        route.full_clean()
    except ValidationError as error:
        raise RouteRefused(" ".join(error.messages)) from None
    route.save()


def set_destinations(
    route: Route, addresses: Sequence[str], actor: Actor | str, *, confirmed: bool
) -> None:
    """Let the route go to these and no others."""
    route.routedestination_set.exclude(destination__address__in=addresses).delete()
    linked = set(addresses_of(route))
    for address in addresses:
        destination = Destination.objects.filter(address=address).first()
        if destination is None:
            destination = Destination(address=address)
            destination.full_clean()
            destination.save(force_insert=True)
        if confirmed and destination.confirmed_at is None:
            confirm(destination, actor)
        if address not in linked:
            RouteDestination.objects.create(route=route, destination=destination)


def confirm(destination: Destination, actor: Actor | str) -> None:
    """Raises `RouteRefused` for an address whose owner wants nothing from us."""
    if contacts.is_blocked(destination.address):
        raise RouteRefused(f"The owner of {destination.address} wants no mail from this service.")
    by = actor if isinstance(actor, str) else actor.name
    destination.confirmed_at, destination.confirmed_by = database_now(), by[:254]
    destination.stopped_at = None
    destination.save(update_fields=["confirmed_at", "confirmed_by", "stopped_at"])
    record_in_tenant("destination.confirmed", destination.address, actor=actor, new={"by": by})


def addresses_of(route: Route) -> list[str]:
    """Where the route goes, confirmed or not."""
    return list(route.destinations.values_list("address", flat=True))
