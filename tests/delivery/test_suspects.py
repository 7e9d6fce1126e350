"""What lost its lease again and again flies alone, and is held at last."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from django.db import transaction

from delivery import suspects
from delivery.models import Delivery
from delivery.queue_services import Selection, release
from delivery.settle import Ending, released, settle
from delivery.sql import queue_cursor
from delivery.suspects import ALONE_FROM, HELD_FROM, Suspects
from mail.plan import Hold
from tests.delivery.conftest import eventually
from tests.delivery.test_leases import claim, expire_leases, settle_now

State = Delivery.State


def lost(times: int):
    """The one delivery, claimed anew after it was lost so often."""
    (delivery,) = claim()
    for _ in range(times):
        expire_leases()
        (delivery,) = claim()
    return delivery


def test_leases_lost_in_a_row_are_counted(queue):
    queue.accept("ben@ben.example")

    assert [lost(0).leases_lost, lost_once_more(), lost_once_more()] == [0, 1, 2]


def lost_once_more() -> int:
    expire_leases()
    (delivery,) = claim()
    return delivery.leases_lost


@pytest.mark.parametrize(
    ("was_made", "left"), [(True, 0), (False, 3)], ids=["an attempt that ended", "given back"]
)
def test_an_attempt_that_comes_to_an_end_makes_it_zero(queue, was_made, left):
    queue.accept("ben@ben.example")
    delivery = lost(3)

    settle_now(replace(released(delivery), was_made=was_made))

    assert Delivery.objects.get().leases_lost == left


def test_the_fifth_is_held_and_a_release_begins_anew(queue):
    queue.accept("ben@ben.example")
    delivery = lost(HELD_FROM)

    async def never() -> Ending:
        raise AssertionError("no attempt may be made")

    with transaction.atomic(), queue_cursor() as cursor:
        settle(cursor, [asyncio.run(Suspects().attempt(delivery, never))])

    row = Delivery.objects.get()
    assert (row.state, row.leases_lost) == (State.HELD, HELD_FROM)
    assert (row.hold, row.hold_reason[:20]) == (Hold.SUSPECT, "its last 5 attempts ")
    assert row.last_reply.startswith("451 4.3.0 held: its last 5 attempts")
    assert queue.events("held")[0]["reason"].startswith("its last 5 attempts")
    assert claim() == ()

    assert release(Selection(), ring=lambda: None) == 1
    assert claim()[0].leases_lost == 0


def test_one_flies_at_a_time_and_only_when_the_others_are_back(queue, monkeypatch):
    monkeypatch.setattr(suspects, "_SETTLING_SECONDS", 0.05)
    queue.accept("one@x.example", "two@x.example", "three@x.example")
    deliveries = [replace(one, leases_lost=ALONE_FROM) for one in claim()]
    flown: list[int] = []

    async def run() -> list[Ending]:
        alone = Suspects()

        async def attempt(number: int) -> Ending:
            flown.append(number)
            await asyncio.sleep(0.05)
            return replace(released(deliveries[number]), was_made=True)

        tasks = [
            asyncio.create_task(alone.attempt(one, lambda number=number: attempt(number)))
            for number, one in enumerate(deliveries)
        ]
        await asyncio.sleep(0.01)
        assert [task.done() for task in tasks] == [False, True, True]
        assert flown == []
        return [await task for task in tasks] + [
            await alone.attempt(deliveries[1], lambda: attempt(1))
        ]

    endings = asyncio.run(run())

    assert flown == [0, 1]
    assert [one.was_made for one in endings] == [True, False, False, True]
    assert all(1 <= one.delay_seconds <= 5 for one in endings[1:3])


def test_the_loop_sends_what_lost_its_lease_often(queue, sink, sending):
    queue.accept(*(f"user{n}@x.example" for n in range(3)))
    Delivery.objects.update(leases_lost=3)

    sending(sink.port, timer_seconds=0.6)

    eventually(queue.is_empty)
    assert len(sink.arrivals) == 3
