"""Room on the database's disk: MAIL is answered 452 4.3.1 before there is none left.

A database that finds its disk full may stop altogether; so the edge stops taking mail earlier,
while there is still room for what is queued to be delivered. The edge sees the disk only where the
database is the embedded one. Any database tells it by SQLSTATE 53100, which becomes the same reply.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from smtp_edge.ports import NoSpace, ServiceAway

log = structlog.get_logger()

CHECK_SECONDS = 2.0
USUAL_FLOOR_OCTETS = 2_000_000_000
USUAL_FLOOR_SHARE = 0.05
_DISK_FULL = "53100"  # PostgreSQL, appendix A, class 53


class FreeSpace:
    """Whether a message of some size may still come; asks the file system now and then.

    Without `floor_octets` the floor is 2 GB, or 5 % of the disk where that is less.
    """

    def __init__(
        self,
        folder: Path,
        floor_octets: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._floor, self._clock = folder, floor_octets, clock
        self._checked_at = float("-inf")
        self._above_floor = 0
        self._is_low = False

    def has_room(self, size_octets: int) -> bool:
        """Whether the floor is not reached, also with a message of this size."""
        now = self._clock()
        if now - self._checked_at >= CHECK_SECONDS:
            self._checked_at = now
            self._look()
        return self._above_floor > size_octets

    def _look(self) -> None:
        try:
            disk = os.statvfs(self._folder)
        except OSError as error:
            log.warning("edge.disk_unknown", error=error.strerror)
            return
        usual = min(USUAL_FLOOR_OCTETS, int(disk.f_blocks * disk.f_frsize * USUAL_FLOOR_SHARE))
        floor = usual if self._floor is None else self._floor
        free = disk.f_bavail * disk.f_frsize
        self._above_floor = free - floor
        if self._is_low != (free <= floor):
            self._is_low = not self._is_low
            event = "edge.disk_low" if self._is_low else "edge.disk_has_room"
            log.error(event, free_octets=free, floor_octets=floor)


def unlimited(size_octets: int) -> bool:
    """Room where the disk is not ours to see."""
    return True


def away(error: BaseException, reason: str) -> ServiceAway:
    """What a database error means to the client: its disk is full, or it is away."""
    cause: BaseException | None = error
    while cause is not None:
        if getattr(cause, "sqlstate", None) == _DISK_FULL:
            return NoSpace("the database's disk is full")
        cause = cause.__cause__
    return ServiceAway(reason)
