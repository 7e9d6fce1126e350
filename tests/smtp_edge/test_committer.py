"""One committer thread for all sessions: batches, deadlines, doubts, and its own death."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from types import SimpleNamespace
from uuid import uuid4

import pytest
from django.db import DataError, OperationalError

from delivery.acceptance import KeptMessage
from smtp_edge.committer import MOST_IN_A_BATCH, Committer
from smtp_edge.limits import Limits
from smtp_edge.ports import ServiceAway
from smtp_edge.store import OutcomeUnknown
from tests.smtp_edge.edge_process import PROJECT
from tests.timing import soon


def a_message(name: str = "letter") -> KeptMessage:
    return KeptMessage(SimpleNamespace(trace_id=uuid4(), name=name), (b"octets",), 0, 1)


class Store:
    """A store whose database does what a test wants; `committed` is what it holds."""

    def __init__(self) -> None:
        self.committed: list[str] = []
        self.batches: list[int] = []
        self.doubted: list = []
        self.troubles: list[Exception] = []
        self.poisoned: set[str] = set()
        self.hang_before_commit = threading.Event()
        self.hang_in_commit = threading.Event()
        self.hang_before_commit.set()
        self.hang_in_commit.set()
        self.was_cut = threading.Event()
        self.doubts = False
        self.stays_hung = False
        self.survives_cuts = False

    def keep(self, messages, before_commit) -> int:
        self.batches.append(len(messages))
        if self.troubles:
            raise self.troubles.pop(0)
        names = [one.plan.name for one in messages]
        if self.poisoned & set(names):
            raise DataError("poisoned")
        self.hang_before_commit.wait(10)
        if self.was_cut.is_set():
            raise OperationalError("cut")
        before_commit()
        self.hang_in_commit.wait(10)
        if self.was_cut.is_set():
            raise OutcomeUnknown(4711)
        self.committed += names
        return 4711

    def cut(self) -> None:
        if not self.survives_cuts:
            self.was_cut.set()
        self.hang_before_commit.set()
        self.hang_in_commit.set()

    def let_go(self) -> None:
        self.was_cut.clear()
        if self.stays_hung:
            self.hang_before_commit.clear()

    def doubt(self, backend, trace_ids) -> None:
        self.doubted += trace_ids

    def resolve_doubts(self) -> None:
        pass


def run(story, **limits):
    """The story in a loop with a committer; gives the store."""
    store = Store()
    rings: list[int] = []

    async def main():
        committer = Committer(store, Limits(**limits), lambda: rings.append(1))
        await story(committer, store)
        await committer.stop()

    asyncio.run(main())
    store.rings = rings
    return store


def test_what_arrived_during_a_commit_goes_into_the_next_one():
    async def story(committer, store):
        store.hang_before_commit.clear()
        first = asyncio.create_task(committer.keep([a_message()]))
        await soon(lambda: store.batches)
        rest = [asyncio.create_task(committer.keep([a_message()])) for _ in range(30)]
        await asyncio.sleep(0.1)
        store.hang_before_commit.set()
        await asyncio.gather(first, *rest)

    store = run(story)

    assert store.batches == [1, 30]
    assert store.rings == [1, 1]


def test_a_batch_has_so_many_sessions_and_no_more():
    async def story(committer, store):
        store.hang_before_commit.clear()
        tasks = [asyncio.create_task(committer.keep([a_message()])) for _ in range(150)]
        await asyncio.sleep(0.1)
        store.hang_before_commit.set()
        await asyncio.gather(*tasks)

    store = run(story)

    assert sum(store.batches) == 150
    assert max(store.batches) == MOST_IN_A_BATCH


def test_a_poisoned_message_does_not_take_its_batch_mates_along():
    outcomes = []

    async def story(committer, store):
        store.poisoned = {"bad"}
        store.hang_before_commit.clear()
        first = asyncio.create_task(committer.keep([a_message()]))
        await soon(lambda: store.batches)
        tasks = [
            asyncio.create_task(committer.keep([a_message(name)]))
            for name in ("good", "bad", "also good")
        ]
        await asyncio.sleep(0.1)
        store.hang_before_commit.set()
        await first
        outcomes.extend(await asyncio.gather(*tasks, return_exceptions=True))

    store = run(story)

    assert store.committed == ["letter", "good", "also good"]
    assert [type(one) for one in outcomes] == [type(None), ServiceAway, type(None)]


def test_a_connection_that_died_in_the_meantime_is_tried_again_once():
    async def story(committer, store):
        store.troubles = [OperationalError("the server was restarted")]
        await committer.keep([a_message()])

    assert run(story).committed == ["letter"]


def test_a_database_that_is_away_is_told_at_once():
    async def story(committer, store):
        store.troubles = [OperationalError("away")] * 2
        with pytest.raises(ServiceAway):
            await committer.keep([a_message()])

    assert run(story).committed == []


def test_no_commit_is_sent_for_sessions_that_were_told_to_try_again():
    async def story(committer, store):
        store.hang_before_commit.clear()
        began = time.monotonic()
        with pytest.raises(ServiceAway):
            await committer.keep([a_message()])
        assert time.monotonic() - began < 5, "hung until the database went on"

    store = run(story, keep_seconds=0.3)

    assert store.committed == []
    assert store.doubted == []


def test_not_even_when_the_database_wakes_up_on_the_same_connection():
    async def story(committer, store):
        store.survives_cuts = True
        store.hang_before_commit.clear()
        with pytest.raises(ServiceAway):
            await committer.keep([a_message()])

    assert run(story, keep_seconds=0.3).committed == []


def test_who_waits_behind_a_hanging_batch_is_answered_in_time_and_not_kept_later():
    async def story(committer, store):
        store.stays_hung = True
        store.hang_before_commit.clear()
        tasks = [asyncio.create_task(committer.keep([a_message("first")]))]
        await soon(lambda: store.batches)
        tasks += [asyncio.create_task(committer.keep([a_message("second")])) for _ in range(5)]
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(one, ServiceAway) for one in outcomes)
        store.stays_hung = False
        store.hang_before_commit.set()
        await asyncio.sleep(0.1)
        await committer.keep([a_message("third")])

    store = run(story, keep_seconds=1)

    assert store.committed == ["third"]


def test_a_commit_without_an_answer_is_doubted():
    message = a_message()

    async def story(committer, store):
        store.hang_in_commit.clear()
        with pytest.raises(ServiceAway):
            await committer.keep([message])

    store = run(story, keep_seconds=0.3)

    assert store.doubted == [message.plan.trace_id]


def test_a_client_that_left_before_its_turn_is_left_out():
    async def story(committer, store):
        store.hang_before_commit.clear()
        first = asyncio.create_task(committer.keep([a_message("first")]))
        await soon(lambda: store.batches)
        gone = asyncio.create_task(committer.keep([a_message("gone")]))
        await asyncio.sleep(0.05)
        gone.cancel()
        await asyncio.sleep(0.05)
        store.hang_before_commit.set()
        await first

    assert run(story).committed == ["first"]


def test_too_much_waiting_is_refused_at_once():
    async def story(committer, store):
        with pytest.raises(ServiceAway):
            await committer.keep([a_message()])

    assert run(story, waiting_octets=3).committed == []


def test_what_waits_is_committed_before_the_end():
    async def main(store):
        committer = Committer(store, Limits(), lambda: None)
        tasks = [asyncio.create_task(committer.keep([a_message()])) for _ in range(100)]
        await asyncio.sleep(0)
        await committer.stop()
        await asyncio.gather(*tasks)

    store = Store()
    asyncio.run(main(store))

    assert len(store.committed) == 100


def test_a_dead_committer_ends_the_process_at_once():
    script = (
        "import asyncio, django; django.setup()\n"
        "from smtp_edge.committer import Committer\n"
        "from smtp_edge.limits import Limits\n"
        "from tests.smtp_edge.test_committer import Store, a_message\n"
        "class Broken(Store):\n"
        "    def keep(self, messages, before_commit):\n"
        "        raise SystemExit\n"
        "async def main():\n"
        "    await Committer(Broken(), Limits(), print).keep([a_message()])\n"
        "asyncio.run(main())\n"
    )

    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=PROJECT, timeout=30, capture_output=True, check=False
    )

    assert ended.returncode == 70
    assert b"edge.committer_died" in ended.stderr
