"""The line by which a worker's parent tells its children at once that the end has come.

Celery tells them when its own consumer has stopped, and that may wait for the broker: half a minute
was seen. The children hold the reading end of a pipe and the parent the writing one; it is closed
in the handler of SIGTERM, and by the kernel when the parent dies. A child forked after that finds
the line closed.
"""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog

LAST_SECONDS = 2.0  # for the parent, when all its children have gone

log = structlog.get_logger()


class StopLine:
    """One pipe: made in the parent, before it forks."""

    def __init__(self) -> None:
        self._heard_at, self._held_at = os.pipe()

    def hang_up(self) -> None:
        """In the parent, also from a handler of signals: the children hear it. Any number of times.

        From now on the parent ends too, with its children, wherever it is waiting.
        """
        held_at, self._held_at = self._held_at, -1
        if held_at >= 0:
            os.close(held_at)
            threading.Thread(target=_end_after_children, name="last-out", daemon=True).start()

    def listen(self, when_over: Callable[[], None]) -> None:
        """In a child: run `when_over`, in a thread, once the parent has hung up or died."""
        held_at, self._held_at = self._held_at, -1
        if held_at >= 0:
            os.close(held_at)  # or we would hold the line ourselves

        def wait() -> None:
            os.read(self._heard_at, 1)
            when_over()

        threading.Thread(target=wait, name="stop-line", daemon=True).start()


def _end_after_children() -> None:
    while _has_children():
        time.sleep(0.1)
    time.sleep(LAST_SECONDS)
    log.warning("celery.stop_cut_short", reason="no children left and still not ended")
    os._exit(0)


def _has_children() -> bool:
    """Whether a child of this process still runs; one that only waits to be reaped does not."""
    for thread in Path("/proc/self/task").iterdir():
        for pid in (thread / "children").read_text().split():
            try:
                state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if state != "Z":
                return True
    return False
