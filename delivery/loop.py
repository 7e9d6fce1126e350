"""The sending loop: claims what is due, attempts it, settles it; one in each worker process.

    bell, timer, ended attempts  ->  exchange (settle + claim)  ->  one task an attempt  ->  ended …

Woken by the bell (`wake`, from any thread) or by its own timer, so that mail flows while the broker
is down. At most `Limits.in_flight` deliveries are leased at a time. While an attempt lasts its
lease is renewed; one whose lease could not be renewed in time is given up, because another loop may
have it. `drain` claims nothing more, lets what is on the wire end, and gives back the rest.
"""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import TypeVar
from uuid import UUID

import structlog
from django.db import Error

from delivery.attempts import DatabaseClock, Sender
from delivery.claim import LEASE, ClaimedDelivery, Content, ContentReader
from delivery.exchange import Given, QueueDatabase, Wanted
from delivery.fair import Caps
from delivery.gate import Gate
from delivery.metrics import IN_FLIGHT, LOST_LEASES, TAKEN_OVER
from delivery.next_hop import NextHopResolver
from delivery.room import Room
from delivery.sealing import Sealer
from delivery.settle import Ending, released
from delivery.suspects import ALONE_FROM, Suspects
from delivery.transport.pools import Pools
from tenants.vault import VaultError

T = TypeVar("T")
_LONG_BACKLOG = 3  # full claims in a row: then what cannot go is put off unasked
_CONTENT_SECONDS = 2.0  # until what had no room, or did not come, is tried again

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes and times of one loop."""

    in_flight: int = 50
    content_octets: int = 64 * 1024 * 1024
    timer_seconds: float = 5.0
    pause_seconds: float = 0.005
    enough_for_no_pause: int = 25
    gather_seconds: float = 0.02
    first_look_seconds: float = 0.01
    last_look_seconds: float = 0.08
    heartbeat_seconds: float = 5.0
    renew_seconds: float = 15.0
    drain_seconds: float = 25.0


@dataclass(slots=True)
class Flight:
    """A delivery under way: its task, and how long its lease is surely ours."""

    delivery: ClaimedDelivery
    leased_until: float
    task: "asyncio.Task[Ending] | None" = None


class SendingLoop:
    """`await run()` until `drain` was asked for and is done."""

    def __init__(
        self,
        database: QueueDatabase,
        pools: Pools,
        resolver: NextHopResolver,
        limits: Limits | None = None,
        *,
        seals: bool = True,
    ) -> None:
        self.database, self.pools, self.resolver = database, pools, resolver
        self.limits = limits or Limits()
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self._woken.set()
        self._flights: dict[int, Flight] = {}
        self._endings: list[Ending] = []
        self._room = Room(self.limits.content_octets)
        self._gate = Gate()
        self._sealer = Sealer(enabled=seals)
        self._suspects = Suspects()
        self._caps = Caps.of(self.limits.in_flight)
        self._full_claims = 0
        self._look_seconds: float | None = None
        self._parent = os.getppid()
        self._drain_ends: float | None = None
        self._beat_at = self._renewed_at = float("-inf")
        self._exchanged_at = float("-inf")

    # From other threads.

    def wake(self) -> None:
        """There may be work. Thread-safe."""
        self._loop.call_soon_threadsafe(self._woken.set)

    def drain(self) -> None:
        """Claim nothing more, end what is on the wire, then return from `run`. Thread-safe."""
        self._loop.call_soon_threadsafe(self._start_drain)

    def _start_drain(self) -> None:
        if self._drain_ends is None:
            self._drain_ends = self._loop.time() + self.limits.drain_seconds
            log.info("delivery.draining", in_flight=len(self._flights))
            self._woken.set()

    # The loop.

    async def run(self) -> None:
        ticker = self._loop.create_task(self._tick())
        ticker.add_done_callback(lambda _: self._woken.set())
        try:
            while self._drain_ends is None or self._flights or self._endings:
                await self._gather()
                if ticker.done():
                    ticker.result()  # raises: a loop without its clock must not go on
                if not await self._exchange():
                    await self._after_failure()
        finally:
            ticker.cancel()
            self.pools.close()
        await self._say_good_bye()

    async def _gather(self) -> None:
        """Wait for work; then a little more, where it would come in drops."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._look_seconds):
                await self._woken.wait()
        if self._drain_ends is None and self._free() < self.limits.enough_for_no_pause:
            await asyncio.sleep(self.limits.gather_seconds)
        self._woken.clear()

    def _free(self) -> int:
        return self.limits.in_flight - len(self._flights)

    async def _exchange(self) -> bool:
        """Settle and claim; False when the database is away."""
        now = self._loop.time()
        wanted = self._wanted(now)
        try:
            given = await self._in_thread(partial(self.database.exchange, wanted))
        except Error as error:
            log.error("delivery.database_away", error=str(error).strip().splitlines()[:1])
            return False
        self._exchanged_at = self._loop.time()
        self._after_settling(wanted, given)
        if wanted.leases:
            self._after_renewal(wanted, given, now)
        if wanted.heartbeat is not None:
            self._beat_at = now
        self._start(given, now)
        await self._pause(wanted, given)
        return True

    def _wanted(self, now: float) -> Wanted:
        draining = self._drain_ends is not None
        leases: tuple[tuple[int, UUID], ...] = ()
        if now - self._renewed_at >= self.limits.renew_seconds:
            leases = tuple((f.delivery.id, f.delivery.token) for f in self._flights.values())
        beat = now - self._beat_at >= self.limits.heartbeat_seconds
        held = Counter(f.delivery.message.tenant_id for f in self._flights.values())
        # Places that stay free of the tenant who has the most.
        for_anybody = self._caps.alone - max(held.values(), default=0)
        is_fair = self._full_claims > 0 or for_anybody <= 0
        stuck = self._gate.stuck() if self._full_claims >= _LONG_BACKLOG else ()
        free = self._free() if is_fair else min(self._free(), for_anybody)
        return Wanted(
            endings=tuple(self._endings),
            limit=0 if draining else free,
            leases=leases,
            heartbeat=len(self._flights) if beat else None,
            is_fair=is_fair,
            held=held,
            caps=self._caps,
            stuck=frozenset(one.tenant_id for one in stuck),
            put_off=stuck[0] if stuck else None,
        )

    def _after_settling(self, wanted: Wanted, given: Given) -> None:
        del self._endings[: len(wanted.endings)]
        lost = [e.delivery_id for e in wanted.endings if e.delivery_id not in given.settled]
        if lost:
            LOST_LEASES.inc(len(lost))
            log.warning("delivery.lease_lost", deliveries=lost)
        if wanted.endings:
            log.info("delivery.settled", count=len(wanted.endings) - len(lost))

    def _after_renewal(self, wanted: Wanted, given: Given, asked_at: float) -> None:
        self._renewed_at = asked_at
        for delivery_id, _ in wanted.leases:
            flight = self._flights.get(delivery_id)
            if flight is None:
                continue
            if delivery_id in given.renewed:
                flight.leased_until = asked_at + LEASE.total_seconds()
            else:
                self._give_up(flight)

    def _start(self, given: Given, asked_at: float) -> None:
        claim = given.claim
        if claim.now is None:
            if not (given.keys.forward and given.keys.service):
                log.error("delivery.no_signing_key", cure="run `manage.py prepare`")
            return
        sender = Sender(
            given.keys,
            self.pools,
            self.resolver,
            DatabaseClock(claim.now, time.monotonic()),
            self._gate,
            self._sealer,
        )
        for delivery in claim.deliveries:
            flight = Flight(delivery, asked_at + LEASE.total_seconds())
            self._flights[delivery.id] = flight
            flight.task = self._loop.create_task(self._fly(delivery, sender))
            flight.task.add_done_callback(partial(self._landed, flight))
        IN_FLIGHT.set(len(self._flights))
        taken_over = sum(delivery.taken_over for delivery in claim.deliveries)
        if taken_over:
            TAKEN_OVER.inc(taken_over)
            log.warning("delivery.taken_over", count=taken_over)

    async def _pause(self, wanted: Wanted, given: Given) -> None:
        claimed = len(given.claim.deliveries)
        if wanted.put_off is not None and given.put_off == 0:
            self._gate.done(wanted.put_off)
        if wanted.limit:
            self._full_claims = self._full_claims + 1 if given.was_full else 0
        if claimed and (given.was_full or wanted.is_fair):
            self._woken.set()  # there may be more
        self._look_again(claimed or wanted.put_off is not None)
        if claimed < self.limits.enough_for_no_pause and self._drain_ends is None:
            await asyncio.sleep(self.limits.pause_seconds)

    def _look_again(self, claimed: int | bool) -> None:
        """After mail comes mail: look for it a few times, ever later, and wait for no bell."""
        if claimed:
            self._look_seconds = self.limits.first_look_seconds
        elif self._look_seconds is not None:
            later = self._look_seconds * 2
            self._look_seconds = later if later <= self.limits.last_look_seconds else None

    async def _after_failure(self) -> None:
        self._woken.set()
        await asyncio.sleep(1.0)

    # One delivery.

    async def _fly(self, delivery: ClaimedDelivery, sender: Sender) -> Ending:
        make_attempt = partial(self._attempt, delivery, sender)
        if delivery.leases_lost >= ALONE_FROM:
            return await self._suspects.attempt(delivery, make_attempt)
        return await make_attempt()

    async def _attempt(self, delivery: ClaimedDelivery, sender: Sender) -> Ending:
        message = delivery.message
        if message.content is not None or message.fault:
            return await sender.attempt(delivery, message.content)
        if not await self._room.enter(message.size_octets, message.tenant_id):
            return released(delivery, _CONTENT_SECONDS)
        try:
            return await sender.attempt(delivery, await self._load(delivery))
        except Error:
            return released(delivery, _CONTENT_SECONDS)
        finally:
            self._room.leave(message.size_octets, message.tenant_id)

    def _landed(self, flight: Flight, task: "asyncio.Task[Ending]") -> None:
        """After every flight, also one that was cancelled before it began."""
        if self._flights.get(flight.delivery.id) is flight:
            del self._flights[flight.delivery.id]
        self._woken.set()
        if not task.cancelled():
            self._endings.append(task.result())
        elif self._drain_ends is not None:
            self._endings.append(released(flight.delivery))

    async def _load(self, delivery: ClaimedDelivery) -> Content | None:
        """The content of a large message, piece by piece; None when it does not open."""
        message = delivery.message
        reader = ContentReader(message.id, message.tenant_id, message.header_octets)
        try:
            for number in range(message.chunk_count):
                reader.add(
                    await self._in_thread(partial(self.database.load_chunk, message.id, number))
                )
        except VaultError as error:
            log.error("delivery.content_does_not_open", error=str(error))
            return None
        return reader.content()

    def _give_up(self, flight: Flight) -> None:
        LOST_LEASES.inc()
        log.warning("delivery.lease_lost", deliveries=[flight.delivery.id])
        self._flights.pop(flight.delivery.id, None)
        if flight.task is not None:
            flight.task.cancel()

    # Time.

    async def _tick(self) -> None:
        """Once a second: the timers, the parent, the leases, the end of a drain."""
        for second in count():
            now = self._loop.time()
            if os.getppid() != self._parent:
                self._start_drain()
            if now - self._exchanged_at >= self.limits.timer_seconds - 0.5:
                self._woken.set()
            if second % 5 == 0:
                self.pools.sweep()
                self._gate.sweep()
            if self._flights and now - self._renewed_at >= self.limits.renew_seconds:
                self._woken.set()
            for flight in list(self._flights.values()):
                if now >= flight.leased_until:
                    self._give_up(flight)
            if self._drain_ends is not None and now >= self._drain_ends:
                self._hurry()
            await asyncio.sleep(1.0)

    def _hurry(self) -> None:
        """The drain has lasted long enough: the rest is given back."""
        for flight in self._flights.values():
            if flight.task is not None:
                flight.task.cancel()

    async def _say_good_bye(self) -> None:
        try:
            await self._in_thread(self.database.forget_heart)
            await self._in_thread(self.database.close)
        except Error:
            log.warning("delivery.heart_not_forgotten")
        self.database.thread.shutdown(wait=True)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await self._loop.run_in_executor(self.database.thread, work)
