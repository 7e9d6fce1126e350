"""The name of a client's address, believed only where it leads back (RFC 8601, 2.7.3: iprev).

    client_name       for the Received field, the verdict "iprev", lists of names
    leading_names     what DNS says the address is called: the first ten names (RFC 7208, 4.6.4)
    leads_back        whether one of them has this address; None where DNS does not tell

The owner of an address block writes any name into its reverse zone; only the owner of the name can
make it lead back.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, TypeAlias

from mail.authentication.values import ClientName, ClientNameResult
from mail.lookups import Answer, Lookup

MAX_NAMES: Final = 10
_MAX_ADDRESSES: Final = 100

IpAddress: TypeAlias = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Names:
    """At most ten names, as they came. `answer` tells why there is none."""

    names: tuple[str, ...]
    answer: Answer[str]


def client_address(text: str) -> IpAddress | None:
    """The address, IPv4 also where it is mapped into IPv6 (RFC 7208, 5); None for no address."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


async def client_name(lookup: Lookup, client_ip: str) -> ClientName:
    """The first name that leads back; "" with any result but a pass.

    Asks for the names and for the addresses of ten at most. Whoever calls limits the time.
    """
    address = client_address(client_ip)
    if address is None:
        return ClientName(ClientNameResult.PERMERROR)
    found = await leading_names(lookup, address)
    if not found.names:
        failed = found.answer.failed
        return ClientName(ClientNameResult.TEMPERROR if failed else ClientNameResult.PERMERROR)
    result = ClientNameResult.FAIL
    for name in found.names:
        confirmed = await leads_back(lookup, name, address)
        if confirmed:
            return ClientName(ClientNameResult.PASS, name)
        if confirmed is None:
            result = ClientNameResult.TEMPERROR
    return ClientName(result)


async def leading_names(lookup: Lookup, address: IpAddress) -> Names:
    """What the reverse zone says, in lower case without the last dot."""
    answer = await lookup.ptr(address.reverse_pointer)
    names = (name.lower().removesuffix(".") for name in answer.records[:MAX_NAMES])
    return Names(tuple(name for name in names if name), answer)


async def leads_back(lookup: Lookup, name: str, address: IpAddress) -> bool | None:
    """Whether the name has this address; None where nobody answers."""
    answer = await lookup.addresses(name, "A" if address.version == 4 else "AAAA")
    if answer.failed:
        return None
    return any(client_address(text) == address for text in answer.records[:_MAX_ADDRESSES])
