"""The resolver: dnspython asks, this file bounds, shares and remembers.

    Resolver.mx("example.org")   cache  ->  a look-up already under way  ->  ask (<= 100 at once)

dnspython draws ids and ports at random and drops answers to another question or from another
address; truncated answers are asked again over TCP, and those that are too large are none
(nameserver.py). Records of other names in an answer are not used: only the chain of CNAMEs that
begins at the name asked. A name that leads on without its records in the answer is asked for by
itself, eight times at most.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rdatatype
import dns.resolver
from django.conf import settings

from delivery.lookups.cache import TimedCache
from delivery.lookups.nameserver import BoundedNameserver
from mail.lookups import Answer, MxRecord, Outcome

_MAX_CHAIN: Final = 8
_MAX_RECORDS: Final = 500
_OVERHEAD_OCTETS: Final = 400
_READ: Final[dict[str, Callable[[Any], Any]]] = {
    "MX": lambda record: MxRecord(record.preference, _text(record.exchange)),
    "A": lambda record: record.address,
    "AAAA": lambda record: record.address,
    "TXT": lambda record: b"".join(record.strings),
    "PTR": lambda record: _text(record.target),
}
_Question = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one resolver; times in seconds."""

    seconds_per_lookup: float = 10.0
    seconds_per_try: float = 3.0
    concurrent: int = 100
    max_entries: int = 10_000
    max_octets: int = 16 * 1024 * 1024
    longest_life: float = 86_400.0
    longest_negative_life: float = 900.0
    failure_life: float = 15.0
    """How long a failure is remembered: a dead server must not be asked for each mail."""


class Resolver:
    """Look-ups for one event loop. `servers` are (address, port); none means the system's."""

    def __init__(
        self,
        servers: Sequence[tuple[str, int]] = (),
        *,
        limits: Limits = Limits(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._asking = asyncio.Semaphore(limits.concurrent)
        self._under_way: dict[_Question, asyncio.Task[Answer[Any]]] = {}
        self._cache: TimedCache[_Question, Answer[Any]] = TimedCache(
            max_entries=limits.max_entries, max_octets=limits.max_octets, clock=clock
        )
        self._dns = _stub(servers, limits)

    async def mx(self, name: str) -> Answer[MxRecord]:
        """MX records, the most preferred first."""
        return await self._lookup(name, "MX")

    async def addresses(self, name: str, family: Literal["A", "AAAA"]) -> Answer[str]:
        """IPv4 or IPv6 addresses as text."""
        return await self._lookup(name, family)

    async def txt(self, name: str) -> Answer[bytes]:
        """TXT records, the strings of each joined."""
        return await self._lookup(name, "TXT")

    async def ptr(self, name: str) -> Answer[str]:
        """Names at a name below in-addr.arpa or ip6.arpa."""
        return await self._lookup(name, "PTR")

    async def _lookup(self, name: str, kind: str) -> Answer[Any]:
        question = (name.lower().removesuffix("."), kind)
        known = self._cache.get(question)
        if known is not None:
            return known
        return await asyncio.shield(self._task(question))

    def prefetch_txt(self, name: str) -> "asyncio.Task[Answer[bytes]] | None":
        """Begin to ask for TXT records that will be wanted soon; never waits. None: known."""
        question = (name.lower().removesuffix("."), "TXT")
        return self._task(question) if self._cache.get(question) is None else None

    def _task(self, question: _Question) -> "asyncio.Task[Answer[Any]]":
        """Of its own: the one who asked first may be cancelled, the others still wait."""
        task = self._under_way.get(question)
        if task is None:
            task = asyncio.ensure_future(self._ask(question))
            self._under_way[question] = task
            task.add_done_callback(lambda _: self._under_way.pop(question, None))
        return task

    async def _ask(self, question: _Question) -> Answer[Any]:
        try:
            async with asyncio.timeout(self._limits.seconds_per_lookup):
                async with self._asking:
                    answer, seconds = await self._follow(question)
        except TimeoutError:
            answer, seconds = Answer(Outcome.FAILURE), self._limits.failure_life
        self._cache.put(question, answer, seconds=seconds, octets=_size(question, answer))
        return answer

    async def _follow(self, question: _Question) -> tuple[Answer[Any], float]:
        """The answer and for how long it holds, over names that lead on to others."""
        name, seconds, authentic = _name(question[0]), self._limits.longest_life, True
        for _ in range(_MAX_CHAIN):
            if name is None:
                return Answer(Outcome.NO_NAME), min(seconds, self._limits.longest_negative_life)
            step = await self._step(name, question[1])
            seconds = min(seconds, step.seconds)
            authentic = authentic and step.authentic
            if step.outcome is not Outcome.NO_DATA or step.canonical_name == name:
                return step.answer(question[1], authentic=authentic), seconds
            name = step.canonical_name
        return Answer(Outcome.FAILURE), self._limits.failure_life

    async def _step(self, name: dns.name.Name, kind: str) -> "_Step":
        """One question to the servers."""
        limits = self._limits
        try:
            found = await self._dns.resolve(
                name,
                kind,
                search=False,
                raise_on_no_answer=False,
                lifetime=limits.seconds_per_lookup,
            )
        except dns.resolver.NXDOMAIN as error:
            return self._no_such_name(name, error)
        except (dns.exception.DNSException, OSError, ValueError):
            return _Step(Outcome.FAILURE, name, limits.failure_life)
        chain = found.chaining_result
        outcome = Outcome.NO_DATA if found.rrset is None else Outcome.FOUND
        longest = limits.longest_negative_life if found.rrset is None else limits.longest_life
        authentic = bool(found.response.flags & dns.flags.AD)
        records = tuple(found.rrset or ())[:_MAX_RECORDS]
        return _Step(
            outcome, chain.canonical_name, min(chain.minimum_ttl, longest), authentic, records
        )

    def _no_such_name(self, name: dns.name.Name, error: dns.resolver.NXDOMAIN) -> "_Step":
        seconds, authentic = self._limits.longest_negative_life, False
        with contextlib.suppress(dns.exception.DNSException, KeyError):
            response: dns.message.QueryMessage = error.kwargs["responses"][name]
            seconds = min(seconds, response.resolve_chaining().minimum_ttl)
            authentic = bool(response.flags & dns.flags.AD)
        return _Step(Outcome.NO_NAME, name, seconds, authentic)


@dataclass(frozen=True, slots=True)
class _Step:
    """What one question gave, and for how many seconds it holds."""

    outcome: Outcome
    canonical_name: dns.name.Name
    seconds: float
    authentic: bool = False
    records: tuple[Any, ...] = ()

    def answer(self, kind: str, *, authentic: bool) -> Answer[Any]:
        records = [_READ[kind](record) for record in self.records]
        if kind == "MX":
            records.sort()
        return Answer(self.outcome, tuple(records), _text(self.canonical_name), authentic)


def resolver_from_settings(limits: Limits = Limits()) -> Resolver:
    """A resolver over MXAX_DNS_SERVERS, for the running event loop."""
    servers = [(server.host, server.port) for server in settings.ENV.dns_servers]
    return Resolver(servers, limits=limits)


def _stub(servers: Sequence[tuple[str, int]], limits: Limits) -> dns.asyncresolver.Resolver:
    stub = dns.asyncresolver.Resolver(configure=not servers)
    known = servers or [(str(one), stub.port) for one in stub.nameservers]
    stub.nameservers = [BoundedNameserver(host, port) for host, port in known]
    stub.cache = None  # ours knows outcomes, sizes and shorter negative lives
    stub.timeout, stub.lifetime = limits.seconds_per_try, limits.seconds_per_lookup
    stub.use_edns(0, 0, 1232)
    stub.flags = dns.flags.RD | dns.flags.AD
    return stub


def _name(text: str) -> dns.name.Name | None:
    """The name exactly as its labels stand there, without escapes and IDNA; None for no name."""
    try:
        labels = [label.encode("ascii") for label in text.split(".")]
        return dns.name.Name([*labels, b""]) if all(labels) else None
    except (UnicodeEncodeError, dns.exception.DNSException):
        return None


def _text(name: dns.name.Name) -> str:
    return "" if name == dns.name.root else name.to_text(omit_final_dot=True).lower()


def _size(question: _Question, answer: Answer[Any]) -> int:
    """About what an answer takes in memory."""
    return _OVERHEAD_OCTETS + len(question[0]) + sum(_record_size(one) for one in answer.records)


def _record_size(record: MxRecord | str | bytes) -> int:
    return 100 + len(record.exchange if isinstance(record, MxRecord) else record)
