"""How many octets of large messages may be in memory at once, and whose.

A large message is in memory for as long as its next hop takes, and a mute one takes long. So what a
tenant has inside never keeps another tenant out: he gets half of the room at most, and who has
nothing inside may enter beyond it, one at a time.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass

from delivery.fair import TenantId

_MOST_WAITING_OF_ONE = 4
_MOST_WAITING = 8


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter:
    octets: int
    tenant_id: TenantId
    entered: "asyncio.Future[None]"


class Room:
    """First come, first served among those who may enter.

    Only a few may wait: each of them holds a place that small mail could have.
    """

    def __init__(self, octets: int) -> None:
        self._octets = octets
        self._inside: Counter[TenantId] = Counter()
        self._waiting: list[_Waiter] = []

    async def enter(self, octets: int, tenant_id: TenantId) -> bool:
        """Wait until there is room; who has entered must `leave` with the same values.

        False, at once, when too many wait already.
        """
        if self._is_crowded(tenant_id):
            return False
        waiter = _Waiter(octets, tenant_id, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        self._admit()
        try:
            await waiter.entered
        except asyncio.CancelledError:
            if not waiter.entered.cancelled():
                self.leave(octets, tenant_id)  # cancelled in the moment of entering
            raise
        return True

    def leave(self, octets: int, tenant_id: TenantId) -> None:
        self._inside[tenant_id] -= octets
        self._inside = +self._inside
        self._admit()

    def _is_crowded(self, tenant_id: TenantId) -> bool:
        """Whether this tenant waits for as many as he may; one of each may always wait."""
        waiting = Counter(one.tenant_id for one in self._waiting if not one.entered.done())
        his = waiting[tenant_id]
        return his >= _MOST_WAITING_OF_ONE or (his > 0 and waiting.total() >= _MOST_WAITING)

    def _admit(self) -> None:
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if one.entered.done():
                continue
            if self._may_enter(one):
                self._inside[one.tenant_id] += one.octets
                one.entered.set_result(None)
            else:
                self._waiting.append(one)

    def _may_enter(self, one: _Waiter) -> bool:
        taken, his = self._inside.total(), self._inside[one.tenant_id]
        if not his:
            return taken <= self._octets  # it may become too full, but by one only
        return his + one.octets <= self._octets // 2 and taken + one.octets <= self._octets
