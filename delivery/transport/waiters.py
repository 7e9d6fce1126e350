"""Those who wait for a connection of a pool, first come, first served."""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

Given = TypeVar("Given")


@dataclass(frozen=True, slots=True, eq=False)
class Waiter(Generic[Given]):
    """Somebody who waits for a connection to any host but those he tried."""

    future: "asyncio.Future[Given]"
    tried: frozenset[str]

    def give(self, given: Given) -> None:
        if not self.future.done():
            self.future.set_result(given)


class Waiters(Generic[Given]):
    """A queue from which whoever gave up is forgotten on the way."""

    def __init__(self) -> None:
        self._queue: deque[Waiter[Given]] = deque()

    def __bool__(self) -> bool:
        return self.first() is not None

    def add(self, tried: frozenset[str]) -> Waiter[Given]:
        waiter: Waiter[Given] = Waiter(asyncio.get_running_loop().create_future(), tried)
        self._queue.append(waiter)
        return waiter

    def first(self) -> Waiter[Given] | None:
        """Who waits longest; he stays in the queue."""
        while self._queue and self._queue[0].future.done():
            self._queue.popleft()
        return self._queue[0] if self._queue else None

    def take(self, host: str) -> Waiter[Given] | None:
        """The first whom a connection to this host serves; he leaves the queue."""
        for waiter in self._queue:
            if not waiter.future.done() and host not in waiter.tried:
                self._queue.remove(waiter)
                return waiter
        return None

    def tell_all(self, given: Given) -> None:
        """The same to everybody; nobody waits any more."""
        waiters, self._queue = self._queue, deque()
        for waiter in waiters:
            waiter.give(given)
