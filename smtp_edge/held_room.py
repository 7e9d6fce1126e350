"""Whether a tenant may have more mail kept back: his quarantine and paused routes share one room.

Held mail stays for weeks. Without a bound a flood that a policy holds, or that comes for a paused
route, would fill the database and so put off the mail of everybody. What finds no room is answered
452 4.2.2 and stays with its client: nothing that was held before has to go for it. The room is
looked at every few seconds, so a little more than it has may come in.
"""

from collections.abc import Callable, Collection
from typing import Final

from smtp_edge.asking import Remembered
from smtp_edge.database_threads import DatabaseThreads

KNOWN_FOR_SECONDS: Final = 5.0


class HeldRoom:
    """For one event loop; `load` says what a tenant has, `most_octets` is his room, 0: endless."""

    def __init__(
        self, load: Callable[[int], int], threads: DatabaseThreads, most_octets: int
    ) -> None:
        self._load, self._threads, self._most = load, threads, most_octets
        self._full: Remembered[int, bool] = Remembered(self._is_full, lambda _: KNOWN_FOR_SECONDS)

    async def lacks(self, tenant_ids: Collection[int]) -> bool:
        """Whether one of these has no room for more. May raise `ServiceAway`."""
        if not self._most:
            return False
        return any([await self._full.get(one) for one in tenant_ids])

    async def _is_full(self, tenant_id: int) -> bool:
        return await self._threads.run(self._load, tenant_id) >= self._most


class EndlessRoom:
    """Where nothing is bounded."""

    async def lacks(self, tenant_ids: Collection[int]) -> bool:
        return False


ENDLESS: Final = EndlessRoom()
