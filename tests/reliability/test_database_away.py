"""A4, A5: the database stops, or hangs: everyone is told to try again, and nothing is doubled."""

from __future__ import annotations

import random
import time

import pytest

from tests.reliability.places import ADDRESSES, memory_octets

pytestmark = [pytest.mark.reliability, pytest.mark.slow, pytest.mark.timeout(1200)]


def test_a_stopped_database_is_answered_451_and_needs_no_restart_of_the_edge(
    outside, sized, record
):
    place, count = outside.place, sized(100, 500)
    client = place.client("stopped")
    edges = place.pids("edge")
    place.sink.sink.answer_delay = 0.2
    client.crowd(20, lambda one: one.send(*ADDRESSES))
    before = client.replies()
    assert before == {"250 2.0.0": 20}
    outside.database.stop()
    try:
        client.crowd(count, lambda one: one.send(ADDRESSES[0], source="127.0.0.9"))
        away = client.replies() - before
        slowest = max(one.seconds for one in client.sent)
    finally:
        place.sink.sink.answer_delay = 0.0
        outside.database.start()
    back = time.monotonic()
    while not client.send(ADDRESSES[0]).accepted:
        assert time.monotonic() - back < 10, client.replies()
        time.sleep(0.2)
    recovered = time.monotonic() - back
    place.settle(60)

    record(away=dict(away), slowest_s=round(slowest, 1), recovered_s=round(recovered, 1))
    assert set(away) <= {"451 4.3.0", "421 4.3.0"}
    assert sum(away.values()) == count
    assert recovered <= 10
    assert place.pids("edge") == edges
    found = place.balance(client)
    assert found.lost == found.ghosts == ()
    assert found.dups == {}


def test_a_database_that_hangs_gets_everyone_answered_in_30_seconds(outside, sized, record):
    place, seconds = outside.place, sized(25, 60)
    client = place.client("hanging")
    edges = place.pids("edge")
    assert client.send(ADDRESSES[0]).accepted
    before, peak = memory_octets(edges), 0
    withdrawn_before = _withdrawals(place)
    with client.load(20, lambda one: one.send(ADDRESSES[1], size=20_000), pause=0.02):
        time.sleep(2)
        frozen = outside.database.freeze()
        try:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                peak = max(peak, memory_octets(edges))
                time.sleep(0.5)
        finally:
            outside.database.wake(frozen)
        time.sleep(3)
    place.settle(120)
    time.sleep(2)

    found = place.balance(client)
    asked, gone = (
        now - then for now, then in zip(_withdrawals(place), withdrawn_before, strict=True)
    )
    slowest = max(one.seconds for one in client.sent)
    record(
        ledgers=found,
        replies=dict(client.replies()),
        slowest_s=round(slowest, 1),
        growth_mb=(peak - before) // 1_000_000,
        in_doubt=asked,
        withdrawn=gone,
    )
    assert client.replies()["451 4.3.0"] > 0
    assert set(client.replies()) <= {"250 2.0.0", "451 4.3.0"}
    assert slowest <= 30
    assert peak - before < 100 * 1024 * 1024
    assert found.lost == ()
    assert len(found.ghosts) <= asked - gone
    assert found.dup_count <= sized(0, 100)
    assert place.pids("edge") == edges


def _withdrawals(place) -> tuple[int, int]:
    """(messages whose COMMIT was in doubt, those withdrawn), as the edges logged them."""
    events = place.events("edge", "mail.withdrawn")
    return sum(e["asked"] for e in events), sum(e["withdrawn"] for e in events)


def test_a_database_that_is_restarted_at_any_moment_leaves_nothing_behind(outside, sized, record):
    """Moments around a delivery: claimed, on the wire, taken, settled."""
    place, client, chance = outside.place, outside.place.client("moments"), random.Random(4)
    slowest = 0.0
    for _ in range(sized(8, 100)):
        assert client.send(*ADDRESSES).accepted
        time.sleep(chance.uniform(0, 0.08))
        outside.database.stop()
        time.sleep(chance.uniform(0, 1.5))
        outside.database.start()
        began = time.monotonic()
        place.settle(100)
        slowest = max(slowest, time.monotonic() - began)
        place.service.wait_for(place.answers, 10, "the edge to take mail again")

    found = place.balance(client)
    record(ledgers=found, slowest_settled_s=round(slowest, 1))
    assert found.lost == found.ghosts == ()
    assert slowest <= 60  # a lease and a turn of the timer
