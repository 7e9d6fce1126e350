"""Time in tests that hold on any machine, however slow and busy.

    within_cpu(work, seconds=1)   a limit of CPU: a ratio to a yardstick, and the best of three runs
    eventually(true)              waits until it is so, as long as it takes
    soon(true)                    the same in a coroutine
    in_jumping_time(story())      asyncio.run where nobody waits: the clock jumps to the next timer

A bare `process_time() - began < 1` fails where cores are slower, shared by hyperthreads or where
the garbage of a thousand earlier tests is collected in the middle of it. What a limit shall catch is
work that grows out of hand, and that is many times slower in each run.
"""

from __future__ import annotations

import asyncio
import gc
import re
import selectors
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

_RUNS = 3
# The yardstick on a quiet core of a server of 2025; a faster one neither loosens nor tightens a limit.
_QUIET_SECONDS = 0.014
_PIECES = re.compile(r'[a-z]+|"(?:[^"\\]|\\.)*"')
_TEXT = 'word "quo\\"ted" (x) ' * 200


def within_cpu(work: Callable[[], T], *, seconds: float) -> T:
    """What `work` gives, done in this much CPU of the whole process; else an AssertionError.

    A first run that keeps the limit as it is costs nothing more. Otherwise the garbage is settled,
    `work` runs again, at most twice, and each run is judged by what a yardstick takes beside it.
    """
    result, least = _timed(work)
    if least <= seconds:
        return result
    least /= slowness()
    with _settled_garbage():
        for _ in range(_RUNS - 1):
            if least <= seconds:
                return result
            before = slowness()
            result, spent = _timed(work)
            least = min(least, spent / max(before, slowness()))
    assert least <= seconds, f"{least:.3g} s of CPU at best, where {seconds:.3g} s are allowed"
    return result


def slowness() -> float:
    """How many times slower this core is now than a quiet one; never below one."""
    began = time.thread_time()
    for _ in range(120):
        for found in _PIECES.finditer(_TEXT):
            found[0].upper()
    return max(1.0, (time.thread_time() - began) / _QUIET_SECONDS)


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    began = time.process_time()
    result = work()
    return result, time.process_time() - began


@contextmanager
def _settled_garbage() -> Iterator[None]:
    """What is there now is not looked through again while the work runs."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def eventually(true: Callable[[], T], seconds: float = 60, *, every: float = 0.02) -> T:
    """What it gives when that is true; asks until then, and fails after far more than it needs."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, f"not true within {seconds:g} s"
        time.sleep(every)
    return found


async def soon(true: Callable[[], T], seconds: float = 60) -> T:
    """`eventually`, while the loop goes on."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, f"not true within {seconds:g} s"
        await asyncio.sleep(0.005)
    return found


def in_jumping_time(story: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` for stories of timers alone, without sockets, processes or threads.

    The loop's clock begins at 0 and stands still while anything works; when all sleep, it jumps.
    """
    with asyncio.Runner(loop_factory=_JumpingLoop) as runner:
        return runner.run(story)


class _JumpingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumped = 0.0
        super().__init__(_Impatient(self))

    def time(self) -> float:
        return self._jumped


class _Impatient(selectors.SelectSelector):
    def __init__(self, loop: _JumpingLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everybody waits for something that no timer brings"
            self._loop._jumped += timeout
        return ready
