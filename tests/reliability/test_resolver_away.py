"""E17: the DNS resolver is down for ten minutes: new mail is put off, queued mail waits, 0 bounces."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.journeys.test_resolver_away import World, world

__all__ = ["world"]
pytestmark = [pytest.mark.reliability, pytest.mark.slow, pytest.mark.timeout(1800)]
AUTHOR = "carol@author.example"
FAILURE_LIFE_SECONDS = 15  # how long the resolver remembers that nobody answered


def test_queued_mail_waits_for_the_resolver_and_nothing_bounces(world, sized, record):
    seconds, count = sized(30, 600), sized(5, 50)
    time.sleep(1.5)  # what was answered before is forgotten
    world.zone.is_away = True
    began = time.monotonic()
    # Each waits for the DNS as long as it may.
    with ThreadPoolExecutor(max_workers=10) as crowd:
        replies = Counter(crowd.map(lambda number: _queued(world, number), range(count)))
    refused, slowest, tries = Counter(), 0.0, 0
    while time.monotonic() - began < seconds:
        reply, took = world.offer("hi@ada.example", AUTHOR, "put-off")
        refused[reply[:10]] += 1
        slowest = max(slowest, took)
        world.service.manage("queue", "retry", "--all")
        tries += 1
        status = world.queue()
        assert status["failed"] == 0, status
        time.sleep(sized(2, 10))
    before = _arrived(world, count)

    world.zone.is_away = False
    back = time.monotonic()
    time.sleep(FAILURE_LIFE_SECONDS)
    world.service.manage("queue", "retry", "--all", check=False)
    world.service.wait_for(lambda: _arrived(world, count) == count, 120, "all that was queued")

    record(
        away_s=round(back - began),
        queued=count,
        put_off=sum(refused.values()),
        slowest_reply_s=round(slowest, 1),
        retries=tries,
        all_there_after_s=round(time.monotonic() - back, 1),
    )
    assert replies == {"250": count}  # a tenant who needs no DMARC to take it
    assert set(refused) == {"451 4.4.3 "}
    assert slowest < 30, "twenty, and what a busy machine adds"
    assert before == 0
    assert world.author.arrivals == []  # no DSN
    assert world.offer("hi@ada.example", AUTHOR, "again")[0] == "250"


def _queued(there: World, number: int) -> str:
    return there.offer("hi@lax.example", AUTHOR, f"waits-{number:03}")[0]


def _arrived(there: World, count: int) -> int:
    return sum(there.has_come(f"waits-{number:03}") for number in range(count))
