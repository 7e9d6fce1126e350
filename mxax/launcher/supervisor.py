"""Runs the children: starts them again with back-off, ends them in order, leaves nothing behind.

Looked at before: honcho ends all when one ends, and starts nothing again; supervisor has neither an
order of shutdown that waits nor an end for what it leaves when killed. Hence this, one thread and
one `select`:

    add(spec) ... tick() ... tick() ... stop()

Each child has a session of its own (Ctrl-C reaches only us) and a log file. The guard, a process
of its own, is told each pid; when we die without a word it ends them. As a last resort the kernel
sends each child SIGTERM when we are gone (PR_SET_PDEATHSIG), also if the guard died too.
"""

from __future__ import annotations

import ctypes
import enum
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO, Any

from mxax.launcher.console import Console
from mxax.launcher.errors import StopAsked
from mxax.launcher.guarded import Guard
from mxax.launcher.users import User

FIRST_DELAY = 0.5
LONGEST_DELAY = 5.0  # mail does not wait for long, and what cannot start does not spin
STEADY_AFTER = 60.0  # seconds of life after which the back-off starts anew
HURRIED_BOUND = 3.0  # after a second signal
LOG_OCTETS = 20_000_000  # a log file is turned over at this size; one old one is kept
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PR_SET_PDEATHSIG = 1


class Stage(enum.IntEnum):
    """The order of shutdown: who takes and moves mail, then who serves them, then the database."""

    FRONT = 0
    BACK = 1
    DATABASE = 2


@dataclass(frozen=True, slots=True)
class ChildSpec:
    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    stage: Stage
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0
    user: User | None = None
    folder: Path | None = None


@dataclass(slots=True)
class _Child:
    spec: ChildSpec
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    delay: float = FIRST_DELAY
    due_at: float = 0.0
    starts: int = 0


def _no_hook() -> None:
    pass


@dataclass(slots=True)
class Supervisor:
    """`changed` is called after a child was started, when `pids` has its new pid."""

    console: Console
    logs: Path
    guard: Guard
    changed: Callable[[], None] = _no_hook
    lifeline: int | None = None  # a descriptor whose end asks us to end
    _children: dict[str, _Child] = field(default_factory=dict)
    _asked: int = 0
    _stopping: bool = False
    _wake: tuple[int, int] = (-1, -1)
    _logs_due: float = 0.0

    def catch_signals(self) -> None:
        """From here on SIGINT, SIGTERM and SIGHUP ask us to end. Main thread only."""
        self._wake = os.pipe()
        for end in self._wake:
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._wake[1], warn_on_full_buffer=False)
        for number in _ENDING:
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._asked += 1

    @property
    def asked_to_stop(self) -> bool:
        return self._asked > 0

    def ask_to_stop(self) -> None:
        self._asked += 1

    def pids(self) -> dict[str, int]:
        return {name: one.process.pid for name, one in self._children.items() if one.process}

    def add(self, spec: ChildSpec) -> None:
        child = self._children[spec.name] = _Child(spec)
        self._start(child)

    def died_early(self, name: str) -> bool:
        """Whether this child is down now, or was started more than once."""
        child = self._children[name]
        return child.process is None or child.starts > 1

    def tick(self, timeout: float = 0.1) -> None:
        """Wait a moment or for news, then look after the children. Raises `StopAsked`."""
        self._wait(timeout)
        self._reap()
        self._restart_due()
        self.guard.revive()
        self._turn_logs()
        if self._asked and not self._stopping:
            raise StopAsked

    def run(self, command: Sequence[str], *, line: Callable[[str], None], **more: Any) -> int:
        """Run a command to its end while looking after the children; gives its exit code.

        `line` gets each line it prints, and "" now and then. It ends with us when we are asked to.
        """
        output: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **more}
        process = _popen(command, **output)
        self.guard.watch(process.pid, Stage.FRONT, signal.SIGTERM)
        try:
            assert process.stdout is not None
            for text in self._lines(process.stdout):
                line(text)
            return process.wait()
        finally:
            _kill_group(process.pid)
            process.wait()
            self.guard.forget(process.pid)

    def _lines(self, pipe: IO[bytes]) -> Iterator[str]:
        os.set_blocking(pipe.fileno(), False)
        rest = b""
        while True:
            part = pipe.read()
            if part == b"":
                break
            *whole, rest = (rest + (part or b"")).split(b"\n")
            for one in whole or [b""]:
                yield one.decode(errors="replace")
            if part is None:
                self.tick(0.1)
        if rest:
            yield rest.decode(errors="replace")

    def stop(self) -> None:
        """End the children stage by stage; each has its bound, a second signal shortens it."""
        self._stopping = True
        asked = self._asked
        for stage in Stage:
            self._stop_stage(stage, asked)
        self.guard.dismiss()

    def _stop_stage(self, stage: Stage, asked: int) -> None:
        running = [c for c in self._children.values() if c.process and c.spec.stage is stage]
        for child in running:
            _send(child, child.spec.stop_signal)
        begun = time.monotonic()
        while any(child.process for child in running):
            passed = time.monotonic() - begun
            for child in running:
                hurried = self._asked > asked and stage is not Stage.DATABASE
                bound = min(child.spec.stop_seconds, HURRIED_BOUND if hurried else 1e9)
                if child.process and passed > bound:
                    self.console.event(f"{child.spec.name} did not end in {bound:.0f} s: killed")
                    _kill_group(child.process.pid)
            self._wait(0.1)
            self._reap()

    def _wait(self, timeout: float) -> None:
        if self._asked and not self._stopping:
            return
        now = time.monotonic()
        due = [c.due_at - now for c in self._children.values() if not c.process]
        pause = max(0.0, min([timeout, *due] if not self._stopping else [timeout]))
        watched = [fd for fd in (self._wake[0], self.lifeline) if fd is not None and fd >= 0]
        woken, _, _ = select.select(watched, [], [], pause)
        for descriptor in woken:
            with suppress(BlockingIOError):
                if not os.read(descriptor, 4096) and descriptor == self.lifeline:
                    self._asked += 1
                    self.lifeline = None

    def _start(self, child: _Child) -> None:
        spec = child.spec
        child.started_at = time.monotonic()
        child.starts += 1
        with open(self.logs / f"{spec.name}.log", "ab") as log:
            try:
                child.process = _popen(
                    spec.command,
                    stdout=log,
                    stderr=log,
                    env=dict(spec.environment),
                    user=spec.user,
                    folder=spec.folder,
                )
            except OSError as wrong:
                self._plan_restart(child, f"could not be started ({wrong.strerror})")
                return
        self.guard.watch(child.process.pid, spec.stage, spec.stop_signal)
        self.changed()

    def _reap(self) -> None:
        for child in self._children.values():
            if child.process is None or child.process.poll() is None:
                continue
            process, child.process = child.process, None
            _kill_group(process.pid)  # what it left behind
            self.guard.forget(process.pid)
            if not self._stopping and not self._asked:
                self._plan_restart(child, f"ended ({_how(process.returncode)})")

    def _plan_restart(self, child: _Child, what: str) -> None:
        now = time.monotonic()
        if now - child.started_at >= STEADY_AFTER:
            child.delay = FIRST_DELAY
        child.due_at = now + child.delay
        again = f"starting it again in {child.delay:g} s"
        self.console.event(f"{child.spec.name} {what}: {again} ({child.spec.name}.log)")
        child.delay = min(child.delay * 2, LONGEST_DELAY)

    def _restart_due(self) -> None:
        if self._stopping or self._asked:
            return
        for child in self._children.values():
            if child.process is None and child.due_at <= time.monotonic():
                self._start(child)

    def _turn_logs(self) -> None:
        now = time.monotonic()
        if now < self._logs_due:
            return
        self._logs_due = now + 60
        for path in self.logs.glob("*.log"):
            with suppress(OSError):
                if path.stat().st_size > LOG_OCTETS:
                    _turn_over(path)


def _turn_over(path: Path) -> None:
    """Keep the old lines beside it; the children write on, at the (new) end of the same file."""
    old = path.with_suffix(".log.1")
    with open(path, "rb") as source, open(old, "wb") as target:
        while part := source.read(1 << 20):
            target.write(part)
    os.truncate(path, 0)


def _popen(
    command: Sequence[str],
    *,
    user: User | None = None,
    folder: Path | None = None,
    **more: Any,
) -> subprocess.Popen[bytes]:
    options: dict[str, Any] = user.process_options() if user else {"cwd": folder}
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=_end_with_parent,
        **options,
        **more,
    )


_prctl = ctypes.CDLL(None).prctl if sys.platform.startswith("linux") else None


def _end_with_parent() -> None:
    """In the child, after it took its user (changing that clears it)."""
    if _prctl:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def end_with_parent_too() -> None:
    """Make the launcher itself end when its parent (make) was killed."""
    _end_with_parent()


def _send(child: _Child, number: signal.Signals) -> None:
    if child.process:
        with suppress(ProcessLookupError, PermissionError):
            child.process.send_signal(number)


def _kill_group(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _how(code: int) -> str:
    return f"exit {code}" if code >= 0 else signal.Signals(-code).name
