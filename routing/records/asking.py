"""Asking the DNS about a domain: every name at once, each server by itself, within five seconds.

Called with no database connection in hand, on an event loop of its own. For each question up to
three of the zone's own name servers are asked, and a resolver; who does not answer in time is
UNKNOWN, and the others' answers count all the same.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from routing.records.values import Answer, Outcome, Question, Seen
from routing.resolver import Server, TxtResolver

LOOK_SECONDS: Final = 4.5
QUERY_SECONDS: Final = 1.5
SERVERS_ASKED: Final = 3
RESOLVERS_ASKED: Final = 2
MOST_VALUES: Final = 100
_TROUBLES: Final = {
    dns.rcode.SERVFAIL: "the name server could not find out",
    dns.rcode.REFUSED: "the name server does not answer us",
}
_LATE: Final = Answer(Outcome.UNKNOWN, detail="no answer in time")


class AsksDns(Protocol):
    """What a look at a domain needs."""

    async def ask(self, questions: Sequence[Question]) -> dict[Question, Seen]: ...


@dataclass(slots=True)
class DnsAsker:
    """Asks the servers that `sources` knows; made anew for each event loop."""

    sources: TxtResolver
    _servers: dict[dns.name.Name, "asyncio.Task[list[Server]]"] = field(
        default_factory=dict, init=False
    )

    async def ask(self, questions: Sequence[Question]) -> dict[Question, Seen]:
        """What is said to each question."""
        seen = await asyncio.gather(*(self._one(question) for question in questions))
        return dict(zip(questions, seen, strict=True))

    async def _one(self, question: Question) -> Seen:
        try:
            dns.name.from_text(question.name)
        except dns.exception.DNSException:
            return Seen((), Answer(Outcome.UNKNOWN, detail="too long for a name in the DNS"))
        authoritative, resolver = await asyncio.gather(
            self._authoritative(question), self._resolver(question)
        )
        return Seen(tuple(authoritative), resolver)

    async def _authoritative(self, question: Question) -> list[Answer]:
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                servers = (await self._servers_for(question))[:SERVERS_ASKED]
                asked = (_ask(one, question, recurse=False) for one in servers)
                return list(await asyncio.gather(*asked))
        except (TimeoutError, dns.exception.DNSException):
            return [_LATE]

    async def _servers_for(self, question: Question) -> list[Server]:
        zone = await self.sources.zone_of(dns.name.from_text(question.name))
        if zone is None:
            return []
        if zone not in self._servers:  # a look asks many names of one zone
            self._servers[zone] = asyncio.ensure_future(self.sources.servers_of(zone))
        return await asyncio.shield(self._servers[zone])

    async def _resolver(self, question: Question) -> Answer:
        """The first resolver that gives a usable answer."""
        last = Answer(Outcome.UNKNOWN, detail="no resolver is known")
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                for server in self.sources.resolvers()[:RESOLVERS_ASKED]:
                    last = await _ask(server, question, recurse=True)
                    if last.is_known:
                        break
        except TimeoutError:
            return last if last.detail else _LATE
        return last


async def _ask(server: Server, question: Question, *, recurse: bool) -> Answer:
    """One question to one server, over TCP where UDP cut the answer."""
    query = dns.message.make_query(question.name, question.type, use_edns=0, payload=1232)
    if not recurse:
        query.flags &= ~dns.flags.RD
    try:
        response, _ = await dns.asyncquery.udp_with_fallback(
            query, server.address, timeout=QUERY_SECONDS, port=server.port, ignore_unexpected=True
        )
    except dns.exception.Timeout:
        return _LATE
    except (dns.exception.DNSException, OSError, EOFError):
        return Answer(Outcome.UNKNOWN, detail="no answer that can be read")
    return read_answer(response, question, authoritative=not recurse)


def read_answer(
    response: dns.message.Message, question: Question, *, authoritative: bool
) -> Answer:
    """What a response says to a question; aliases are followed as far as the response has them."""
    code = response.rcode()
    if code not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return Answer(Outcome.UNKNOWN, detail=_trouble(code))
    if authoritative and not response.flags & dns.flags.AA:
        return Answer(Outcome.UNKNOWN, detail="not a name server of this zone")
    name = dns.name.from_text(question.name)
    end, alias = _end_of_aliases(response.answer, name)
    wanted = dns.rdatatype.from_text(question.type)
    rrsets = [one for one in response.answer if one.name == end and one.rdtype == wanted]
    values = tuple(sorted(_values(rrsets)))[:MOST_VALUES]
    if values:
        return Answer(Outcome.FOUND, values, alias)
    outcome = Outcome.NXDOMAIN if code == dns.rcode.NXDOMAIN else Outcome.NO_DATA
    return Answer(outcome, alias=alias)


def _trouble(code: dns.rcode.Rcode) -> str:
    word = dns.rcode.to_text(code)
    return f"{_TROUBLES.get(code, 'the name server has trouble')} ({word})"


def _end_of_aliases(
    answer: Sequence[dns.rrset.RRset], name: dns.name.Name
) -> tuple[dns.name.Name, str]:
    """Where the CNAMEs lead, and the first target as text."""
    aliases = {
        rrset.name: rrset[0].target for rrset in answer if rrset.rdtype == dns.rdatatype.CNAME
    }
    first = aliases.get(name)
    for _ in range(len(aliases)):
        name = aliases.get(name, name)
    return name, _host(first) if first is not None else ""


def _values(rrsets: Iterable[dns.rrset.RRset]) -> Iterable[str]:
    for rrset in rrsets:
        for record in rrset:
            if rrset.rdtype == dns.rdatatype.MX:
                yield f"{record.preference} {_host(record.exchange)}"
            else:
                yield b"".join(record.strings).decode("latin-1")


def _host(name: dns.name.Name) -> str:
    """Lower case, without the dot at the end; the root stays a dot."""
    return name.to_text(omit_final_dot=len(name) > 1).lower()
