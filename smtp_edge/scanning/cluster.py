"""Several addresses of one scanner: who is well, who has least to do, and who is asked next.

An address that cannot be reached, or three times in a row gives no answer, rests for 5 seconds,
then 15, then 60; after a rest one question at a time goes there, until one is answered. One message
that a scanner breaks over must not take it away from all others, hence three times. While all rest,
nobody waits: the answer is FAILED at once.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from mail.scanning import ScanOutcome, ScanResult
from mxax.setting_values import HostPort
from smtp_edge.scanning import metrics
from smtp_edge.scanning.dialect import Dialect, ScanRequest, Unusable
from smtp_edge.scanning.exchange import Unreachable, ask
from smtp_edge.scanning.spool import Spool

log = structlog.get_logger()

Address = HostPort | Path
REST_SECONDS: Final = (5.0, 15.0, 60.0)
_FAULTS_BEFORE_REST: Final = 3
_TRIES: Final = 2


class Member:
    """One address, and how it has been."""

    __slots__ = ("_faults", "_rests", "address", "rests_until", "under_way")

    def __init__(self, address: Address) -> None:
        self.address = address
        self.under_way = 0
        self.rests_until = 0.0
        self._faults = 0
        self._rests = 0

    def free_places(self, most: int, now: float) -> int:
        if now < self.rests_until:
            return 0
        return (1 if self._rests else most) - self.under_way

    def answered(self) -> bool:
        """Note that it is well; whether it was not before."""
        was_ill, self._rests, self._faults = self._rests > 0, 0, 0
        return was_ill

    def failed(self, now: float, *, at_once: bool) -> float:
        """Note a fault; the seconds that it rests now, or 0."""
        self._faults += 1
        if now < self.rests_until or not (
            at_once or self._rests or self._faults >= _FAULTS_BEFORE_REST
        ):
            return 0.0
        seconds = REST_SECONDS[min(self._rests, len(REST_SECONDS) - 1)]
        self._rests += 1
        self.rests_until = now + seconds
        return seconds


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: to connect, and for one message in all, waiting and second tries included."""

    connect: float = 2.0
    whole: float = 10.0


class Cluster:
    """All addresses of one scanner, for one event loop."""

    def __init__(
        self,
        dialect: Dialect,
        addresses: tuple[Address, ...],
        patience: Patience,
        clock: Callable[[], float],
    ) -> None:
        self._dialect = dialect
        self._members = tuple(Member(address) for address in addresses)
        self._patience = patience
        self._clock = clock
        self._waiters: deque[asyncio.Future[None]] = deque()

    @property
    def name(self) -> str:
        return self._dialect.name

    @property
    def most_octets(self) -> int | None:
        return self._dialect.most_octets

    async def scan(self, request: ScanRequest, spool: Spool) -> ScanResult:
        """One scanner's word; FAILED when none of the addresses gave one in time."""
        deadline = self._clock() + self._patience.whole
        member = await self._next_free(deadline)
        tried: set[Member] = set()
        reason = "no scanner could be asked" if member is None else ""
        while member is not None:
            tried.add(member)
            try:
                return await self._ask(member, request, spool, self._until(deadline, tried))
            except Unusable as error:
                reason = str(error)
            more = len(tried) < _TRIES and self._clock() < deadline
            member = self._take(tried) if more else None
        return ScanResult(self.name, ScanOutcome.FAILED, reason=reason)

    def _until(self, deadline: float, tried: set[Member]) -> float:
        """Until when this try may last: half of what is left while there is another address."""
        if len(tried) >= _TRIES or self._best(tried) is None:
            return deadline
        now = self._clock()
        return now + (deadline - now) / 2

    async def _ask(
        self, member: Member, request: ScanRequest, spool: Spool, until: float
    ) -> ScanResult:
        """One try. Raises `Unusable`; the place is free again afterwards."""
        seconds = until - self._clock()
        try:
            async with asyncio.timeout(seconds):
                result = await ask(
                    member.address, self._dialect, request, spool, self._patience.connect
                )
        except TimeoutError:
            self._note_fault(member, "gave no answer in time", at_once=False)
            raise Unusable("gave no answer in time") from None
        except Unusable as error:
            self._note_fault(member, str(error), at_once=isinstance(error, Unreachable))
            raise
        else:
            if member.answered():
                log.info("scan.well_again", scanner=self.name, address=str(member.address))
            return result
        finally:
            member.under_way -= 1
            self._wake()

    def _note_fault(self, member: Member, reason: str, *, at_once: bool) -> None:
        metrics.FAULTS.labels(self.name).inc()
        seconds = member.failed(self._clock(), at_once=at_once)
        if seconds:
            log.warning(
                "scan.address_rests",
                scanner=self.name,
                address=str(member.address),
                seconds=seconds,
                reason=reason,
            )

    def _places(self, member: Member) -> int:
        return member.free_places(self._dialect.most_under_way, self._clock())

    def _best(self, tried: set[Member]) -> Member | None:
        """Who has least to do of those that may be asked now."""
        free = [one for one in self._members if one not in tried and self._places(one) > 0]
        return min(free, key=lambda one: one.under_way, default=None)

    def _take(self, tried: set[Member]) -> Member | None:
        member = self._best(tried)
        if member is not None:
            member.under_way += 1
        return member

    async def _next_free(self, deadline: float) -> Member | None:
        """A place at some address, first come, first served; None when all rest or in vain."""
        member = None if self._waiters else self._take(set())
        while member is None and self._somebody_is_up():
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                async with asyncio.timeout(deadline - self._clock()):
                    await waiter
            except TimeoutError:
                return None
            finally:
                self._leave(waiter)
            member = self._take(set())
        return member

    def _somebody_is_up(self) -> bool:
        now = self._clock()
        return any(one.rests_until <= now for one in self._members)

    def _leave(self, waiter: "asyncio.Future[None]") -> None:
        """Out of the queue, however it ended; a place that it was called for goes to the next."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        elif not waiter.done() or waiter.cancelled():
            self._wake()

    def _wake(self) -> None:
        """Call as many as there are places; all of them when nobody is up."""
        free = sum(max(0, self._places(one)) for one in self._members)
        if not self._somebody_is_up():
            free = len(self._waiters)
        while free > 0 and self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                free -= 1
