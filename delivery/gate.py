"""How many deliveries may wait for one next hop at a time, in one sending loop.

A hop that answers may have as many as the loop has places. One that has said nothing for a while
gets a few: the others wait a second for it to move, and are then put off without an attempt, so
that a host which takes connections and never answers does not hold every place until its time-out.

The gate also remembers whose mail to which domain cannot go now, so that the rest of it can be put
off in the queue and need not be claimed one by one.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from delivery.fair import PutOff

FEW = 10
MOVING_SECONDS = 2.0
PATIENCE_SECONDS = 1.0
PUT_OFF_SECONDS = 10.0


@dataclass(slots=True)
class _Hop:
    heard_at: float = float("-inf")
    inside: int = 0
    waiting: deque["asyncio.Future[None]"] = field(default_factory=deque)


class Gate:
    """`enter` before an attempt, `leave` after it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._hops: dict[str, _Hop] = {}
        self._stuck: dict[tuple[int, str], float] = {}

    async def enter(self, key: str) -> bool:
        """Wait to be let in; False when the hop does not move."""
        hop = self._hops.setdefault(key, _Hop())
        if hop.inside >= FEW and not self._moves(hop) and not await self._let_in(hop):
            return False
        hop.inside += 1
        return True

    def leave(self, key: str, *, heard: bool) -> None:
        """An attempt has ended; `heard` when the hop said something, or ended it at once."""
        hop = self._hops[key]
        hop.inside -= 1
        if heard:
            hop.heard_at = self._loop.time()
        for_others = len(hop.waiting) if heard else FEW - hop.inside
        while hop.waiting and for_others > 0:
            waiter = hop.waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                for_others -= 1

    def sweep(self) -> None:
        """Forget the hops that nobody goes to, and what can go again."""
        now = self._loop.time()
        self._stuck = {pair: end for pair, end in self._stuck.items() if end > now}
        for key, hop in list(self._hops.items()):
            waited_for = any(not waiter.done() for waiter in hop.waiting)
            if not (hop.inside or waited_for or self._moves(hop)):
                del self._hops[key]

    def _moves(self, hop: _Hop) -> bool:
        return self._loop.time() - hop.heard_at < MOVING_SECONDS

    async def _let_in(self, hop: _Hop) -> bool:
        waiter: asyncio.Future[None] = self._loop.create_future()
        hop.waiting.append(waiter)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await waiter
        except TimeoutError:
            return False
        return True

    # What waits in vain.

    def note(self, tenant_id: int | None, domain: str, seconds: float) -> None:
        """Mail of this tenant to this domain cannot go for so long."""
        if tenant_id is not None:
            self._stuck[tenant_id, domain.lower()] = self._loop.time() + seconds

    def stuck(self) -> tuple[PutOff, ...]:
        """What to put off in the queue, with the seconds that are left; each in its turn."""
        now = self._loop.time()
        self._stuck = {pair: end for pair, end in self._stuck.items() if end > now + 1}
        turn = list(self._stuck.items())
        if turn:
            self._stuck[turn[0][0]] = self._stuck.pop(turn[0][0])  # the next call begins behind it
        return tuple(PutOff(tenant, domain, end - now) for (tenant, domain), end in turn)

    def done(self, one: PutOff) -> None:
        """Nothing more of it is due."""
        self._stuck.pop((one.tenant_id, one.domain), None)
