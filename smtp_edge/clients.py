"""Who counts as one client, and how many connections he has open.

An IPv4 address, or an IPv6 /64: whoever has one address there has 2^64 of them. Open connections
are kept per process: with n edge processes on one port a client may have n times as many. The
kernel spreads connections over the processes, so the sum is bounded, if not exact. What is counted
by the minute is shared by all processes (smtp_edge/shared_counts.py).
"""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

from smtp_edge.limits import Limits

Network = IPv4Network | IPv6Network
LOOPBACK: Final[tuple[Network, ...]] = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
_CLIENT_BITS: Final = 64


class Clients:
    """Open connections by client."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._open: Counter[str] = Counter()

    def enter(self, key: str) -> bool:
        """Count a connection; False when there are too many of this client already."""
        if self._open[key] >= self._limits.client_connections:
            return False
        self._open[key] += 1
        return True

    def leave(self, key: str) -> None:
        self._open[key] -= 1
        if self._open[key] <= 0:
            del self._open[key]


@lru_cache(maxsize=10_000)
def client_key(ip: str) -> str:
    """The name under which a client is counted."""
    if ":" not in ip:
        return ip
    return str(network_around(ip, ipv6_bits=_CLIENT_BITS))


def network_around(ip: str, *, ipv4_bits: int = 32, ipv6_bits: int = 64) -> Network | str:
    """The network of an address; what is no address is its own."""
    try:
        address = ip_address(ip)
    except ValueError:
        return ip
    bits = ipv4_bits if address.version == 4 else ipv6_bits
    return ip_network((address, bits), strict=False)


class Among:
    """Whether an address is in one of some networks; asked for each connection."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = tuple(networks)
        self._ask = lru_cache(maxsize=10_000)(self._is_among)

    def __contains__(self, ip: str) -> bool:
        return bool(self._networks) and self._ask(ip)

    def _is_among(self, ip: str) -> bool:
        try:
            address = ip_address(ip)
        except ValueError:
            return False
        return any(address in network for network in self._networks)
