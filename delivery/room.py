"""How many octets of large messages may be in memory at once."""

import asyncio
from collections import deque


class Room:
    """First come, first served; what is larger than the whole room enters when it is empty."""

    def __init__(self, octets: int) -> None:
        self._octets = octets
        self._taken = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def enter(self, octets: int) -> None:
        """Wait until there is room; who has entered must `leave` with the same number."""
        entered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((octets, entered))
        self._admit()
        try:
            await entered
        except asyncio.CancelledError:
            if not entered.cancelled():
                self.leave(octets)  # cancelled in the moment of entering
            raise

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
