"""What `make run` prints: steps with their seconds, a box of addresses, one line per event.

Fits 80 columns; no colour where the output is no terminal or NO_COLOR is set. A terminal that has
gone away must never end the service, so writing never raises.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TextIO

from mxax.launcher.errors import StopAsked

WIDTH = 80
_NAME = 12
_NOTE = WIDTH - 2 - _NAME - 1 - 15
_QUIET_SECONDS = 10.0  # without a terminal a long step says so this often


class Step:
    """One line while it runs; `note` is what the finished line says."""

    def __init__(self, console: Console, name: str) -> None:
        self._console = console
        self._name = name
        self._started = self._told = time.monotonic()
        self.note = ""
        self.late = False  # it goes on without being finished

    def progress(self, text: str = "") -> None:
        """Show that it still runs, and what it does now."""
        now = time.monotonic()
        if self._console.lively:
            self._console.overwrite(self._line(text, f"{now - self._started:.0f} s"))
        elif now - self._told >= _QUIET_SECONDS:
            self._told = now
            self._console.line(self._line(text, f"{now - self._started:.0f} s …"))

    def end(self, verdict: str, colour: str) -> None:
        seconds = time.monotonic() - self._started
        right = f"{verdict} {seconds:6.1f} s"
        painted = self._console.paint(verdict, colour)
        line = self._line(self.note, right).removesuffix(right)
        self._console.line(line + painted + right.removeprefix(verdict))

    def _line(self, text: str, right: str) -> str:
        return f"  {self._name:<{_NAME}} {text[:_NOTE]:<{_NOTE}} {right:>14}"


class Console:
    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self.lively = self._out.isatty() and os.environ.get("TERM") != "dumb"
        self._colour = self.lively and not os.environ.get("NO_COLOR")
        self._encoding = self._out.encoding or "ascii"
        self._unicode = self._encoding.lower().replace("-", "") == "utf8"
        self._overwritten = False

    def line(self, text: str = "") -> None:
        self._write(("\r\033[K" if self._overwritten else "") + text + "\n")
        self._overwritten = False

    def overwrite(self, text: str) -> None:
        self._write("\r\033[K" + text[:WIDTH])
        self._overwritten = True

    def paint(self, text: str, colour: str) -> str:
        return f"\033[{colour}m{text}\033[0m" if self._colour else text

    def title(self, text: str, right: str = "") -> None:
        self.line(f"{self.paint(text, '1')}{right:>{WIDTH - len(text)}}")

    def event(self, text: str) -> None:
        """Something a person should know, with the time of day."""
        self.line(f"  {time.strftime('%H:%M:%S')}  {text}")

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        step = Step(self, name)
        step.progress()
        try:
            yield step
        except StopAsked:
            step.end("stopped", "33")
            raise
        except BaseException:
            step.end("failed", "31")
            raise
        step.end("late" if step.late else "ok", "33" if step.late else "32")

    def box(self, rows: Sequence[tuple[str, str]]) -> None:
        """Names and values in a frame of 80 columns; a longer value keeps its length."""
        across, down, corners = ("─", "│", "┌┐└┘") if self._unicode else ("-", "|", "++++")
        inner = WIDTH - 4
        self.line("  " + corners[0] + across * (inner - 0) + corners[1])
        for name, value in rows:
            self.line(f"  {down} {name:<14}{value:<{inner - 16}} {down}")
        self.line("  " + corners[2] + across * inner + corners[3])

    def _write(self, text: str) -> None:
        if not self._unicode:
            text = text.replace("…", "...").replace("→", "->").replace("·", "-")
            text = text.encode(self._encoding, "replace").decode(self._encoding)
        with suppress(OSError, ValueError):  # the terminal is gone or the pipe closed
            self._out.write(text)
            self._out.flush()
