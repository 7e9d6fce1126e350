"""Deliveries that were under way when their worker died, again and again: a message may kill.

A delivery counts the leases that it lost in a row; an attempt that comes to any end makes it zero.

| lost in a row | then |
|---|---|
| 0, 1 | attempted like any other: workers are killed for many reasons |
| 2 to 4 | attempted alone: one at a time in a loop, the others are given back first |
| 5 | held, for people to look at; released, it counts from zero |

What was only in flight beside a message that kills loses a lease or two with it, and then flies
alone and ends. So nothing but the message itself comes to five.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

import structlog

from delivery.claim import ClaimedDelivery
from delivery.metrics import HELD
from delivery.models import Delivery
from delivery.settle import Ending, ending_of, released
from mail.events import Event, EventKind
from mail.plan import Hold
from mail.trace import format_trace_id

ALONE_FROM: Final = 2
HELD_FROM: Final = 5
GIVEN_BACK_SECONDS: Final = (1.0, 5.0)
_SETTLING_SECONDS: Final = 0.5

log = structlog.get_logger()


@dataclass(slots=True)
class Suspects:
    """Those of one loop; belongs to its event loop."""

    _one_flies: bool = False

    async def attempt(
        self, delivery: ClaimedDelivery, make_attempt: Callable[[], Awaitable[Ending]]
    ) -> Ending:
        """The attempt, or what becomes of the delivery without one."""
        if delivery.leases_lost >= HELD_FROM:
            return held(delivery)
        if self._one_flies:
            return released(delivery, random.uniform(*GIVEN_BACK_SECONDS))  # noqa: S311
        self._one_flies = True
        try:
            # The others are back in the queue before this one may take the worker with it.
            await asyncio.sleep(_SETTLING_SECONDS)
            return await make_attempt()
        finally:
            self._one_flies = False


def held(delivery: ClaimedDelivery) -> Ending:
    """Kept back until an operator releases it; no attempt was made."""
    message = delivery.message
    reason = f"its last {delivery.leases_lost} attempts ended with the death of the worker"
    event = Event(
        kind=EventKind.HELD,
        trace_id=message.id,
        tenant_id=message.tenant_id,
        direction=message.direction.value,
        recipient=delivery.recipient,
        destination=delivery.destination,
        reason=reason,
    )
    HELD.inc()
    log.error(
        "delivery.held",
        trace_id=format_trace_id(message.id),
        tenant_id=message.tenant_id,
        delivery=delivery.id,
        leases_lost=delivery.leases_lost,
    )
    ending = ending_of(
        delivery, event, state=int(Delivery.State.HELD), reply=f"451 4.3.0 held: {reason}"
    )
    return replace(ending, was_made=False, hold=Hold.SUSPECT, hold_reason=reason)
