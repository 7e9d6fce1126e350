"""TXT look-ups with time limits and a closed set of outcomes.

Called by routing/checks.py on an event loop of its own, never with a database connection in hand.

The name servers of the zone are asked directly where they can be reached, because a resolver may
show what was true an hour ago; else the resolvers. Two sources that disagree give UNKNOWN: a proof
is neither accepted nor lost over a zone that is just being changed.

| outcome | what was said |
|---|---|
| FOUND | TXT strings at exactly this name; a CNAME or a DNAME is not followed |
| NO_DATA | the name is there, without TXT (or is a CNAME) |
| NXDOMAIN | there is no such name |
| UNKNOWN | time-out, SERVFAIL, REFUSED, a broken or contradictory answer |
"""

import asyncio
import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

import dns.asyncquery
import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.resolver

QUERY_SECONDS: Final = 3.0
LOOK_UP_SECONDS: Final = 15.0
SOURCES_ASKED: Final = 3
MOST_STRINGS: Final = 200


class TxtOutcome(Enum):
    FOUND = "found"
    NO_DATA = "no data"
    NXDOMAIN = "no such name"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class TxtAnswer:
    """`strings`: one per TXT record, its character strings joined (RFC 1464, RFC 7208 3.3)."""

    outcome: TxtOutcome
    strings: frozenset[str] = frozenset()
    detail: str = ""

    @property
    def is_negative(self) -> bool:
        return self.outcome in (TxtOutcome.NO_DATA, TxtOutcome.NXDOMAIN)


@dataclass(frozen=True, slots=True)
class Server:
    """An address to send queries to."""

    address: str
    port: int


@dataclass(slots=True)
class TxtResolver:
    """Looks TXT records up. `servers`: resolvers, those of the system when empty."""

    servers: Sequence[Server] = ()
    authoritative_port: int = 53
    private_servers: bool = False
    """Whether a zone's name servers may be at private addresses (tests, private networks)."""
    _stub: dns.asyncresolver.Resolver | None = field(default=None, init=False)

    async def look_up(self, name: str) -> TxtAnswer:
        """The TXT records at a name, within 15 seconds."""
        try:
            async with asyncio.timeout(LOOK_UP_SECONDS):
                return await self._look_up(dns.name.from_text(name))
        except TimeoutError:
            return TxtAnswer(TxtOutcome.UNKNOWN, detail="the DNS did not answer in time")
        except dns.exception.DNSException as error:
            return TxtAnswer(TxtOutcome.UNKNOWN, detail=type(error).__name__)

    async def _look_up(self, name: dns.name.Name) -> TxtAnswer:
        answers = [
            answer
            for answer in await self._ask_all(await self._servers_for(name), name, recurse=False)
            if answer.outcome is not TxtOutcome.UNKNOWN
        ]
        return agreed(answers or await self._ask_all(self.resolvers(), name, recurse=True))

    async def _ask_all(
        self, servers: Sequence[Server], name: dns.name.Name, *, recurse: bool
    ) -> list[TxtAnswer]:
        chosen = servers[:SOURCES_ASKED]
        return list(await asyncio.gather(*(_ask(one, name, recurse=recurse) for one in chosen)))

    def resolvers(self) -> list[Server]:
        """The resolvers to ask, in order."""
        if self.servers:
            return list(self.servers)
        stub = self._system()
        return [Server(str(address), stub.port) for address in stub.nameservers]

    def _system(self) -> dns.asyncresolver.Resolver:
        """A stub resolver over our servers, or those of the system."""
        if self._stub is None:
            stub = dns.asyncresolver.Resolver(configure=not self.servers)
            if self.servers:
                stub.nameservers = [_nameserver(server) for server in self.servers]
            stub.timeout, stub.lifetime = QUERY_SECONDS, LOOK_UP_SECONDS / 3
            self._stub = stub
        return self._stub

    async def _servers_for(self, name: dns.name.Name) -> list[Server]:
        zone = await self.zone_of(name)
        return [] if zone is None else await self.servers_of(zone)

    async def zone_of(self, name: dns.name.Name) -> dns.name.Name | None:
        """The zone that a name is in; None when it is not to be had."""
        try:
            return await dns.asyncresolver.zone_for_name(name, resolver=self._system())
        except (dns.exception.DNSException, OSError):
            return None

    async def servers_of(self, zone: dns.name.Name) -> list[Server]:
        """Addresses of the name servers of a zone; empty when they are not to be had."""
        try:
            answer = await self._system().resolve(zone, dns.rdatatype.NS)
        except (dns.exception.DNSException, OSError):
            return []
        hosts = sorted(str(record.target) for record in answer)[:SOURCES_ASKED]
        found = await asyncio.gather(*(self._addresses(host) for host in hosts))
        return [Server(address, self.authoritative_port) for one in found for address in one]

    async def _addresses(self, host: str) -> list[str]:
        """One address of a name server that we may connect to, IPv4 first."""
        for kind in (dns.rdatatype.A, dns.rdatatype.AAAA):
            try:
                answer = await self._system().resolve(host, kind)
            except (dns.exception.DNSException, OSError):
                continue
            usable = [str(record.address) for record in answer if self._may_ask(record.address)]
            if usable:
                return usable[:1]
        return []

    def _may_ask(self, address: str) -> bool:
        # The owner of a zone chooses these addresses: not a way into our own network.
        return self.private_servers or ipaddress.ip_address(address).is_global


def _nameserver(server: Server) -> str | dns.nameserver.Nameserver:
    return dns.nameserver.Do53Nameserver(server.address, server.port)


async def _ask(server: Server, name: dns.name.Name, *, recurse: bool) -> TxtAnswer:
    """One question to one server, over TCP where UDP cut the answer."""
    query = dns.message.make_query(name, dns.rdatatype.TXT, use_edns=0, payload=1232)
    if not recurse:
        query.flags &= ~dns.flags.RD
    try:
        response, _ = await dns.asyncquery.udp_with_fallback(
            query, server.address, timeout=QUERY_SECONDS, port=server.port, ignore_unexpected=True
        )
    except (dns.exception.DNSException, OSError, EOFError) as error:
        return TxtAnswer(TxtOutcome.UNKNOWN, detail=f"no answer ({type(error).__name__})")
    return read_response(response, name, authoritative=not recurse)


def read_response(
    response: dns.message.Message, name: dns.name.Name, *, authoritative: bool
) -> TxtAnswer:
    """What a response says of the TXT records at exactly this name."""
    code = response.rcode()
    if code not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return TxtAnswer(TxtOutcome.UNKNOWN, detail=dns.rcode.to_text(code))
    if authoritative and not response.flags & dns.flags.AA:
        return TxtAnswer(TxtOutcome.UNKNOWN, detail="not the name server of this zone")
    at_name = [rrset for rrset in response.answer if rrset.name == name]
    texts = [rrset for rrset in at_name if rrset.rdtype == dns.rdatatype.TXT]
    if texts:
        strings = (b"".join(record.strings) for rrset in texts for record in rrset)
        return TxtAnswer(TxtOutcome.FOUND, frozenset(_decoded(strings)))
    if any(rrset.rdtype == dns.rdatatype.CNAME for rrset in at_name):
        return TxtAnswer(TxtOutcome.NO_DATA, detail="a CNAME stands there, which is not followed")
    outcome = TxtOutcome.NXDOMAIN if code == dns.rcode.NXDOMAIN else TxtOutcome.NO_DATA
    return TxtAnswer(outcome, detail=outcome.value)


def _decoded(strings: Iterable[bytes]) -> Iterable[str]:
    return [
        octets.decode("latin-1") for octets, _ in zip(strings, range(MOST_STRINGS), strict=False)
    ]


def agreed(answers: Sequence[TxtAnswer]) -> TxtAnswer:
    """What all that answered say; UNKNOWN where some found records and others none."""
    known = [answer for answer in answers if answer.outcome is not TxtOutcome.UNKNOWN]
    if not known:
        detail = answers[0].detail if answers else "no name server could be asked"
        return TxtAnswer(TxtOutcome.UNKNOWN, detail=detail)
    found = [answer for answer in known if answer.outcome is TxtOutcome.FOUND]
    if not found:
        return known[0]
    if len(found) < len(known):
        return TxtAnswer(TxtOutcome.UNKNOWN, detail="the name servers do not agree yet")
    return TxtAnswer(TxtOutcome.FOUND, frozenset.intersection(*(one.strings for one in found)))
