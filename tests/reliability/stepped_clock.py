"""A wall clock that the test steps: one for PostgreSQL, edges, workers, beat, as on one machine.

stepped_clock.c is put before the C library of each process. The monotonic clock stays real, so that
time-outs, renewals of leases and timers run as they do when NTP steps a machine's clock.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mxax.launcher.supervisor import ChildSpec
from tests.reliability.servers import OwnPostgres

COMPILER = shutil.which("cc")
SOURCE = Path(__file__).with_suffix(".c")
WHY_NOT = (
    "the clock is stepped on Linux only"
    if sys.platform != "linux"
    else ""
    if COMPILER
    else "no C compiler (Debian: gcc, libc6-dev)"
)


class SteppedClock:
    """How far the service's wall clock is ahead of the real one."""

    def __init__(self) -> None:
        self._held = tempfile.TemporaryDirectory(prefix="mxax-clock-")
        folder = Path(self._held.name)
        folder.chmod(0o755)  # PostgreSQL reads it as a user of its own
        self._file, self._library = folder / "offset", folder / "stepped_clock.so"
        assert COMPILER is not None
        command = [COMPILER, "-O2", "-shared", "-fPIC", "-o", self._library, SOURCE]
        subprocess.run(command, check=True, capture_output=True)
        self._file.write_bytes(bytes(8))
        self._file.chmod(0o644)
        self.offset = timedelta()

    def set(self, offset: timedelta) -> None:
        """All processes see it from their next look at the clock on."""
        nanoseconds = offset // timedelta(microseconds=1) * 1000
        with self._file.open("r+b", buffering=0) as file:
            file.write(struct.pack("=q", nanoseconds))
        self.offset = offset

    def step(self, by: timedelta) -> None:
        self.set(self.offset + by)

    def now(self) -> datetime:
        return datetime.fromtimestamp(time.time(), UTC) + self.offset

    def go_to(self, moment: datetime) -> None:
        self.step(moment - self.now())

    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self._library), "STEPPED_CLOCK_FILE": str(self._file)}

    def remove(self) -> None:
        self._held.cleanup()


class PostgresWithClock(OwnPostgres):
    """A PostgreSQL whose clock_timestamp() is the stepped clock's."""

    def __init__(self, clock: SteppedClock) -> None:
        self._clock = clock
        super().__init__()

    def spec(self) -> ChildSpec:
        real = super().spec()
        return replace(real, environment={**real.environment, **self._clock.environment()})
