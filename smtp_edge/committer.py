"""Makes 250 true: one thread commits what all sessions of the process want kept.

    loop     keep(messages) ──queue──▶ thread   INSERT … (still waited for?) … COMMIT
    session  ◀── future ──────────────          one answer for the whole batch

What arrived while the last commit ran goes into the next one. Where sessions crowd, the thread
waits 3 ms for more (a tenth of the CPU of edge and database); a session on its own never does.

Each session waits `keep_seconds` at most. Then its batch is given up: all of it is answered 451,
the connection to the database is cut, and COMMIT is not sent any more. Where it had been sent
already, the messages are withdrawn by id as soon as the database can be asked again.
"""

import asyncio
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from enum import Enum
from uuid import UUID

import structlog

from delivery.acceptance import KeptMessage
from smtp_edge import metrics
from smtp_edge.disk import away
from smtp_edge.limits import Limits
from smtp_edge.ports import ServiceAway
from smtp_edge.store import AWAY, RETRY_DOUBTS_SECONDS, MessageStore, OutcomeUnknown

log = structlog.get_logger()

MOST_IN_A_BATCH = 64
_LATE = "not committed in time"
GATHER_SECONDS = 0.003
_EXIT_SOFTWARE = 70  # sysexits.h


class GivenUp(Exception):
    """The sessions of this batch were told to try again: it must not be committed."""


class _Stage(Enum):
    INSERTING = "inserting"
    COMMITTING = "committing"
    ENDED = "ended"


class _Submission:
    """What one session wants kept."""

    __slots__ = ("deadline", "future", "given_up", "messages", "octets")

    def __init__(
        self, messages: Sequence[KeptMessage], future: "asyncio.Future[None]", deadline: float
    ) -> None:
        self.messages = messages
        self.future = future
        self.deadline = deadline
        self.given_up = False
        self.octets = sum(len(chunk) for message in messages for chunk in message.chunks)


class _Batch:
    """Submissions in one transaction. The committer's lock guards stage and `given_up`."""

    def __init__(self, submissions: list[_Submission], lock: threading.Lock) -> None:
        self.submissions = submissions
        self.stage = _Stage.INSERTING
        self.given_up = False
        self.trouble = ServiceAway(_LATE)
        """What its sessions are told when it is not kept."""
        self._lock = lock

    @property
    def messages(self) -> list[KeptMessage]:
        return [message for one in self.submissions for message in one.messages]

    @property
    def trace_ids(self) -> list[UUID]:
        return [message.plan.trace_id for message in self.messages]

    def begin_commit(self) -> None:
        """From here on a COMMIT may be on its way. Raises `GivenUp` when nobody waits."""
        with self._lock:
            if self.given_up:
                raise GivenUp
            self.stage = _Stage.COMMITTING

    def end(self) -> bool:
        """Whether the sessions still wait now that it is committed."""
        with self._lock:
            self.stage = _Stage.ENDED
            return not self.given_up


class Committer:
    """`committed` is called in the loop after each batch: the bell."""

    def __init__(self, store: MessageStore, limits: Limits, committed: Callable[[], None]) -> None:
        self._store = store
        self._limits = limits
        self._committed = committed
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[_Submission | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._batch: _Batch | None = None
        self._waiting: dict[_Submission, None] = {}
        self._waiting_octets = 0
        self._crowded = False
        """The last batch was of several sessions."""
        self._alarm: asyncio.TimerHandle | None = None
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
        self._thread.start()

    # In the loop

    async def keep(self, messages: Sequence[KeptMessage]) -> None:
        """Returns when the messages are committed; raises `ServiceAway` when they are not."""
        deadline = self._loop.time() + self._limits.keep_seconds
        submission = _Submission(messages, self._loop.create_future(), deadline)
        if self._waiting_octets + submission.octets > self._limits.waiting_octets:
            raise ServiceAway("too much waits for the committer")
        self._waiting[submission] = None
        self._waiting_octets += submission.octets
        if self._alarm is None:
            self._alarm = self._loop.call_at(deadline, self._give_up_late)
        self._queue.put(submission)
        try:
            await submission.future
        except asyncio.CancelledError:
            submission.given_up = True  # the client has gone; if not begun yet, leave it out
            raise
        finally:
            del self._waiting[submission]
            self._waiting_octets -= submission.octets

    async def stop(self) -> None:
        """Commit what waits, then end the thread."""
        self._queue.put(None)
        await self._loop.run_in_executor(None, self._thread.join, self._limits.keep_seconds)
        if self._alarm is not None:
            self._alarm.cancel()

    def _give_up_late(self) -> None:
        """Answer all whose time is over, and with them the batch they are in."""
        now = self._loop.time()
        late = [one for one in self._waiting if one.deadline <= now]
        with self._lock:
            batch = self._batch
            if batch is not None and any(one in late for one in batch.submissions):
                batch.given_up = batch.stage is not _Stage.ENDED
                late += batch.submissions if batch.given_up else []
            for submission in late:
                submission.given_up = True
        if late and (batch is None or batch.given_up):
            self._store.cut()  # whatever the thread does there, it takes too long
        for submission in late:
            _fail(submission, ServiceAway(_LATE))
        if late:
            log.error("mail.not_kept_in_time", sessions=len(set(late)))
        rest = [one for one in self._waiting if not one.future.done()]
        self._alarm = self._loop.call_at(rest[0].deadline, self._give_up_late) if rest else None

    def _answer(self, batch: _Batch, kept: bool) -> None:
        for submission in batch.submissions:
            if not kept:
                _fail(submission, batch.trouble)
            elif not submission.future.done():
                submission.future.set_result(None)
        if kept:
            self._committed()

    # In the thread

    def _run(self) -> None:
        """Sessions would hang without this thread: if it ends, the process ends with it."""
        try:
            while self._turn():
                pass
        except BaseException:
            log.exception("edge.committer_died")
            os._exit(_EXIT_SOFTWARE)
        self._store.let_go()

    def _turn(self) -> bool:
        """One batch; False when it is time to end."""
        doubts = self._store.doubts
        if doubts:
            self._store.resolve_doubts()
        try:
            first = self._queue.get(timeout=RETRY_DOUBTS_SECONDS if doubts else None)
        except queue.Empty:
            return True
        if self._crowded:
            time.sleep(GATHER_SECONDS)
        taken, ends = self._take(first)
        self._crowded = len(taken) > 1
        self._keep(taken)
        return not ends

    def _take(self, first: _Submission | None) -> tuple[list[_Submission], bool]:
        """What waits now, and whether it was the last."""
        taken: list[_Submission] = []
        submission = first
        while submission is not None:
            taken.append(submission)
            if len(taken) >= MOST_IN_A_BATCH:
                return taken, False
            try:
                submission = self._queue.get_nowait()
            except queue.Empty:
                return taken, False
        return taken, True

    def _keep(self, submissions: list[_Submission]) -> None:
        batch = self._begin(submissions)
        if not batch.submissions:
            return
        try:
            kept = self._try_twice(batch)
        except Exception:
            self._store.let_go()
            if len(batch.submissions) > 1:
                # A message that the database will not have: its batch mates must not suffer.
                for submission in batch.submissions:
                    self._keep([submission])
                return
            log.exception("mail.not_kept", trace_ids=[str(one) for one in batch.trace_ids])
            kept = False
        with self._lock:
            self._batch = None
        metrics.BATCH.observe(len(batch.submissions))
        self._loop.call_soon_threadsafe(self._answer, batch, kept)

    def _begin(self, submissions: list[_Submission]) -> _Batch:
        """The batch of those who still wait; from now on it can be given up."""
        with self._lock:
            waiting = [one for one in submissions if not one.given_up]
            batch = _Batch(waiting, self._lock)
            self._batch = batch if waiting else None
            return batch

    def _try_twice(self, batch: _Batch) -> bool:
        """Whether the batch is committed; a second try when the kept connection was a dead one."""
        for _ in range(2):
            try:
                return self._commit(batch)
            except OutcomeUnknown as doubt:
                self._store.let_go()
                self._store.doubt(doubt.backend, batch.trace_ids)
                log.error("mail.commit_unknown", messages=len(batch.trace_ids))
                return False
            except GivenUp:
                self._store.let_go()
                return False
            except AWAY as error:
                self._store.let_go()
                log.warning("edge.database_away", error=type(error).__name__)
                batch.trouble = away(error, "the database is away")
                if batch.given_up:
                    return False
        return False

    def _commit(self, batch: _Batch) -> bool:
        backend = self._store.keep(batch.messages, batch.begin_commit)
        if batch.end():
            return True
        # Committed, but the clients were told to try again while it happened.
        self._store.doubt(backend, batch.trace_ids)
        self._store.let_go()
        return False


def _fail(submission: _Submission, trouble: ServiceAway) -> None:
    if not submission.future.done():
        submission.future.set_exception(trouble)
