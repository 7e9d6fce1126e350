"""What time it is for leases: the database's, but as if its clock had never been stepped.

A lease ends at a time of the wall clock, so that all loops mean the same. When that clock is set
forward, every lease seems to be over, and what is on the wire would be sent a second time. So a
loop carries the database's time on by its own monotonic clock, and looks at it with each of its
heartbeats. After a step it believes its own until every living loop has renewed what it holds.

A clock that was set back is believed at once: then leases last too long, and
`sweeps.sweep_endless_leases` shortens them.
"""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from delivery.claim import LEASE

STEP: Final = timedelta(seconds=2)
"""What the two clocks may differ by between two heartbeats."""


class LeaseClock:
    """`seen` takes each time that the database tells, `now` carries it on."""

    __slots__ = ("_at", "_believed_from", "_monotonic", "_seen")

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._at: datetime | None = None
        self._seen = 0.0
        self._believed_from: float | None = None  # when a step forward will be an old story

    def now(self) -> datetime | None:
        """The time to compare leases with; None before the database told any."""
        if self._at is None:
            return None
        return self._at + timedelta(seconds=self._monotonic() - self._seen)

    def seen(self, at: datetime) -> None:
        """The database's clock says so at this moment."""
        now, moment = self.now(), self._monotonic()
        if now is not None and at - now > STEP:
            if self._believed_from is None:
                self._believed_from = moment + LEASE.total_seconds()
            if moment < self._believed_from:
                return
        self._at, self._seen, self._believed_from = at, moment, None
