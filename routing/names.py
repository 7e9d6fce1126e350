"""Addresses of routes and destinations as people type them, in the form that is stored."""

from dataclasses import dataclass

from django.conf import settings

from mail.address import canonical_domain, is_within, parse_address
from mail.errors import BadAddress, BadRoutePattern
from mail.routes import RoutePattern, parse_pattern
from tenants.errors import DestinationRefused, RouteRefused


@dataclass(frozen=True, slots=True)
class RouteAddress:
    """`pattern@domain`, both in normal form."""

    parsed: RoutePattern
    domain: str

    @property
    def pattern(self) -> str:
        """As stored: quoted where it must be."""
        return str(self.parsed)

    @property
    def pattern_key(self) -> str:
        """What is unique within a domain."""
        return self.parsed.text

    @property
    def text(self) -> str:
        return f"{self.pattern}@{self.domain}"


def parse_route_address(text: str) -> RouteAddress:
    """The address of a route; `*` stands for any run. Raises `RouteRefused`."""
    local_part, at, domain = text.strip(" ").rpartition("@")
    if not at or not local_part:
        raise RouteRefused("A route's address is like hi@example.org, sales-*@… or *@example.org.")
    try:
        return RouteAddress(parse_pattern(local_part), canonical_domain(domain))
    except (BadRoutePattern, BadAddress) as error:
        raise RouteRefused(f"This cannot be the address of a route: {error}.") from None


def parse_destination(text: str) -> str:
    """A destination in wire form. Raises `DestinationRefused`."""
    try:
        address = parse_address(text.strip(" "))
    except BadAddress as error:
        raise DestinationRefused(f"This cannot be a destination: {error}.") from None
    if "." not in address.domain:
        raise DestinationRefused(
            "A destination's domain has a dot in it (for example example.org)."
        )
    for own in (settings.ENV.service_domain, settings.ENV.forward_domain):
        if is_within(address.domain, own):
            raise DestinationRefused(
                f"{address.domain} is the service itself: mail would come back to us."
            )
    return str(address)
