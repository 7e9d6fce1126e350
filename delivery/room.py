"""How many octets of large messages may be in memory at once."""

import asyncio
from collections import deque


class Room:
    """First come, first served; what is larger than the whole room enters when it is empty.

    Only a few may wait: each of them holds a place that small mail could have.
    """

    def __init__(self, octets: int, *, most_waiting: int = 8) -> None:
        self._octets, self._most_waiting = octets, most_waiting
        self._taken = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def enter(self, octets: int) -> bool:
        """Wait until there is room; who has entered must `leave` with the same number.

        False, at once, when too many wait already.
        """
        if sum(not entered.done() for _, entered in self._waiting) >= self._most_waiting:
            return False
        entered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((octets, entered))
        self._admit()
        try:
            await entered
        except asyncio.CancelledError:
            if not entered.cancelled():
                self.leave(octets)  # cancelled in the moment of entering
            raise
        return True

    def leave(self, octets: int) -> None:
        self._taken -= octets
        self._admit()

    def _admit(self) -> None:
        while self._waiting:
            octets, entered = self._waiting[0]
            if entered.done():
                self._waiting.popleft()
            elif not self._taken or self._taken + octets <= self._octets:
                self._waiting.popleft()
                self._taken += octets
                entered.set_result(None)
            else:
                return
