"""Asks one check of an installation for its opinion, in time and whatever the check does.

Foreign code that does not end when it is told to is left behind: a coroutine is cancelled and not
waited for, a thread is a daemon, one of eight that a check may have.
"""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from mail.extension import CheckFacts, CheckOpinion, CheckResult, fault_of
from mail.policy.trust import Action
from mail.trace import format_trace_id
from smtp_edge.scanning import metrics

log = structlog.get_logger()

_MOST_THREADS: Final = 8


class _Faulty(Exception):
    """A check gave no opinion that can be used; the text is for the log and the tenant."""


@dataclass(frozen=True, slots=True)
class LoadedCheck:
    """One check with what it said of itself."""

    name: str
    run: Callable[[CheckFacts], Awaitable[object]]
    required: bool
    wants_octets: bool
    seconds: float

    async def ask(self, facts: CheckFacts) -> CheckResult | None:
        """Its opinion, if it has one; never raises."""
        try:
            opinion = await self._opinion(facts)
        except _Faulty as fault:
            return self._without(facts, str(fault))
        outcome = "none" if opinion is None else opinion.action.value
        metrics.CHECKS.labels(self.name, outcome).inc()
        return None if opinion is None else CheckResult(self.name, opinion)

    async def _opinion(self, facts: CheckFacts) -> CheckOpinion | None:
        # A task of its own: it may swallow being cancelled, or cancel itself.
        task = asyncio.ensure_future(_as_coroutine(self.run(facts)))
        try:
            await asyncio.wait((task,), timeout=self.seconds)
        finally:
            late = not task.done()
            if late:
                task.cancel()
                task.add_done_callback(_look_away)
        if late:
            raise _Faulty(f"gave no answer within {self.seconds:g} s")
        return _read(task)

    def _without(self, facts: CheckFacts, fault: str) -> CheckResult | None:
        metrics.CHECKS.labels(self.name, "failed").inc()
        log.warning(
            "check.failed",
            check=self.name,
            fault=fault,
            required=self.required,
            trace_id=format_trace_id(facts.envelope.trace_id),
        )
        if not self.required:
            return None
        reason = f"the required check {self.name} {fault}"[:200]
        return CheckResult(self.name, CheckOpinion(Action.DEFER, reason))


async def _as_coroutine(waiting: Awaitable[object]) -> object:
    try:
        return await waiting
    except SystemExit:  # asyncio would let it end the process
        raise _Faulty("raised SystemExit") from None


def _look_away(task: "asyncio.Future[object]") -> None:
    if not task.cancelled():
        task.exception()


def _read(task: "asyncio.Task[object]") -> CheckOpinion | None:
    """What a finished check gave. Raises `_Faulty`."""
    if task.cancelled():
        raise _Faulty("cancelled itself")
    error = task.exception()
    if isinstance(error, _Faulty):
        raise error
    if error is not None:
        log.warning("check.raised", exc_info=error)
        raise _Faulty(f"raised {type(error).__name__}")
    opinion = task.result()
    if opinion is None:
        return None
    fault = fault_of(opinion)
    if fault:
        raise _Faulty(fault)
    assert isinstance(opinion, CheckOpinion)
    return opinion


@dataclass(slots=True)
class Threads:
    """Runs an ordinary function in threads that a process need not wait for at its end."""

    function: Callable[[CheckFacts], object]
    name: str
    places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_MOST_THREADS))
    left_behind: int = 0

    async def run(self, facts: CheckFacts) -> object:
        if self.left_behind >= _MOST_THREADS:
            raise _Faulty(f"does not end in any of its {_MOST_THREADS} threads")
        await self.places.acquire()
        loop = asyncio.get_running_loop()
        done: asyncio.Future[object] = loop.create_future()
        thread = threading.Thread(
            target=self._call, args=(facts, loop, done), name=f"check-{self.name}", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # no more threads
            self.places.release()
            raise
        try:
            return await done
        except asyncio.CancelledError:
            self.left_behind += done.cancelled()
            raise

    def _call(
        self,
        facts: CheckFacts,
        loop: asyncio.AbstractEventLoop,
        done: "asyncio.Future[object]",
    ) -> None:
        result: object = None
        error: BaseException | None = None
        try:
            result = self.function(facts)
        except BaseException as raised:  # also SystemExit: it is not theirs to end us
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody wants to know
            loop.call_soon_threadsafe(self._ended, done, result, error)

    def _ended(
        self, done: "asyncio.Future[object]", result: object, error: BaseException | None
    ) -> None:
        self.places.release()
        if done.cancelled():
            self.left_behind -= 1
        elif error is not None:
            done.set_exception(_Faulty(f"raised {type(error).__name__}"))
            log.warning("check.raised", check=self.name, exc_info=error)
        else:
            done.set_result(result)
