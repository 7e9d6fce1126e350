"""Questions that many sessions ask alike: asked once, remembered for a while, bounded in number.

Remembered   the answers, and what is under way
EarlyWork    how much of it was begun for a client before anybody waits for it
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, Final, Generic, TypeVar

from delivery.lookups.cache import TimedCache

_ENTRY_OCTETS: Final = 400

MOST_EARLY: Final = 100

Key = TypeVar("Key")
Value = TypeVar("Value")


class Remembered(Generic[Key, Value]):
    """Answers by key for one event loop; `seconds_of` says for how long an answer is good."""

    def __init__(
        self,
        ask: Callable[[Key], Coroutine[Any, Any, Value]],
        seconds_of: Callable[[Value], float],
        *,
        max_entries: int = 20_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask, self._seconds_of = ask, seconds_of
        self._answers: TimedCache[Key, Value] = TimedCache(
            max_entries=max_entries, max_octets=max_entries * _ENTRY_OCTETS, clock=clock
        )
        self._under_way: dict[Key, asyncio.Task[Value]] = {}

    def known(self, key: Key) -> Value | None:
        """The answer, if it need not be asked for."""
        return self._answers.get(key)

    def begin(self, key: Key) -> "asyncio.Task[Value]":
        """The task that asks; the same one for all who ask meanwhile."""
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._answer(key))
            self._under_way[key] = task
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
        return task

    async def get(self, key: Key) -> Value:
        """The answer; who is cancelled while he waits leaves the others waiting."""
        known = self.known(key)
        return known if known is not None else await asyncio.shield(self.begin(key))

    async def _answer(self, key: Key) -> Value:
        value = await self._ask(key)
        self._answers.put(key, value, seconds=self._seconds_of(value), octets=_ENTRY_OCTETS)
        return value

    def close(self) -> None:
        """End what is under way."""
        for task in list(self._under_way.values()):
            task.cancel()


class EarlyWork:
    """What was begun for each client ahead of time, and has not ended.

    Nobody waits for it, so no session bounds it: a client could begin as much as he has commands,
    and take all questions that may be asked at once from the others. Above the bound nothing is
    begun for him early; each of his sessions asks, one question at a time, when it has to know.
    """

    def __init__(self, most: int = MOST_EARLY) -> None:
        self._most = most
        self._under_way: Counter[str] = Counter()

    def has_room(self, client: str) -> bool:
        return self._under_way[client] < self._most

    def note(self, client: str, task: "asyncio.Future[Any]") -> None:
        self._under_way[client] += 1
        task.add_done_callback(lambda _: self._ended(client))

    def _ended(self, client: str) -> None:
        self._under_way[client] -= 1
        if self._under_way[client] <= 0:
            del self._under_way[client]
