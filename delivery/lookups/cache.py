"""Answers that are still good: bounded by number and by size, the least used goes first."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class TimedCache(Generic[Key, Value]):
    """Values with an end of life. `clock` gives seconds that only grow; sizes are in octets."""

    def __init__(self, *, max_entries: int, max_octets: int, clock: Callable[[], float]) -> None:
        self._entries: OrderedDict[Key, tuple[float, int, Value]] = OrderedDict()
        self._max_entries, self._max_octets, self._clock = max_entries, max_octets, clock
        self._octets = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> Value | None:
        """The value while it lives."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry[0] <= self._clock():
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return entry[2]

    def put(self, key: Key, value: Value, *, seconds: float, octets: int) -> None:
        """Keep a value; one that is larger than the whole cache, or dead already, is not kept."""
        if seconds <= 0 or octets > self._max_octets:
            return
        if key in self._entries:
            self._drop(key)
        self._entries[key] = (self._clock() + seconds, octets, value)
        self._octets += octets
        while len(self._entries) > self._max_entries or self._octets > self._max_octets:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: Key) -> None:
        self._octets -= self._entries.pop(key)[1]
