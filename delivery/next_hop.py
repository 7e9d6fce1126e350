"""Where a delivery goes next: the smarthost, or the MX hosts of the destination's domain.

A `NextHop` groups what shares connections, limits and pauses: all domains with the same set of MX
hosts are one. `resolver()` binds the operator's choice; delivery/direct.py follows MX records.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from django.conf import settings

from delivery.lookups import resolver_from_settings
from delivery.transport.values import Outcome
from mxax.setting_values import HostPort

if TYPE_CHECKING:
    from delivery.hosted import Inside


@dataclass(frozen=True, slots=True)
class Host:
    """One host of a next hop: `name` for TLS and the log, its addresses in the order to try."""

    name: str
    addresses: tuple[HostPort, ...]
    preference: int = 0


@dataclass(frozen=True, slots=True)
class NextHop:
    """Hosts that are one for us: `key` names the group; of equal preference any may be tried."""

    key: str
    hosts: tuple[Host, ...]

    @classmethod
    def at(cls, where: HostPort) -> "NextHop":
        """The one host at this place."""
        return cls(str(where), (Host(where.host, (where,)),))


class NextHopResolver(Protocol):
    """Finds the next hop of a destination's domain (an A-label), or why there is none."""

    async def resolve(self, domain: str) -> "NextHop | Outcome | Inside": ...


@dataclass(frozen=True, slots=True)
class Smarthost:
    """Everything goes to one host."""

    hop: NextHop

    @classmethod
    def at(cls, where: HostPort) -> "Smarthost":
        return cls(NextHop.at(where))

    async def resolve(self, domain: str) -> NextHop:
        return self.hop


def resolver() -> NextHopResolver:
    """The resolver the operator chose, for the running event loop."""
    from delivery.direct import Direct, rules_from_settings

    smarthost = settings.ENV.smarthost
    if smarthost is None:
        return Direct(resolver_from_settings(), rules_from_settings())
    return Smarthost.at(smarthost)
