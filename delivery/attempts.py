"""One attempt at one delivery: render, transmit, decide what follows.

    claim -> render -> transmit -> next_step -> settle
             here, a value each time           delivery/settle.py, for a whole batch

`attempt` never raises but when it is cancelled: whatever happens becomes an `Ending`, and what we
cannot explain defers the delivery.
"""

import asyncio
import random
import time
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from delivery.claim import ClaimedDelivery, Content
from delivery.dsns import news_of_attempt
from delivery.gate import PUT_OFF_SECONDS, Gate
from delivery.hosted import Inside, ReceptionAway
from delivery.latency import LATENCY
from delivery.markers import delivery_mark
from delivery.metrics import ATTEMPTS, QUEUE_SECONDS
from delivery.models import Delivery
from delivery.next_hop import NextHopResolver
from delivery.render import Rendered, handed_on, header_block, render
from delivery.returns import read
from delivery.sealing import NO_SEALS, Sealer
from delivery.settle import Ending, ending_of, released
from delivery.transport.pool import Pool
from delivery.transport.pools import Pools
from delivery.transport.values import Outcome, Stage, Transaction
from mail.address import split_path
from mail.events import Event, EventKind
from mail.plan import Direction
from mail.retry import (
    DeliveryState,
    Lifetime,
    NextStep,
    OutcomeClass,
    is_about_message,
    next_step,
)
from mail.signing import SigningKey
from mail.trace import format_trace_id

_ROW_STATES = {
    DeliveryState.DELIVERED: None,
    DeliveryState.DEFERRED: int(Delivery.State.QUEUED),
    DeliveryState.FAILED: int(Delivery.State.FAILED),
}
_LONGEST_HOP = 255
_AWAY_SECONDS = 1.0
_INSIDE = "inside"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys in force: of the forward domain, and of the service domain for our own mail."""

    forward: tuple[SigningKey, ...]
    service: tuple[SigningKey, ...]

    def of(self, direction: Direction) -> tuple[SigningKey, ...]:
        return self.service if direction is Direction.NOTICE else self.forward


@dataclass(frozen=True, slots=True)
class DatabaseClock:
    """The database's time, carried on from the moment of the claim."""

    at: datetime
    seen: float

    def now(self) -> datetime:
        return self.at + timedelta(seconds=time.monotonic() - self.seen)


@dataclass(frozen=True, slots=True)
class Sender:
    """Makes attempts with these keys over these connections."""

    keys: KeyRing
    pools: Pools
    resolver: NextHopResolver
    clock: DatabaseClock
    gate: Gate
    sealer: Sealer = NO_SEALS

    async def attempt(self, delivery: ClaimedDelivery, content: Content | None) -> Ending:
        """Try once. `content` None: it could not be opened, and nothing is sent."""
        rendered: Rendered | None = None
        next_hop = ""
        try:
            if content is None:
                outcome = _trouble(f"content: {delivery.message.fault or 'not there'}")
            elif delivery.message.direction is Direction.RETURN:
                return await self._taken_in(delivery, content)
            else:
                hop = await self.resolver.resolve(split_path(delivery.destination)[1])
                if isinstance(hop, Outcome):
                    outcome = hop
                elif isinstance(hop, Inside):
                    return await self._hand_on(delivery, content, hop)
                else:
                    next_hop = hop.key
                    pool = self.pools.of(hop)
                    if not await self._is_let_in(delivery, pool):
                        return released(delivery, PUT_OFF_SECONDS)
                    rendered, outcome = await self._send(delivery, content, pool)
        except ReceptionAway:
            return released(delivery, _AWAY_SECONDS)  # our own trouble: no attempt was made
        except Exception as error:  # the one place where the unexpected becomes "later"
            log.exception("delivery.attempt_broke", **_names(delivery))
            outcome = _trouble(f"internal: {type(error).__name__}")
        return self._ending(delivery, content, outcome, rendered, next_hop)

    async def _hand_on(self, delivery: ClaimedDelivery, content: Content, hop: Inside) -> Ending:
        """To a domain hosted here: this delivery becomes a message of the other tenant."""
        rendered = handed_on(content, mark=_mark(delivery, content))
        transaction = _transaction(delivery, content, rendered)
        outcome, messages = await hop.take_in(delivery.message, transaction)
        ending = self._ending(delivery, content, outcome, rendered, _INSIDE)
        return replace(ending, handed_on=messages)

    async def _is_let_in(self, delivery: ClaimedDelivery, pool: Pool) -> bool:
        if await self.gate.enter(pool.hop.key):
            return True
        self._note_stuck(delivery, PUT_OFF_SECONDS)
        return False

    async def _send(
        self, delivery: ClaimedDelivery, content: Content, pool: Pool
    ) -> tuple[Rendered | None, Outcome]:
        """Render and transmit; nothing is signed for a hop that rests."""
        heard = False
        try:
            resting = pool.resting()
            if resting is not None:
                self._note_stuck(delivery, pool.rests_seconds)
                heard = True
                return None, resting
            rendered = self._render(delivery, content)
            outcome = await pool.transmit(_transaction(delivery, content, rendered))
            heard = bool(outcome.code) or pool.rests_seconds > 0
            return rendered, outcome
        finally:
            self.gate.leave(pool.hop.key, heard=heard)

    def _note_stuck(self, delivery: ClaimedDelivery, seconds: float) -> None:
        domain = split_path(delivery.destination)[1]
        self.gate.note(delivery.message.tenant_id, domain, seconds)

    def _render(self, delivery: ClaimedDelivery, content: Content) -> Rendered:
        message = delivery.message
        return render(
            message,
            content,
            keys=self.keys.of(message.direction),
            mark=_mark(delivery, content),
            now=int(time.time()),
            sealer=self.sealer,
        )

    def _ending(
        self,
        delivery: ClaimedDelivery,
        content: Content | None,
        outcome: Outcome,
        rendered: Rendered | None,
        hop: str,
    ) -> Ending:
        now = self.clock.now()
        step = _next_step(delivery, outcome, now)
        queued = max((now - delivery.waits_since).total_seconds(), 0.0)
        event = _event(delivery, outcome, step, rendered, hop, queued)
        _note(delivery, outcome, step, queued)
        at = step.next_attempt_at
        return ending_of(
            delivery,
            event,
            state=_ROW_STATES[step.state],
            delay_seconds=(at - now).total_seconds() if at is not None else 0.0,
            reply=outcome.reply,
            next_hop=hop[:_LONGEST_HOP],
            news=news_of_attempt(delivery, content, outcome, step, now),
        )

    async def _taken_in(self, delivery: ClaimedDelivery, content: Content) -> Ending:
        """A return: read in a thread, for a stranger's report may take its time."""
        in_thread = asyncio.get_running_loop().run_in_executor
        got = await in_thread(None, read, delivery, content, self.clock.now())
        return ending_of(delivery, got.event, state=None, news=got.news)


def _transaction(delivery: ClaimedDelivery, content: Content, rendered: Rendered) -> Transaction:
    """RFC 6531, 3.4: what is all ASCII needs no SMTPUTF8, however it came."""
    message = delivery.message
    paths = message.outgoing_path + delivery.destination
    needs = not paths.isascii() or (
        message.smtputf8 and not header_block(message, content).isascii()
    )
    return Transaction(message.outgoing_path, delivery.destination, rendered.pieces, needs)


def _trouble(text: str) -> Outcome:
    return Outcome(OutcomeClass.TRANSIENT, Stage.LOCAL, text, enhanced="4.3.0")


def _mark(delivery: ClaimedDelivery, content: Content) -> bytes:
    """The mark of the route, on forwarded mail only."""
    if delivery.message.direction is not Direction.FORWARD:
        return b""
    return delivery_mark(delivery, header_block(delivery.message, content))


def _next_step(delivery: ClaimedDelivery, outcome: Outcome, now: datetime) -> NextStep:
    message = delivery.message
    own_dsn = message.direction is Direction.NOTICE and not message.outgoing_path
    return next_step(
        outcome.result,
        accepted_at=delivery.waits_since,
        attempts=delivery.attempts,
        now=now,
        jitter=random.uniform(-1, 1),  # noqa: S311
        lifetime=Lifetime.OWN_DSN if own_dsn else Lifetime.MAIL,
        reason=outcome.enhanced,
    )


def _event(
    delivery: ClaimedDelivery,
    outcome: Outcome,
    step: NextStep,
    rendered: Rendered | None,
    hop: str,
    queued: float,
) -> Event:
    at = step.next_attempt_at
    return Event(
        kind=EventKind.ATTEMPTED,
        trace_id=delivery.message.id,
        tenant_id=delivery.message.tenant_id,
        direction=delivery.message.direction.value,
        recipient=delivery.recipient,
        destination=delivery.destination,
        tls=outcome.tls,
        stage=outcome.stage.value,
        reply=outcome.reply,
        reason=step.reason,
        outcome=step.state.value,
        attempt=delivery.attempts,
        next_hop=outcome.host if outcome.host and "," in hop else hop,  # the one of a set
        signed_by=rendered.signed_by if rendered is not None else (),
        queued_seconds=round(queued, 3),
        next_attempt_at=at.isoformat(timespec="seconds") if at is not None else "",
        routes=(delivery.route_id,) if delivery.route_id else (),
        about_message=step.state is DeliveryState.FAILED and is_about_message(outcome.enhanced),
    )


def _note(delivery: ClaimedDelivery, outcome: Outcome, step: NextStep, queued: float) -> None:
    ATTEMPTS.labels(step.state.value).inc()
    if step.state is DeliveryState.DELIVERED:
        QUEUE_SECONDS.observe(queued)
        LATENCY.observe(queued)
    log.info(
        "delivery.attempted",
        **_names(delivery),
        outcome=step.state.value,
        stage=outcome.stage.value,
        code=outcome.code,
        enhanced=outcome.enhanced,
        attempt=delivery.attempts,
        seconds=round(queued, 3),
    )


def _names(delivery: ClaimedDelivery) -> dict[str, object]:
    return {
        "trace_id": format_trace_id(delivery.message.id),
        "tenant_id": delivery.message.tenant_id,
        "delivery": delivery.id,
    }
