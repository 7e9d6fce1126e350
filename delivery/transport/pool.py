"""The connections kept to one next hop, and its rests after trouble.

A hop that answers fast is served over a few connections; while deliveries wait longer than
`GROW_SECONDS`, one more is opened at a time, up to the limit. A connection that fails to open, or
421 to anything, closes the hop for 1, 5, 15 minutes (mail.retry.NextHopPause): deliveries are then
deferred unsent and keep their own schedule. Where other connections still work, only the limit
shrinks.
"""

import asyncio
import ssl
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime

from delivery.metrics import CONNECTIONS
from delivery.next_hop import NextHop
from delivery.transport.connection import (
    HopTrouble,
    SmtpConnection,
    SpokeUnasked,
    Timeouts,
    open_connection,
)
from delivery.transport.values import Outcome, Stage, Transaction
from mail.retry import NextHopPause, OutcomeClass

GROW_SECONDS = 0.1
_EAGER_CONNECTIONS = 4
_CLEAR_SECONDS = 3600.0
_SHRUNK_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """What one process may do to one next hop."""

    connections: int = 20
    messages: int = 100
    idle_seconds: float = 30.0


class Pool:
    """Sends transactions to one next hop."""

    def __init__(
        self,
        hop: NextHop,
        *,
        helo: str,
        limits: PoolLimits,
        timeouts: Timeouts,
        context: ssl.SSLContext | None,
    ) -> None:
        self.hop, self.helo, self.limits, self.timeouts = hop, helo, limits, timeouts
        self.pause = NextHopPause()
        self.open = 0
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._idle: list[tuple[SmtpConnection, asyncio.TimerHandle]] = []
        self._waiters: deque[asyncio.Future[SmtpConnection | Outcome]] = deque()
        self._growing: asyncio.TimerHandle | None = None
        self._openers: set[asyncio.Task[None]] = set()
        self._cap = limits.connections
        self._clear_until = 0.0
        self._last_trouble = ""
        self._last_used_at = self._loop.time()

    @property
    def is_forgettable(self) -> bool:
        """Nothing open, nothing waiting, nothing to remember."""
        rests = self.pause.failures and self._loop.time() - self._last_used_at < _CLEAR_SECONDS
        return not (self.open or self._waiters or self._openers or rests)

    async def transmit(self, mail: Transaction) -> Outcome:
        """Send one transaction; never raises but when cancelled."""
        self._last_used_at = self._loop.time()
        while True:
            connection = await self._acquire()
            if isinstance(connection, Outcome):
                return connection
            was_kept = connection.sent > 0
            try:
                outcome = await connection.transmit(mail)
            except BaseException:
                self._release(connection)
                raise
            # The peer may end a kept connection at any time: that says nothing of hop or message.
            was_stale = was_kept and connection.broken and _nothing_said(outcome)
            if not was_stale:
                self._note(outcome)
            self._release(connection)
            if not was_stale:
                return outcome

    def _note(self, outcome: Outcome) -> None:
        if outcome.blames_hop:
            self._last_trouble = outcome.reply
            self._rest()
        elif outcome.code and self.pause.failures:
            self.pause = self.pause.succeeded()

    def _rest(self) -> None:
        """Close the hop for a while, and tell those who wait."""
        self.pause = self.pause.failed(datetime.now(UTC))
        while (waiter := self._next_waiter()) is not None:
            waiter.set_result(self._resting())

    def _resting(self) -> Outcome:
        return _trouble(f"the next hop rests after: {self._last_trouble}", blames_hop=False)

    async def _acquire(self) -> SmtpConnection | Outcome:
        if self.pause.is_closed(datetime.now(UTC)):
            return self._resting()
        while self._idle:
            connection, timer = self._idle.pop()
            timer.cancel()
            if not connection.broken:
                return connection
            self.open -= 1
        if self.open < min(_EAGER_CONNECTIONS, self._cap):
            opened = await self._open()
            if isinstance(opened, SmtpConnection) or not self.open:
                return opened
        return await self._wait()

    async def _wait(self) -> SmtpConnection | Outcome:
        waiter: asyncio.Future[SmtpConnection | Outcome] = self._loop.create_future()
        self._waiters.append(waiter)
        self._grow_later()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                given = waiter.result()
                if isinstance(given, SmtpConnection):
                    self._release(given)
            raise

    def _release(self, connection: SmtpConnection) -> None:
        if not connection.broken and connection.sent >= self.limits.messages:
            connection.quit()
        if connection.broken:
            self.open -= 1
            self._open_for_waiters()
            return
        waiter = self._next_waiter()
        if waiter is not None:
            waiter.set_result(connection)
            return
        timer = self._loop.call_later(self.limits.idle_seconds, self._close_idle, connection)
        self._idle.append((connection, timer))

    def _next_waiter(self) -> asyncio.Future[SmtpConnection | Outcome] | None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                return waiter
        return None

    def _close_idle(self, connection: SmtpConnection) -> None:
        self._idle = [kept for kept in self._idle if kept[0] is not connection]
        self.open -= 1
        connection.quit()

    # Opening.

    async def _open(self) -> SmtpConnection | Outcome:
        """A new connection, counted in `open`; or what went wrong, for whoever asked for it."""
        self.open += 1
        try:
            connection = await self._connect()
        except HopTrouble as trouble:
            self.open -= 1
            return self._failed(trouble)
        except BaseException:
            self.open -= 1
            raise
        CONNECTIONS.labels("ok").inc()
        return connection

    async def _connect(self) -> SmtpConnection:
        """The first address that works; in clear where TLS was offered but does not come about."""
        trouble = HopTrouble("the next hop has no address")
        for where in self.hop.addresses:
            for _ in range(2):
                clear = self._loop.time() < self._clear_until
                try:
                    return await open_connection(
                        where,
                        helo=self.helo,
                        context=None if clear else self._context,
                        timeouts=self.timeouts,
                    )
                except HopTrouble as error:
                    trouble = error
                    if error.is_tls:
                        self._clear_until = self._loop.time() + _CLEAR_SECONDS
                    elif not isinstance(error, SpokeUnasked):
                        break
        raise trouble

    def _failed(self, trouble: HopTrouble) -> Outcome:
        CONNECTIONS.labels("failed").inc()
        self._last_trouble = trouble.text
        outcome = _trouble(trouble.text, code=trouble.code, blames_hop=True)
        if self.open:
            self._cap = self.open  # it takes no more than it has; it has not gone away
            self._loop.call_later(_SHRUNK_SECONDS, self._restore_cap)
        else:
            self._rest()
        return outcome

    def _restore_cap(self) -> None:
        self._cap = self.limits.connections

    def _grow_later(self) -> None:
        if self._growing is None and self.open < self._cap:
            self._growing = self._loop.call_later(GROW_SECONDS, self._grow)

    def _grow(self) -> None:
        self._growing = None
        if any(not waiter.done() for waiter in self._waiters):
            self._open_for_waiters()
            self._grow_later()

    def _open_for_waiters(self) -> None:
        if self._waiters and self.open < self._cap:
            task = self._loop.create_task(self._open_and_hand_over())
            self._openers.add(task)
            task.add_done_callback(self._openers.discard)

    async def _open_and_hand_over(self) -> None:
        connection = await self._open()
        if isinstance(connection, SmtpConnection):
            self._release(connection)

    def close(self) -> None:
        """End the idle connections; those at work end with their tasks."""
        if self._growing is not None:
            self._growing.cancel()
        for task in self._openers:
            task.cancel()
        for connection, timer in self._idle:
            timer.cancel()
            connection.quit()
        self.open -= len(self._idle)
        self._idle = []


class Pools:
    """The pools of all next hops of one process."""

    def __init__(
        self, *, helo: str, limits: PoolLimits, timeouts: Timeouts | None = None, tls: bool = True
    ) -> None:
        self._helo, self._limits = helo, limits
        self._timeouts = timeouts or Timeouts()
        self._context = opportunistic_tls() if tls else None
        self._pools: dict[str, Pool] = {}

    def of(self, hop: NextHop) -> Pool:
        """The pool of this hop; a hop whose addresses have changed gets a new one."""
        pool = self._pools.get(hop.key)
        if pool is None or pool.hop != hop:
            if pool is not None:
                pool.close()
            pool = self._pools[hop.key] = Pool(
                hop,
                helo=self._helo,
                limits=self._limits,
                timeouts=self._timeouts,
                context=self._context,
            )
        return pool

    def sweep(self) -> None:
        """Forget the hops that nothing was sent to for long."""
        for key in [key for key, pool in self._pools.items() if pool.is_forgettable]:
            del self._pools[key]

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()


def opportunistic_tls() -> ssl.SSLContext:
    """Encrypts against listeners; certificates of mail hosts prove nothing without DANE or STS."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _nothing_said(outcome: Outcome) -> bool:
    return outcome.stage is Stage.MAIL and outcome.code in (0, 421)


def _trouble(text: str, *, code: int = 0, blames_hop: bool) -> Outcome:
    return Outcome(OutcomeClass.TRANSIENT, Stage.CONNECT, text, code, blames_hop=blames_hop)
