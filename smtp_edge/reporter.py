"""Writes down what was refused, and counts what was accepted, behind the sessions' backs.

A thread flushes twice a second. Sessions never wait for it and never fail by it: its queue is
bounded, what does not fit is counted and lost (the first refusals of a client are what matters).
"""

import threading
import time
from collections import Counter, deque

import structlog

from delivery import refusals
from delivery.refusals import RefusedAt
from smtp_edge import metrics
from smtp_edge.lifeline import Lifeline
from smtp_edge.store import AWAY

log = structlog.get_logger()

FLUSH_SECONDS = 0.5
_MOST_WAITING = 5000
_MOST_AT_ONCE = 500
_DAY_SECONDS = 86400


class DatabaseReporter:
    """`accepted_today` is what the last flush told plus what was counted since."""

    def __init__(self) -> None:
        self._refusals: deque[RefusedAt] = deque()
        self._counts: Counter[int] = Counter()
        self._totals: dict[int, int] = {}
        self._day = _today()
        self._lock = threading.Lock()
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)
        self._thread.start()

    def refused(self, refusal: RefusedAt) -> None:
        if len(self._refusals) >= _MOST_WAITING:
            metrics.REPORTS_LOST.inc()
            return
        self._refusals.append(refusal)

    def accepted(self, tenant_id: int, deliveries: int) -> None:
        with self._lock:
            self._counts[tenant_id] += deliveries

    def accepted_today(self, tenant_id: int) -> int:
        """Over all processes, half a second late; days are UTC's, as the database counts them."""
        counted_today = self._totals.get(tenant_id, 0) if self._day == _today() else 0
        return counted_today + self._counts[tenant_id]

    def stop(self, seconds: float) -> None:
        """Flush once more, then end; waits at most so long."""
        self._ends.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        lifeline = Lifeline()
        while not self._ends.wait(FLUSH_SECONDS):
            self._flush(lifeline)
        self._flush(lifeline)
        lifeline.untie()

    def _flush(self, lifeline: Lifeline) -> None:
        """One try; what could not be written stays for the next."""
        counts, refused = self._take()
        if not counts and not refused:
            return
        try:
            lifeline.tie()
            self._write_counts(counts)
            refusals.record(refused)
        except AWAY as error:
            lifeline.untie()
            log.warning("edge.report_failed", error=type(error).__name__, refusals=len(refused))
            self._put_back(counts, refused)
        except Exception:
            # The reporter must outlive whatever a stranger makes us write down.
            lifeline.untie()
            log.exception("edge.report_failed", refusals=len(refused))

    def _take(self) -> tuple[Counter[int], list[RefusedAt]]:
        with self._lock:
            counts, self._counts = self._counts, Counter()
            if self._day != _today():
                self._day, self._totals = _today(), {}
            # Until the flush is done the cap must not miss these.
            for tenant_id, count in counts.items():
                self._totals[tenant_id] = self._totals.get(tenant_id, 0) + count
        refused: list[RefusedAt] = []
        while self._refusals and len(refused) < _MOST_AT_ONCE:
            refused.append(self._refusals.popleft())
        return counts, refused

    def _write_counts(self, counts: "Counter[int]") -> None:
        totals = refusals.add_usage(counts)
        counts.clear()
        with self._lock:
            self._totals.update(totals)

    def _put_back(self, counts: "Counter[int]", refused: list[RefusedAt]) -> None:
        with self._lock:
            for tenant_id, count in counts.items():
                self._totals[tenant_id] = self._totals.get(tenant_id, count) - count
            self._counts.update(counts)
        if len(self._refusals) < _MOST_WAITING:
            self._refusals.extendleft(reversed(refused))


def _today() -> int:
    return int(time.time()) // _DAY_SECONDS
