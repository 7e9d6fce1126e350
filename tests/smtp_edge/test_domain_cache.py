"""The cache of domains: what it remembers, forgets, and never mixes up."""

import asyncio
import threading

import pytest

from smtp_edge import domains
from smtp_edge.database_threads import DatabaseThreads
from smtp_edge.domains import DomainCache
from smtp_edge.ports import ServiceAway
from tests.smtp_edge.listening import hosted


class Threads:
    """Answers in the loop, when the test lets it."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.first_gate: asyncio.Event | None = None

    async def run(self, function, *arguments):
        answer = function(*arguments)  # the answer is from before the gate opens
        gate, self.first_gate = self.first_gate or self.gate, None
        await gate.wait()
        return answer


class Stage:
    """A cache over a table of domains that can change."""

    def __init__(self) -> None:
        self.table = {"example.org": hosted("example.org")}
        self.asked: list[str] = []
        self.is_deaf = False
        self.now = 0.0
        self.threads = Threads()
        self.cache = DomainCache(self._load, self.threads, lambda: self.is_deaf, lambda: self.now)

    def _load(self, name):
        self.asked.append(name)
        return self.table.get(name)


def play(story):
    async def main():
        await story(Stage())

    asyncio.run(main())


def test_a_domain_is_asked_for_once_and_so_is_one_that_is_not_ours():
    async def story(stage):
        for _ in range(3):
            assert (await stage.cache.get("example.org")).name == "example.org"
            assert await stage.cache.get("unknown.example") is None

        assert stage.asked == ["example.org", "unknown.example"]

    play(story)


def test_all_who_ask_at_once_wait_for_one_answer():
    async def story(stage):
        stage.threads.gate.clear()
        asking = [asyncio.create_task(stage.cache.get("example.org")) for _ in range(10)]
        await asyncio.sleep(0)
        asking[0].cancel()
        await asyncio.sleep(0)
        stage.threads.gate.set()

        answers = await asyncio.gather(*asking, return_exceptions=True)

        assert stage.asked == ["example.org"]
        assert all(one.name == "example.org" for one in answers[1:])

    play(story)


@pytest.mark.parametrize("forget", [lambda c: c.drop("example.org"), lambda c: c.drop_all()])
def test_a_change_is_seen_at_once(forget):
    async def story(stage):
        await stage.cache.get("example.org")
        stage.table["example.org"] = hosted("example.org", forward_cap=7)

        forget(stage.cache)

        assert (await stage.cache.get("example.org")).forward_cap == 7

    play(story)


def test_an_answer_from_before_a_change_is_not_remembered():
    async def story(stage):
        held_up = stage.threads.first_gate = asyncio.Event()
        early = asyncio.create_task(stage.cache.get("example.org"))
        await asyncio.sleep(0.01)
        stage.table["example.org"] = hosted("example.org", forward_cap=7)
        stage.cache.drop("example.org")
        late = await stage.cache.get("example.org")
        held_up.set()
        await early

        assert late.forward_cap == 7
        assert (await stage.cache.get("example.org")).forward_cap == 7

    play(story)


def test_while_nobody_tells_us_of_changes_entries_live_a_second():
    async def story(stage):
        await stage.cache.get("example.org")
        stage.is_deaf = True
        stage.now = 0.9
        await stage.cache.get("example.org")
        assert len(stage.asked) == 1

        stage.now = 1.1
        await stage.cache.get("example.org")

        assert len(stage.asked) == 2

    play(story)


def test_even_a_listener_does_not_hear_time_pass():
    async def story(stage):
        await stage.cache.get("example.org")

        stage.now = domains.LONGEST_LIFE + 1
        await stage.cache.get("example.org")

        assert len(stage.asked) == 2

    play(story)


def test_invented_names_push_out_no_hosted_domain(monkeypatch):
    monkeypatch.setattr(domains, "MOST_UNKNOWN", 10)

    async def story(stage):
        await stage.cache.get("example.org")
        for number in range(50):
            await stage.cache.get(f"invented{number}.example")
        stage.asked.clear()

        await stage.cache.get("example.org")

        assert stage.asked == []
        assert len(stage.cache._unknown) == 10

    play(story)


def test_a_question_that_hangs_is_given_up_and_the_next_one_answered(db):
    hanging = threading.Event()

    async def story():
        threads = DatabaseThreads("test", 2, 0.3)
        with pytest.raises(ServiceAway):
            await threads.run(hanging.wait, 5)
        assert await threads.run(lambda: "answer") == "answer"
        threads.stop()

    asyncio.run(story())
    hanging.set()


def test_what_a_question_raises_reaches_who_asked(db):
    async def story():
        threads = DatabaseThreads("test", 1, 5)
        with pytest.raises(ZeroDivisionError):
            await threads.run(lambda: 1 / 0)
        threads.stop()

    asyncio.run(story())


def test_a_snapshot_is_asked_for_anew_when_a_route_of_it_ends():
    async def story(stage):
        stage.table["example.org"] = hosted("example.org", good_for_seconds=60.0)
        before = await stage.cache.get("example.org")
        stage.table["example.org"] = hosted("example.org")

        stage.now = 59.9
        assert await stage.cache.get("example.org") is before
        stage.now = 60.0
        assert await stage.cache.get("example.org") is not before

        stage.now = 200.0
        assert stage.asked == ["example.org", "example.org"]

    play(story)
