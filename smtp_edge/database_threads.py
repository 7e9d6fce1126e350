"""A few threads that ask the database for the event loop, each on a connection of its own.

    await threads.run(function, *arguments)   its result, or `ServiceAway`
    threads.post(function, *arguments)        some time, failures are logged

Connections are kept between jobs (making one costs more than most questions), and closed after a
minute without any. A job that takes too long is given up and its connection cut, so that no thread
stays behind in a server that hangs.
"""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import structlog
from django.db import InterfaceError, OperationalError

from smtp_edge.disk import away
from smtp_edge.lifeline import Lifeline
from smtp_edge.ports import ServiceAway

log = structlog.get_logger()
Result = TypeVar("Result")

_IDLE_SECONDS = 60.0
_MOST_WAITING = 500  # a server that is away must not gather questions


class _Job:
    """One question; `lifeline` is set while a thread works on it, `given_up` once nobody waits."""

    def __init__(self, function: Callable[[], Any], future: "asyncio.Future[Any] | None") -> None:
        self.function = function
        self.future = future
        self.lifeline: Lifeline | None = None
        self.given_up = False


class DatabaseThreads:
    """`seconds` is how long a job may take, the wait for a free thread included."""

    def __init__(self, name: str, count: int, seconds: float) -> None:
        self._seconds = seconds
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    async def run(self, function: Callable[..., Result], *arguments: object) -> Result:
        if self._jobs.qsize() >= _MOST_WAITING:
            raise ServiceAway("too many questions wait for the database")
        loop = asyncio.get_running_loop()
        job = _Job(lambda: function(*arguments), loop.create_future())
        ends_at = loop.time() + self._seconds
        self._jobs.put(job)
        try:
            async with asyncio.timeout_at(ends_at):
                return await job.future  # type: ignore[misc]
        except TimeoutError:
            self._give_up(job)
            raise ServiceAway("the database does not answer") from None
        except asyncio.CancelledError:
            job.given_up = True
            loop.call_at(ends_at, self._give_up, job)  # its thread may hang in the server as well
            raise

    def post(self, function: Callable[..., object], *arguments: object) -> None:
        self._jobs.put(_Job(lambda: function(*arguments), None))

    def stop(self) -> None:
        """Let the threads end when the jobs that wait are done."""
        for _ in self._threads:
            self._jobs.put(None)

    def _give_up(self, job: _Job) -> None:
        with self._lock:
            job.given_up = True
            if job.lifeline is not None:
                job.lifeline.cut()

    def _work(self) -> None:
        lifeline = Lifeline()
        while True:
            try:
                job = self._jobs.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                lifeline.untie()
                continue
            if job is None:
                lifeline.untie()
                return
            if not job.given_up:
                self._answer(job, lifeline)

    def _answer(self, job: _Job, lifeline: Lifeline) -> None:
        try:
            result = self._ask(job, lifeline)
        except (OperationalError, InterfaceError) as error:
            lifeline.untie()
            log.warning("edge.database_away", error=type(error).__name__)
            _settle(job, away(error, "the database is away"), failed=True)
        except Exception as error:
            # Whoever asked decides what it means; where nobody did, the log is all there is.
            log.exception("edge.question_failed")
            _settle(job, error, failed=True)
        else:
            _settle(job, result)

    def _ask(self, job: _Job, lifeline: Lifeline) -> Any:
        """Ask once more on a fresh connection: the kept one may be from before a restart."""
        try:
            return self._ask_once(job, lifeline)
        except (OperationalError, InterfaceError):
            lifeline.untie()
            if job.given_up:
                raise
            return self._ask_once(job, lifeline)

    def _ask_once(self, job: _Job, lifeline: Lifeline) -> Any:
        lifeline.tie()
        with self._lock:
            job.lifeline = lifeline
        try:
            return job.function()
        finally:
            with self._lock:
                job.lifeline = None


def _settle(job: _Job, outcome: Any, *, failed: bool = False) -> None:
    future = job.future
    if future is None:
        return
    with contextlib.suppress(RuntimeError):  # the loop has ended, nobody waits
        future.get_loop().call_soon_threadsafe(_set, future, outcome, failed)


def _set(future: "asyncio.Future[Any]", outcome: Any, failed: bool) -> None:
    if future.done():
        return
    if failed:
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
