"""The connections kept to one next hop, and its rests after trouble.

A hop that answers fast is served over a few connections; while deliveries wait longer than
`GROW_SECONDS`, one more is opened at a time, up to the limit. A connection that fails to open, or
421 to anything, closes the hop for 1, 5, 15 minutes (mail.retry.NextHopPause): deliveries are then
deferred unsent and keep their own schedule. Where other connections still work, only the limit
shrinks.

A next hop of several hosts is left alone only when all of them are in trouble. Until then one
attempt goes on to another host, when it was told 421 or when a host cannot take the message as it
is (no SMTPUTF8, no 8BITMIME, too large): what one host of a set cannot, the next one may.
"""

import asyncio
import ssl
from dataclasses import dataclass, replace
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
from delivery.transport.targets import Targets
from delivery.transport.values import Outcome, Stage, Transaction
from delivery.transport.waiters import Waiter, Waiters
from mail.retry import NextHopPause, OutcomeClass

GROW_SECONDS = 0.1
_EAGER_CONNECTIONS = 4
_CLEAR_SECONDS = 3600.0
_SHRUNK_SECONDS = 60.0
_LEAVING_SECONDS = 0.25
_MOST_HOSTS = 5  # in one attempt
_IMPATIENCE_SECONDS = 10.0  # for an address that is not the last one

_Given = SmtpConnection | Outcome
_NONE: frozenset[str] = frozenset()
_HOST_LACKS = frozenset({"5.6.7", "5.6.3", "5.3.4"})


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
        self._waiters: Waiters[_Given] = Waiters()
        self._targets = Targets(hop, self._loop.time)
        self._growing: asyncio.TimerHandle | None = None
        self._openers: set[asyncio.Task[None]] = set()
        self._cap = limits.connections
        self._last_trouble = ""
        self._last_used_at = self._loop.time()

    @property
    def is_forgettable(self) -> bool:
        """Nothing open, nothing waiting, nothing to remember."""
        rests = self.pause.failures and self._loop.time() - self._last_used_at < _CLEAR_SECONDS
        is_used = self.open or self._waiters or self._openers
        return not (is_used or rests or self._targets.taught_us)

    def aim(self, hop: NextHop) -> None:
        """The same next hop with what DNS says now."""
        if hop != self.hop:
            self.hop = hop
            self._targets.aim(hop)

    async def transmit(self, mail: Transaction) -> Outcome:
        """Send one transaction; never raises but when cancelled."""
        self._last_used_at = self._loop.time()
        tried, said = _NONE, None
        while True:
            connection = await self._acquire(tried)
            if isinstance(connection, Outcome):
                # A host that could not be reached might take what another one could not.
                return connection if said is None or not said.blames_hop else said
            outcome = await self._transmit_over(connection, mail)
            if outcome is None:
                continue
            tried |= {connection.target.host}
            if not _leads_on(outcome) or len(tried) >= _MOST_HOSTS or self._targets.all_in(tried):
                return outcome
            said = outcome

    async def _transmit_over(self, connection: SmtpConnection, mail: Transaction) -> Outcome | None:
        """The outcome; None when a kept connection was found to have ended meanwhile."""
        was_kept = connection.sent > 0
        try:
            outcome = await connection.transmit(mail)
        except BaseException:
            self._release(connection)
            raise
        if connection.abilities.pipelining and _answered_in_part(outcome):
            self._targets.pipelining_failed(connection.target)
        # The peer may end a kept connection at any time: that says nothing of hop or message.
        was_stale = was_kept and connection.broken and _nothing_said(outcome)
        if not was_stale:
            self._note(outcome, connection)
        self._release(connection)
        return None if was_stale else outcome

    def _note(self, outcome: Outcome, connection: SmtpConnection) -> None:
        if outcome.blames_hop:
            self._last_trouble = outcome.reply
            self._targets.host_failed(connection.target.host)
            if self._targets.all_fail:
                self._rest()
        elif outcome.code:
            self._targets.succeeded(connection.target)
            if self.pause.failures:
                self.pause = self.pause.succeeded()

    def _rest(self) -> None:
        """Close the hop for a while, and tell those who wait."""
        self.pause = self.pause.failed(datetime.now(UTC))
        self._waiters.tell_all(self._words_of_rest())

    @property
    def rests_seconds(self) -> float:
        """For how long the hop still rests, 0 when it does not."""
        now, until = datetime.now(UTC), self.pause.closed_until
        if until is None or not self.pause.is_closed(now):
            return 0.0
        return (until - now).total_seconds()

    def resting(self) -> Outcome | None:
        """What an attempt would come to while the hop rests, None when it does not."""
        return self._words_of_rest() if self.rests_seconds else None

    def _words_of_rest(self) -> Outcome:
        return _trouble(f"the next hop rests after: {self._last_trouble}", blames_hop=False)

    async def _acquire(self, tried: frozenset[str]) -> _Given:
        """A connection to a host that was not tried yet, as soon as there is one."""
        resting = self.resting()
        if resting is not None:
            return resting
        kept = self._take_idle(tried)
        if kept is not None:
            return kept
        if tried and self.open >= self._cap and self._idle:
            self._close_idle(self._idle[0][0])  # room for one that serves
        if self.open < min(_EAGER_CONNECTIONS, self._cap):
            opened = await self._open(tried)
            if isinstance(opened, SmtpConnection) or tried or not self.open:
                return opened
        return await self._wait(tried)

    def _take_idle(self, tried: frozenset[str]) -> SmtpConnection | None:
        for at in range(len(self._idle) - 1, -1, -1):
            connection, timer = self._idle[at]
            if connection.broken:
                self.open -= 1
            elif connection.target.host in tried:
                continue
            timer.cancel()
            del self._idle[at]
            if not connection.broken:
                return connection
        return None

    async def _wait(self, tried: frozenset[str]) -> _Given:
        waiter = self._waiters.add(tried)
        self._grow_later()
        try:
            return await waiter.future
        except asyncio.CancelledError:
            if waiter.future.done() and not waiter.future.cancelled():
                given = waiter.future.result()
                if isinstance(given, SmtpConnection):
                    self._release(given)
            raise

    def _release(self, connection: SmtpConnection) -> None:
        if not connection.broken and connection.sent >= self.limits.messages:
            connection.quit()
            if self.open >= self._cap:
                # The host still counts it; the one that takes its place must not be one too many.
                self._loop.call_later(_LEAVING_SECONDS, self._left)
                return
        if connection.broken:
            self.open -= 1
            self._open_for_waiters()
            return
        waiter = self._waiters.take(connection.target.host)
        if waiter is not None:
            waiter.give(connection)
            return
        timer = self._loop.call_later(self.limits.idle_seconds, self._close_idle, connection)
        self._idle.append((connection, timer))
        if self._waiters and self.open >= self._cap:  # they wait for other hosts: make room
            self._close_idle(connection)
            self._open_for_waiters()

    def _left(self) -> None:
        self.open -= 1
        self._open_for_waiters()

    def _close_idle(self, connection: SmtpConnection) -> None:
        """Say good-bye on a kept connection; nothing when it is at work again."""
        for at, (kept, timer) in enumerate(self._idle):
            if kept is connection:
                timer.cancel()
                del self._idle[at]
                self.open -= 1
                connection.quit()
                return

    # Opening.

    async def _open(self, tried: frozenset[str]) -> _Given:
        """A new connection, counted in `open`; or what went wrong, for whoever asked for it."""
        self.open += 1
        try:
            connection = await self._connect(tried)
        except HopTrouble as trouble:
            self.open -= 1
            return self._failed(trouble, only_some=bool(tried))
        except BaseException:
            self.open -= 1
            raise
        CONNECTIONS.labels("ok").inc()
        return connection

    async def _connect(self, tried: frozenset[str]) -> SmtpConnection:
        """The first address that works; in clear where TLS was offered but does not come about."""
        trouble = HopTrouble("the next hop has no other host" if tried else "it has no address")
        targets = self._targets.in_order(without=tried)
        for target in targets:
            patience = self.timeouts.connect
            if target is not targets[-1]:
                patience = min(patience, _IMPATIENCE_SECONDS)
            for _ in range(2):
                try:
                    connection = await open_connection(
                        target,
                        helo=self.helo,
                        context=None if self._targets.speaks_clear(target) else self._context,
                        timeouts=self.timeouts,
                        patience=patience,
                    )
                except HopTrouble as error:
                    trouble = error
                    if error.is_tls:
                        self._targets.tls_failed(target)
                    elif not isinstance(error, SpokeUnasked):
                        break
                else:
                    if self._targets.wants_turns(target):
                        connection.abilities = replace(connection.abilities, pipelining=False)
                    return connection
            self._targets.failed(target)
        for target in targets:  # the first of them may have been a while ago
            self._targets.failed(target)
        raise trouble

    def _failed(self, trouble: HopTrouble, *, only_some: bool) -> Outcome:
        CONNECTIONS.labels("failed").inc()
        self._last_trouble = trouble.text
        outcome = _trouble(trouble.text, code=trouble.code, blames_hop=True)
        if self.open and not only_some:
            self._cap = self.open  # it takes no more than it has; it has not gone away
            self._loop.call_later(_SHRUNK_SECONDS, self._restore_cap)
        elif self._targets.all_fail:
            self._rest()
        return outcome

    def _restore_cap(self) -> None:
        self._cap = self.limits.connections

    def _grow_later(self) -> None:
        if self._growing is None and self.open < self._cap:
            self._growing = self._loop.call_later(GROW_SECONDS, self._grow)

    def _grow(self) -> None:
        self._growing = None
        self._open_for_waiters()
        if self._waiters:
            self._grow_later()

    def _open_for_waiters(self) -> None:
        waiter = self._waiters.first()
        if waiter is not None and self.open < self._cap:
            task = self._loop.create_task(self._open_and_hand_over(waiter))
            self._openers.add(task)
            task.add_done_callback(self._openers.discard)

    async def _open_and_hand_over(self, waiter: Waiter[_Given]) -> None:
        opened = await self._open(waiter.tried)
        if isinstance(opened, SmtpConnection):
            self._release(opened)
        elif waiter.tried:
            waiter.give(opened)  # the connections there are do not serve him

    def close(self) -> None:
        """End the idle connections; those at work end with their tasks."""
        if self._growing is not None:
            self._growing.cancel()
        for task in self._openers:
            task.cancel()
        for connection, _ in list(self._idle):
            self._close_idle(connection)


def _leads_on(outcome: Outcome) -> bool:
    """Whether another host of the set may do better: 421, or this one cannot take such mail."""
    return outcome.blames_hop or (outcome.stage is Stage.LOCAL and outcome.enhanced in _HOST_LACKS)


def _nothing_said(outcome: Outcome) -> bool:
    return outcome.stage is Stage.MAIL and outcome.code in (0, 421)


def _answered_in_part(outcome: Outcome) -> bool:
    """Whether MAIL was answered, and what went with it was not: pipelining may not work there."""
    return outcome.stage in (Stage.RCPT, Stage.DATA) and not outcome.code


def _trouble(text: str, *, code: int = 0, blames_hop: bool) -> Outcome:
    return Outcome(OutcomeClass.TRANSIENT, Stage.CONNECT, text, code, blames_hop=blames_hop)
