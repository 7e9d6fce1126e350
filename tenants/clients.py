"""Who asks over HTTP, as far as the network can say it: an address, and the network it belongs to.

Behind a proxy of ours (MXAX_TRUSTED_PROXIES) the peer is the proxy, and the client is what that
proxy wrote last into X-Forwarded-For. What stands before it there was written by anybody.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def client_ip(request: HttpRequest) -> str | None:
    """The client's address, None where the server does not know one (a Unix socket)."""
    peer = _address(request.META.get("REMOTE_ADDR", ""))
    if peer is None:
        return None
    trusted: Sequence[Network] = settings.ENV.trusted_proxies
    client = peer
    hops = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    while hops and any(client in network for network in trusted):
        before = _address(hops.pop().strip())
        if before is None:  # nothing, or nothing that a proxy of ours would write
            break
        client = before
    return str(client)


def may_name_the_scheme(request: HttpRequest) -> bool:
    """Whether the peer's X-Forwarded-Proto counts: a proxy of ours, or one on this machine."""
    peer = _address(request.META.get("REMOTE_ADDR", ""))
    if peer is None:
        return True  # a Unix socket
    return peer.is_loopback or any(peer in network for network in settings.ENV.trusted_proxies)


def asked_here(request: HttpRequest) -> bool:
    """Whether a program of this machine asks, and not a proxy of ours for somebody else."""
    if "HTTP_X_FORWARDED_FOR" in request.META or "HTTP_FORWARDED" in request.META:
        return False
    peer = _address(request.META.get("REMOTE_ADDR", ""))
    return peer is not None and peer.is_loopback


def network_of(address: str | None, *, ipv4_bits: int = 32, ipv6_bits: int = 64) -> str:
    """The network that counts as one client, as text; one name for all whose address is unknown.

    Whoever has an IPv6 address has 2^64 of them.
    """
    parsed = _address(address or "")
    if parsed is None:
        return "unknown"
    bits = ipv4_bits if parsed.version == 4 else ipv6_bits
    return str(ip_network((parsed, bits), strict=False))


def _address(text: str) -> Address | None:
    try:
        # Which of our own interfaces it came by (RFC 4007, 11) is no part of who it is.
        parsed = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if parsed.version == 6 else None
    return mapped or parsed
