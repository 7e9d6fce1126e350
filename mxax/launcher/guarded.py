"""The launcher's end of the pipe to its guard (guard.py)."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

_SCRIPT = Path(__file__).with_name("guard.py")
_PAUSE = 1.0  # seconds between two starts of a guard that dies


@dataclass(slots=True)
class Guard:
    """`kept`: descriptors it keeps open until the last child is gone (the lock, the ports)."""

    kept: tuple[int, ...] = ()
    _watched: dict[int, tuple[int, int]] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None
    _started_at: float = 0.0

    def start(self) -> None:
        self._started_at = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=self.kept,
            cwd="/",
        )
        for pid, (stage, number) in self._watched.items():
            self._tell(f"+ {pid} {stage} {number}")

    def watch(self, pid: int, stage: int, stop_signal: signal.Signals) -> None:
        self._watched[pid] = (int(stage), int(stop_signal))
        self._tell(f"+ {pid} {int(stage)} {int(stop_signal)}")

    def forget(self, pid: int) -> None:
        self._watched.pop(pid, None)
        self._tell(f"- {pid}")

    def revive(self) -> None:
        """Start it again when it died."""
        if self._process is None or self._process.poll() is None:
            return
        if time.monotonic() - self._started_at > _PAUSE:
            self._close()
            self.start()

    def dismiss(self) -> None:
        """All children are gone: it may go too."""
        if self._process is None:
            return
        self._tell("bye")
        self._close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _tell(self, line: str) -> None:
        if self._process and self._process.stdin:
            with suppress(BrokenPipeError, ValueError):  # it died: revive() tells a new one all
                self._process.stdin.write(line.encode() + b"\n")
                self._process.stdin.flush()

    def _close(self) -> None:
        if self._process and self._process.stdin:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
