"""Where a delivery goes next: the smarthost, later the MX hosts of the destination's domain.

A `NextHop` groups what shares connections, limits and pauses. `resolver()` binds the operator's
choice; `direct` needs a resolver of MX records, whose place is here.
"""

from dataclasses import dataclass
from typing import Protocol

from django.conf import settings

from mxax.setting_values import HostPort, SettingError


@dataclass(frozen=True, slots=True)
class NextHop:
    """Hosts that are one for us: `key` names the group, `addresses` in the order to try them."""

    key: str
    addresses: tuple[HostPort, ...]


class NextHopResolver(Protocol):
    """Finds the next hop of a destination's domain (an A-label)."""

    async def resolve(self, domain: str) -> NextHop: ...


@dataclass(frozen=True, slots=True)
class Smarthost:
    """Everything goes to one host."""

    hop: NextHop

    @classmethod
    def at(cls, where: HostPort) -> "Smarthost":
        return cls(NextHop(str(where), (where,)))

    async def resolve(self, domain: str) -> NextHop:
        return self.hop


def resolver() -> NextHopResolver:
    """The resolver the operator chose; raises SettingError for a choice that is not there yet."""
    smarthost = settings.ENV.smarthost
    if smarthost is None:
        raise SettingError(
            "MXAX_SMARTHOST=direct comes with the next version: set MXAX_SMARTHOST=host:port"
        )
    return Smarthost.at(smarthost)
