"""Who is on a list: what a person may write there, and which entry a message meets.

| subject | stands for |
|---|---|
| `carol@author.example` | one address, as author or reverse-path |
| `author.example` | one domain, without what is below it |
| `.author.example` | the domain and all below it |
| `192.0.2.0/24`, `2001:db8::/32` | the clients of a network |

Local parts are compared without regard to case: nobody means two people by `Carol@` and `carol@`.
"""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, TypeAlias

from mail.address import canonical_domain, parse_address
from mail.errors import BadAddress
from mail.policy.trust import ListEntry, ListKind, TrustFacts

# Wider would be most of the world; who wants that switches the rules off instead.
WIDEST_NETWORK: Final = {4: 8, 6: 19}

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


def canonical_subject(text: str) -> str:
    """The one form of what a person typed. Raises `BadAddress` (or `BadDomain`, a kind of it)."""
    text = text.strip()
    if "@" in text.lstrip("@"):
        return spelled(str(parse_address(text)))
    network = _typed_network(text)
    if network is None:
        name = text.removeprefix("@").removeprefix("*")
        below = "." if name.startswith(".") else ""
        return below + canonical_domain(name.removeprefix("."))
    if network.prefixlen < WIDEST_NETWORK[network.version]:
        raise BadAddress(f"a network is /{WIDEST_NETWORK[network.version]} or smaller")
    return str(network)


def is_network(subject: str) -> bool:
    """Whether a canonical subject names clients."""
    return "/" in subject


def is_address(subject: str) -> bool:
    return "@" in subject


def spelled(address: str) -> str:
    """An address as lists compare it; what is no address stays as it is, in lower case."""
    return address.lower()


def entry_for_client(facts: TrustFacts, kind: ListKind) -> ListEntry | None:
    """The first entry in force of a kind whose network the client is in."""
    networks = facts.policy.of_networks
    client = _client(facts.client_ip) if networks else None
    if client is None:
        return None
    concerning = (one for one in networks if _concerns(one, kind, facts))
    return next((one for one in concerning if _holds(one.subject, client)), None)


def entry_for_names(facts: TrustFacts, kind: ListKind, names: Iterable[str]) -> ListEntry | None:
    """The first entry in force of a kind that names one of these addresses or domains."""
    listed = facts.policy.by_subject
    if not listed:
        return None
    met = (one for name in names if name for subject in _subjects_of(name)
           for one in listed.get(subject, ()))  # fmt: skip
    return next((one for one in met if _concerns(one, kind, facts)), None)


def _concerns(entry: ListEntry, kind: ListKind, facts: TrustFacts) -> bool:
    """Whether it is about this recipient, at this moment."""
    return (
        entry.kind is kind
        and (not entry.domain or entry.domain == facts.recipient_domain)
        and (entry.route_id is None or entry.route_id == facts.route_id)
        and (entry.expires_at is None or entry.expires_at > facts.now)
    )


def _subjects_of(name: str) -> list[str]:
    """Every subject that an address or domain meets."""
    local_part, at, domain = spelled(name).rpartition("@")
    domain = _a_labels(domain)
    name = f"{local_part}{at}{domain}"
    labels = domain.split(".")
    below = ["." + ".".join(labels[at:]) for at in range(len(labels))]
    return [name, domain, *below]


def domain_of(address: str) -> str:
    """The domain of an address, in lower case; "" for what has none."""
    return spelled(address).rpartition("@")[2] if "@" in address else ""


def _a_labels(domain: str) -> str:
    if domain.isascii():
        return domain
    try:
        return canonical_domain(domain)
    except BadAddress:
        return domain


def _typed_network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def _network(subject: str) -> Network:
    return ipaddress.ip_network(subject)


def _client(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        client = ipaddress.ip_address(text)
    except ValueError:
        return None  # a client without an address: tests, and our own queue
    mapped = client.ipv4_mapped if isinstance(client, ipaddress.IPv6Address) else None
    return mapped or client


def _holds(subject: str, client: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    network = _network(subject)
    return network.version == client.version and client in network
