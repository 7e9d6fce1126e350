"""Asks lists of addresses in the DNS about a client, beside his session.

    ask(ip)                  when he connects: a task; costs the session nothing
    await said.verdict(2.0)  when a recipient is to be judged; what is not known in time is nothing

A list is asked only while it is sound. Once an hour its test entries are looked up (RFC 5782, 5):
one that has 127.0.0.1 says yes to everything, as dead lists do, and is not believed. After three
questions in a row without an answer a list rests for 15 seconds, and then one client asks for the
test entry again before it is asked anything else: so a dead resolver costs a few clients two
seconds, and the others nothing. No mail is lost or refused for a list that fails.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

import structlog

from mail.dns_lists import ListZone, Said, question_name, read_answer
from mail.lookups import Lookup
from smtp_edge import metrics

WAIT_SECONDS: Final = 2.0
_CHECK_SECONDS: Final = 3600.0
_REST_SECONDS: Final = 15.0
_IN_VAIN: Final = 3
_NEVER_LISTED: Final = ip_address("127.0.0.1")
_Address = IPv4Address | IPv6Address

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ListVerdict:
    """Lists that name the client. `weight` is the sum of those that block."""

    blocked_by: tuple[str, ...] = ()
    allowed_by: tuple[str, ...] = ()
    weight: int = 0


NOTHING_SAID: Final = ListVerdict()


@dataclass(slots=True)
class _Soundness:
    """What we know of one list; times are the clock's."""

    is_sound: bool = False
    """Until the first check is over nothing is believed."""
    check_at: float = 0.0
    silent: int = 0
    rests_until: float = 0.0


@dataclass(slots=True)
class Asked:
    """The lists were asked about one client."""

    task: "asyncio.Task[ListVerdict]"
    deadline: float
    _gave_up: bool = field(default=False)

    async def verdict(self) -> ListVerdict:
        """What they say, within two seconds of asking or of the first who wants to know."""
        if not self.task.done() and not self._gave_up:
            seconds = max(0.0, self.deadline - asyncio.get_running_loop().time())
            await asyncio.wait((self.task,), timeout=seconds)
        if not self.task.done():
            if not self._gave_up:
                metrics.LIST_ANSWERS.labels("late").inc()
            self._gave_up = True
            return NOTHING_SAID
        if self.task.cancelled() or self.task.exception() is not None:
            return NOTHING_SAID
        return self.task.result()

    def forget(self) -> None:
        """Nobody waits any more."""
        self.task.cancel()


class DnsLists:
    """All lists of one process; lives in the event loop."""

    def __init__(
        self,
        lookup: Lookup,
        *,
        blocks: Sequence[ListZone] = (),
        allows: Sequence[ListZone] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lookup = lookup
        self._blocks, self._allows = tuple(blocks), tuple(allows)
        self._clock = clock
        self._known = {one.zone: _Soundness() for one in (*self._blocks, *self._allows)}

    def __bool__(self) -> bool:
        return bool(self._known)

    def ask(self, ip: str) -> Asked:
        """Begin to ask about a client."""
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._judge(_parsed(ip)))
        return Asked(task, loop.time() + WAIT_SECONDS)

    async def _judge(self, address: _Address | None) -> ListVerdict:
        if address is None:
            return NOTHING_SAID
        zones = (*self._blocks, *self._allows)
        said = await asyncio.gather(*(self._ask_one(zone, address) for zone in zones))
        listed = [zone for zone, one in zip(zones, said, strict=True) if one is Said.LISTED]
        blocked = tuple(zone for zone in listed if zone in self._blocks)
        return ListVerdict(
            tuple(zone.zone for zone in blocked),
            tuple(zone.zone for zone in listed if zone in self._allows),
            sum(zone.weight for zone in blocked),
        )

    async def _ask_one(self, zone: ListZone, address: _Address) -> Said:
        known, now = self._known[zone.zone], self._clock()
        if now < known.rests_until:
            return Said.SILENT
        if now >= known.check_at:
            await self._check_once(zone, known, now)
        if not known.is_sound:
            return Said.ODD
        said = await self._look_up(zone, address)
        known.silent = known.silent + 1 if said is Said.SILENT else 0
        if known.silent >= _IN_VAIN:
            self._rest(known)
        metrics.LIST_ANSWERS.labels(said.value).inc()
        if said in (Said.REFUSED, Said.ODD):
            _warn(zone.zone, said, int(now // _CHECK_SECONDS))
        return said

    async def _check_once(self, zone: ListZone, known: _Soundness, now: float) -> None:
        """One client asks for all; where he leaves meanwhile the next one does."""
        known.check_at = now + _CHECK_SECONDS
        try:
            await self._check(zone, known)
        except BaseException:
            known.check_at = now
            raise

    async def _check(self, zone: ListZone, known: _Soundness) -> None:
        said = await self._look_up(zone, _NEVER_LISTED)
        if said is Said.SILENT:
            self._rest(known)
            return
        known.is_sound = said is not Said.LISTED
        if not known.is_sound:
            log.error("edge.list_unsound", zone=zone.zone, reason="it lists 127.0.0.1")

    def _rest(self, known: _Soundness) -> None:
        """Ask nothing for a while, and then the test entry first."""
        known.rests_until = known.check_at = self._clock() + _REST_SECONDS
        known.is_sound, known.silent = False, 0

    async def _look_up(self, zone: ListZone, address: _Address) -> Said:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                answer = await self._lookup.addresses(question_name(address, zone.zone), "A")
        except TimeoutError:
            return Said.SILENT
        return read_answer(zone, answer)


@lru_cache(maxsize=64)
def _warn(zone: str, said: Said, hour: int) -> None:
    """Once an hour and list: who runs the service must know that it does not work."""
    log.warning("edge.list_refuses", zone=zone, said=said.value, hour=hour)


def _parsed(ip: str) -> _Address | None:
    try:
        return ip_address(ip)
    except ValueError:
        return None
