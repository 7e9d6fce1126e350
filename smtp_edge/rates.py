"""The rates of the edge: what is counted, under which key, and how much of it is too much."""

from collections.abc import Iterable
from dataclasses import dataclass

from smtp_edge.limits import Limits
from smtp_edge.planning import AcceptedRecipient
from smtp_edge.shared_counts import Counts, Rate

_MINUTE, _HOUR = 60, 3600


@dataclass(frozen=True, slots=True)
class Rates:
    """Made of the limits once; clients are named by `client_key`, the others by their ids."""

    counts: Counts
    connections: Rate
    messages: Rate
    refused: Rate
    guesses: Rate
    routes: tuple[Rate, ...]
    tenants: tuple[Rate, ...]

    @classmethod
    def of(cls, limits: Limits, counts: Counts) -> "Rates":
        return cls(
            counts,
            Rate("connections", limits.connections_per_minute, _MINUTE),
            Rate("messages", limits.messages_per_minute, _MINUTE),
            Rate("refused", limits.refused_per_minute, _MINUTE),
            Rate("guesses", limits.bad_returns_per_minute, _MINUTE),
            (
                Rate("route minute", limits.route_messages_per_minute, _MINUTE),
                Rate("route hour", limits.route_messages_per_hour, _HOUR),
            ),
            (
                Rate("tenant minute", limits.tenant_messages_per_minute, _MINUTE),
                Rate("tenant hour", limits.tenant_messages_per_hour, _HOUR),
            ),
        )

    def too_many(self, rate: Rate, key: str) -> bool:
        """Count one; whether it was one too many. That one is not counted: who waits gets on."""
        if self.counts.over(rate, key):
            return True
        self.counts.add(rate, key)
        return False

    def busy(self, route_id: int | None, tenant_id: int) -> Rate | None:
        """The rate that a recipient has reached."""
        for rate in self.routes if route_id is not None else ():
            if self.counts.over(rate, str(route_id)):
                return rate
        for rate in self.tenants:
            if self.counts.over(rate, str(tenant_id)):
                return rate
        return None

    def message(self, client: str, recipients: Iterable[AcceptedRecipient]) -> None:
        """Count a message that was taken: once for its client, and each of its routes and tenants."""  # noqa: E501
        self.counts.add(self.messages, client)
        facts = [one.facts for one in recipients]
        routes = {one.match.route.route_id for one in facts if one.match is not None}
        tenants = {one.snapshot.tenant_id for one in facts if one.snapshot is not None}
        for rates, ids in ((self.routes, routes), (self.tenants, tenants)):
            for rate in rates:
                for number in ids:
                    self.counts.add(rate, str(number))
