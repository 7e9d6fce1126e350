"""The hosted domains as this process knows them: a cache that forgets at once what was changed.

    session ── get ──▶ DomainCache ── miss ──▶ threads ──▶ routing.selectors.domain_snapshot
                          ▲
    PostgreSQL ─ NOTIFY ─ RouteListener (a thread with a connection of its own)

While the listener is away nobody tells us of changes: entries live one second then, and all are
dropped when it is back. Names that are not hosted are remembered apart, so that a stranger who
invents names pushes out nothing but other inventions.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from mail.facts import DomainSnapshot
from smtp_edge import metrics
from smtp_edge.database_threads import DatabaseThreads

MOST_HOSTED: Final = 10_000
MOST_UNKNOWN: Final = 10_000
LIFE_WHILE_DEAF: Final = 1.0
LONGEST_LIFE: Final = 300.0  # a domain that lost its proof fades by the hour, without a notice

_Entry = tuple[DomainSnapshot | None, float]


class DomainCache:
    """Snapshots by A-label; lives in the event loop, only `is_deaf` looks elsewhere."""

    def __init__(
        self,
        load: Callable[[str], DomainSnapshot | None],
        threads: DatabaseThreads,
        is_deaf: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._threads = threads
        self._is_deaf = is_deaf
        self._clock = clock
        self._hosted: OrderedDict[str, _Entry] = OrderedDict()
        self._unknown: OrderedDict[str, _Entry] = OrderedDict()
        self._loading: dict[str, asyncio.Task[DomainSnapshot | None]] = {}
        self._drops = 0

    async def get(self, name: str) -> DomainSnapshot | None:
        """The snapshot, or None for a domain not hosted here. Raises `ServiceAway`."""
        entry = self._entry(name)
        if entry is not None:
            metrics.LOOKUPS_IN_CACHE.add()
            return entry[0]
        # All who ask for one name wait for one answer; if one of them leaves, the others stay.
        task = self._loading.get(name)
        if task is None:
            task = self._loading[name] = asyncio.ensure_future(self._fetch(name))
            task.add_done_callback(lambda done: self._fetched(name, done))
        return await asyncio.shield(task)

    def drop(self, name: str) -> None:
        """Forget a domain, because it was changed."""
        self._drops += 1
        self._hosted.pop(name, None)
        self._unknown.pop(name, None)
        self._loading.pop(name, None)  # whoever asks from now on must not get the old answer

    def drop_all(self) -> None:
        self._drops += 1
        self._hosted.clear()
        self._unknown.clear()
        self._loading.clear()

    def _entry(self, name: str) -> _Entry | None:
        for known in (self._hosted, self._unknown):
            entry = known.get(name)
            if entry is not None:
                if self._clock() - entry[1] >= self._life(entry[0]):
                    return None
                known.move_to_end(name)
                return entry
        return None

    def _life(self, snapshot: DomainSnapshot | None) -> float:
        """Seconds. The end of a route needs no notice: the snapshot says when it comes."""
        life = LIFE_WHILE_DEAF if self._is_deaf() else LONGEST_LIFE
        ends = snapshot.good_for_seconds if snapshot is not None else None
        return life if ends is None else min(life, ends)

    async def _fetch(self, name: str) -> DomainSnapshot | None:
        metrics.LOOKUPS_IN_DATABASE.add()
        drops, asked_at = self._drops, self._clock()
        snapshot = await self._threads.run(self._load, name)
        if drops == self._drops:  # else it may be older than what the notice told of
            self._remember(name, (snapshot, asked_at))
        return snapshot

    def _remember(self, name: str, entry: _Entry) -> None:
        known, other, most = (
            (self._unknown, self._hosted, MOST_UNKNOWN)
            if entry[0] is None
            else (self._hosted, self._unknown, MOST_HOSTED)
        )
        other.pop(name, None)
        known[name] = entry
        known.move_to_end(name)
        if len(known) > most:
            known.popitem(last=False)

    def _fetched(self, name: str, task: "asyncio.Task[DomainSnapshot | None]") -> None:
        if self._loading.get(name) is task:
            del self._loading[name]
        if not task.cancelled():
            task.exception()  # whoever waited has it; if nobody does, it is no news
