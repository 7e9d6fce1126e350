"""Addresses that mail is never brought to: nobody makes us knock inside (SSRF by mail).

Whoever names a destination chooses the MX records that we follow. The lists are IANA's registries
of special-purpose addresses (RFC 6890 and its successors), written down here because what
`ipaddress.is_global` says differs between versions of Python. An IPv6 address that carries an IPv4
address is as forbidden as that one; mapped ones (`::ffff:0:0/96`) always, no MX has one.
"""

import ipaddress
from functools import lru_cache
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_FORBIDDEN_V4: Final = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "0.0.0.0/8",  # this network, unspecified
            "10.0.0.0/8",
            "100.64.0.0/10",  # carrier-grade NAT
            "127.0.0.0/8",
            "169.254.0.0/16",  # link-local: metadata of clouds
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",  # documentation: nobody can be there
            "192.88.99.0/24",  # 6to4 relays
            "192.168.0.0/16",
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/3",  # multicast, reserved, broadcast
        ),
    )
)
_FORBIDDEN_V6: Final = tuple(
    map(
        ipaddress.IPv6Network,
        (
            "::/8",  # unspecified, loopback, IPv4-compatible, IPv4-mapped
            "64:ff9b:1::/48",  # NAT64 of a private network
            "100::/64",  # discard
            "2001::/23",  # protocol assignments: Teredo, ORCHID
            "2001:db8::/32",
            "3fff::/20",  # documentation
            "5f00::/16",  # segment routing
            "fc00::/7",  # unique local
            "fe80::/10",
            "fec0::/10",  # site-local
            "ff00::/8",
        ),
    )
)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_SIX_TO_FOUR: Final = ipaddress.IPv6Network("2002::/16")
_V4_BITS: Final = 0xFFFFFFFF


@lru_cache(maxsize=4096)
def is_forbidden(text: str) -> bool:
    """Whether no mail goes to this address; also for a text that is no address."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return True
    if isinstance(address, ipaddress.IPv4Address):
        return _is_forbidden_v4(address)
    carried = _carried_v4(address)
    if carried is not None:
        return _is_forbidden_v4(carried)
    return address.scope_id is not None or any(address in network for network in _FORBIDDEN_V6)


def _is_forbidden_v4(address: ipaddress.IPv4Address) -> bool:
    return any(address in network for network in _FORBIDDEN_V4)


def _carried_v4(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that packets to this one end at: NAT64 (RFC 6052), 6to4 (RFC 3056)."""
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & _V4_BITS)
    if address in _SIX_TO_FOUR:
        return ipaddress.IPv4Address((int(address) >> 80) & _V4_BITS)
    return None
