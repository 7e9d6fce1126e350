"""Greylisting as a session meets it: come back in five minutes, if we do not know you.

For tenants that chose it. What is kept are keyed digests of three things (RFC 6647, 2.3):

| part | is |
|---|---|
| client | its network: an IPv4 /24, an IPv6 /64, because large senders try again from a neighbour |
| reverse-path | the address; its domain alone where the local part looks made for one letter |
| recipient | the address |

The null reverse-path is a reverse-path like any other. Who came back and delivered three times is
learned, as a network with a domain, and where SPF passes as a domain. When the database cannot be
asked in two seconds, mail passes.
"""

import asyncio
import hashlib
import re
import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import structlog
from django.db import DatabaseError

from delivery import greylist
from delivery.greylist import Standing
from delivery.lookups.cache import TimedCache
from mail.envelope import Envelope
from smtp_edge import metrics
from smtp_edge.clients import network_around
from smtp_edge.database_threads import DatabaseThreads
from smtp_edge.ports import ServiceAway

log = structlog.get_logger()

_WAIT_SECONDS: Final = 2.0
_LEARNED_SECONDS: Final = 3600.0  # then the database is asked again, and remembers for longer
_MOST_LEARNED: Final = 20_000
_ENTRY_OCTETS: Final = 100
# VERP, SRS, BATV, ids: another one with each letter.
_FOR_ONE_LETTER: Final = re.compile(r"[0-9=+]|--").search


class Greylisting(Protocol):
    """What a session needs of it."""

    async def standing(self, envelope: Envelope, recipient: str) -> Standing:
        """Whether the mail may pass; what cannot be asked is `LEARNED`."""

    def delivered(self, envelope: Envelope) -> None:
        """Mail of who came back was taken; never waits."""


class Greylist:
    """Over the database threads of the edge. `spf_passed` says who may use a reverse-path."""

    def __init__(
        self,
        threads: DatabaseThreads,
        pepper: bytes,
        spf_passed: Callable[[Envelope], Awaitable[bool]] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._threads = threads
        self._pepper = pepper
        self._spf_passed = spf_passed
        self._learned: TimedCache[bytes, bool] = TimedCache(
            max_entries=_MOST_LEARNED, max_octets=_MOST_LEARNED * _ENTRY_OCTETS, clock=clock
        )

    async def standing(self, envelope: Envelope, recipient: str) -> Standing:
        if self._learned.get(self._neighbour(envelope)):
            return Standing.LEARNED
        senders = await self._senders(envelope)
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                said = await self._threads.run(
                    _ask, self._triplet(envelope, recipient), tuple(senders)
                )
        except (TimeoutError, ServiceAway, DatabaseError) as error:
            metrics.GREYLIST.labels("away").inc()
            log.warning("edge.greylist_away", error=type(error).__name__)
            return Standing.LEARNED
        if said is Standing.LEARNED:
            for key in senders[:1]:
                self._learned.put(key, True, seconds=_LEARNED_SECONDS, octets=_ENTRY_OCTETS)
        metrics.GREYLIST.labels(said.value).inc()
        return said

    def delivered(self, envelope: Envelope) -> None:
        asyncio.get_running_loop().create_task(self._count(envelope))

    async def _count(self, envelope: Envelope) -> None:
        self._threads.post(_delivered, tuple(await self._senders(envelope)))

    async def _senders(self, envelope: Envelope) -> list[bytes]:
        """The network with the domain, and the domain where SPF passes."""
        keys = [self._neighbour(envelope)]
        domain = _domain(envelope.reverse_path)
        if domain and self._spf_passed is not None and await self._spf_passed(envelope):
            keys.append(self._key("domain", domain))
        return keys

    def _neighbour(self, envelope: Envelope) -> bytes:
        return self._key("sender", _network(envelope), _domain(envelope.reverse_path))

    def _triplet(self, envelope: Envelope, recipient: str) -> bytes:
        path = _stable(envelope.reverse_path)
        return self._key("triplet", _network(envelope), path, recipient.lower())

    def _key(self, *parts: str) -> bytes:
        octets = "\0".join(parts).encode(errors="surrogatepass")
        return hashlib.blake2b(octets, key=self._pepper, digest_size=16).digest()


def _ask(triplet: bytes, senders: tuple[bytes, ...]) -> Standing:
    return greylist.ask(triplet=triplet, senders=senders)


def _delivered(senders: tuple[bytes, ...]) -> None:
    greylist.delivered(senders=senders)


def _network(envelope: Envelope) -> str:
    return str(network_around(envelope.client.ip, ipv4_bits=24))


def _domain(reverse_path: str) -> str:
    return reverse_path.rpartition("@")[2].lower()


def _stable(reverse_path: str) -> str:
    """What of a reverse-path is the same when the letter is tried again, and for the next one."""
    local, _, domain = reverse_path.lower().rpartition("@")
    return domain if _FOR_ONE_LETTER(local) else f"{local}@{domain}"
