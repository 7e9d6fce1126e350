"""A6, A7: the broker is only a bell. Without it mail waits seconds; what it held is worth nothing."""

from __future__ import annotations

import time

import pytest
import redis

from tests.reliability.ledger import percentile
from tests.reliability.places import ADDRESSES

pytestmark = [pytest.mark.reliability, pytest.mark.slow, pytest.mark.timeout(1200)]


def test_mail_is_delivered_within_15_seconds_while_the_broker_is_down(outside, sized, record):
    place, count = outside.place, sized(100, 1000)
    client = place.client("bellless")
    outside.broker.stop()
    try:
        for _ in range(count // 50):
            client.crowd(50, lambda one: one.send(ADDRESSES[0]))
            _watch(place, client, patience=20)
    finally:
        outside.broker.start()

    waits = _waits(place, client)
    broker = redis.Redis.from_url(outside.broker.url)
    time.sleep(3)
    rings = broker.llen("celery")  # those of the first seconds; the workers look every five
    place.service.wait_for(lambda: broker.llen("celery") == 0, 15, "the bell to be heard")
    found = place.balance(client)
    record(ledgers=found, slowest_s=round(max(waits), 1), p50_s=round(percentile(waits, 0.5), 1))
    assert dict(client.replies()) == {"250 2.0.0": count}
    assert found.lost == ()
    assert found.dups == {}
    assert max(waits) <= 15
    assert rings <= 10


def _watch(place, client, patience: float) -> None:
    """Look often until everything accepted has arrived, so that its time is known."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        arrived = place.sink.counts(client.name)
        if len(arrived) >= len(client.accepted()):
            return
        time.sleep(0.05)


def _waits(place, client) -> list[float]:
    seen = place.sink.seen_at
    return [seen[one.id] - one.began for one in client.accepted() if one.id in seen]


def test_a_wiped_broker_loses_and_doubles_nothing_of_what_is_queued(outside, sized, record):
    place, count = outside.place, sized(100, 1000)
    client = place.client("wiped")
    place.settle(60)
    with place.frozen("worker"):
        for _ in range(count // 50):
            client.crowd(50, lambda one: one.send(ADDRESSES[1]))
        queued = place.waiting()
        broker = redis.Redis.from_url(outside.broker.url)
        rings = broker.llen("celery")
        broker.flushall()
        outside.broker.stop()
        outside.broker.start()
    place.settle(60)

    found = place.balance(client)
    record(ledgers=found, queued_when_wiped=queued, rings_wiped=rings)
    assert queued == count == found.accepted
    assert found.lost == ()
    assert found.dups == {}
