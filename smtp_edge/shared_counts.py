"""Counts that hold for all edges, without a question to the database on anybody's way.

    counts.add(RATE, key)      in memory; a thread tells the database twice a second
    counts.over(RATE, key)     what is known here and now, at most a second late

A rate is so many in any minute (or hour): the count of this window, and of the one before the part
that is still inside. While the database is away each process goes on with what it counts itself:
nobody is refused for it, and `mxax_edge_shared_counts_away` says so.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol

import structlog

from delivery.shared_counts import Counted, Total, exchange
from smtp_edge import metrics
from smtp_edge.lifeline import Lifeline
from smtp_edge.store import AWAY

log = structlog.get_logger()

FLUSH_SECONDS: Final = 0.5
_SILENT_EXCHANGES: Final = 1
"""So many are left out while there is nothing to tell: what others counted is heard by then."""
_MOST_KEYS: Final = 100_000
_MOST_AT_ONCE: Final = 20_000
_GIVE_UP_SECONDS: Final = 5.0
_LONGEST_WINDOW: Final = 3600
_DIGEST_OCTETS: Final = 16


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `most` of one kind in any `seconds`; 0 is no limit."""

    kind: str
    most: int
    seconds: int


_Place = tuple[bytes, int]


class Counts(Protocol):
    """What the sessions need of it."""

    def add(self, rate: Rate, key: str) -> None: ...

    def over(self, rate: Rate, key: str) -> bool: ...

    def look_after(self) -> None: ...


class OwnCounts:
    """Counts of one process; those of others are added by `learn`. Safe to use from two threads."""

    def __init__(self, pepper: bytes = b"", clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._unsent: dict[_Place, int] = {}
        self._totals: dict[_Place, int] = {}
        self._rates: dict[_Place, Rate] = {}
        self._digest = lru_cache(maxsize=20_000)(_digester(pepper))

    def add(self, rate: Rate, key: str) -> None:
        """Count one; nothing where there is no limit."""
        if not rate.most:
            return
        place = self._digest(rate.kind, key), _start(self._clock(), rate.seconds)
        with self._lock:
            if place not in self._unsent and len(self._unsent) >= _MOST_KEYS:
                return  # more clients than anybody limits one by one
            self._unsent[place] = self._unsent.get(place, 0) + 1
            self._rates[place] = rate

    def over(self, rate: Rate, key: str) -> bool:
        """Whether one more would be too many."""
        if not rate.most:
            return False
        now = self._clock()
        digest, start = self._digest(rate.kind, key), _start(now, rate.seconds)
        with self._lock:
            count = self._count((digest, start))
            if count >= rate.most:
                return True
            before = self._count((digest, start - rate.seconds))
        gone = (now - start) / rate.seconds
        return before * (1 - gone) + count >= rate.most

    def _count(self, place: _Place) -> int:
        return self._unsent.get(place, 0) + self._totals.get(place, 0)

    def take(self) -> list[Counted]:
        """What is to be told; it stays counted here."""
        with self._lock:
            places = list(self._unsent)[:_MOST_AT_ONCE]
            taken = [self._counted(place, self._unsent.pop(place)) for place in places]
            for one in taken:
                place = one.key, one.starts_at
                self._totals[place] = self._totals.get(place, 0) + one.count
            return taken

    def _counted(self, place: _Place, count: int) -> Counted:
        rate = self._rates[place]
        return Counted(place[0], place[1], place[1] + 2 * rate.seconds, count, rate.most)

    def put_back(self, taken: Iterable[Counted]) -> None:
        """It could not be told: it is told the next time."""
        with self._lock:
            for one in taken:
                place = one.key, one.starts_at
                self._totals[place] = max(0, self._totals.get(place, 0) - one.count)
                self._unsent[place] = self._unsent.get(place, 0) + one.count

    def learn(self, totals: Iterable[Total]) -> None:
        """What all edges together have counted."""
        with self._lock:
            for one in totals:
                self._totals[one.key, one.starts_at] = one.count

    def look_after(self) -> None:
        """Nothing hangs here."""

    def forget_old(self) -> None:
        """Drop what is in no window any more."""
        now = self._clock()
        with self._lock:
            known = self._rates
            for places in (self._unsent, self._totals, known):
                for place in [one for one in places if self._ends_at(one, known) < now]:
                    del places[place]

    def _ends_at(self, place: _Place, known: dict[_Place, Rate]) -> int:
        rate = known.get(place)
        return place[1] + 2 * (rate.seconds if rate is not None else _LONGEST_WINDOW)


def _start(now: float, seconds: int) -> int:
    return int(now) // seconds * seconds


def _digester(pepper: bytes) -> Callable[[str, str], bytes]:
    def digest(kind: str, key: str) -> bytes:
        octets = f"{kind}\0{key}".encode()
        return hashlib.blake2b(octets, key=pepper, digest_size=_DIGEST_OCTETS).digest()

    return digest


class SharedCounts(OwnCounts):
    """`OwnCounts` with a thread that tells the database and learns from it."""

    def __init__(self, pepper: bytes) -> None:
        super().__init__(pepper)
        self._is_away = False
        self._since_forgotten = self._silent = 0
        self._lifeline = Lifeline()
        self._ends = threading.Event()
        self._began_at: float | None = None
        self._thread = threading.Thread(target=self._run, name="shared-counts", daemon=True)
        self._thread.start()

    @property
    def is_away(self) -> bool:
        """Whether we count for ourselves alone."""
        return self._is_away

    def stop(self, seconds: float) -> None:
        """Tell once more, then end; waits at most so long."""
        self._ends.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        while not self._ends.wait(FLUSH_SECONDS):
            self._exchange()
        self._exchange()
        self._lifeline.untie()

    def look_after(self) -> None:
        """Cut the connection of an exchange that hangs: the server may be stopped, not gone."""
        began_at = self._began_at
        if began_at is not None and time.monotonic() - began_at > _GIVE_UP_SECONDS:
            self._lifeline.cut()

    def _exchange(self) -> None:
        taken = self.take()
        if not taken and self._silent < _SILENT_EXCHANGES:
            self._silent += 1  # nobody came: the database is left alone for a while
            return
        self._silent = 0
        self._began_at = time.monotonic()
        try:
            self._lifeline.tie()
            totals = exchange(taken)
        except AWAY as error:
            self._failed(taken, type(error).__name__)
        except Exception:
            log.exception("edge.counts_failed")
            self._failed(taken, "unexpected")
        else:
            self.learn(totals)
            self._note(away=False)
        finally:
            self._began_at = None
        self._since_forgotten += 1
        if self._since_forgotten >= 60:
            self._since_forgotten = 0
            self.forget_old()

    def _failed(self, taken: list[Counted], error: str) -> None:
        self._lifeline.untie()
        self.put_back(taken)
        if not self._is_away:
            log.warning("edge.shared_counts_away", error=error)
        self._note(away=True)

    def _note(self, *, away: bool) -> None:
        if away != self._is_away:
            self._is_away = away
            metrics.SHARED_COUNTS_AWAY.set(int(away))
