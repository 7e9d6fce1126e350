"""A13: a clock that is set forward ends no lease that its owner still renews."""

from datetime import UTC, datetime, timedelta

import pytest

from delivery.claim import LEASE
from delivery.exchange import QueueDatabase, Wanted
from delivery.fair import Caps
from delivery.lease_clock import LeaseClock
from delivery.models import Delivery

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Passing:
    """A monotonic clock that passes when told to."""

    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_time_goes_on_between_two_heartbeats():
    passing = Passing()
    clock = LeaseClock(passing)
    assert clock.now() is None

    clock.seen(NOON)
    passing.seconds += 3

    assert clock.now() == NOON + timedelta(seconds=3)


def test_a_clock_that_drifts_is_followed():
    passing = Passing()
    clock = LeaseClock(passing)
    clock.seen(NOON)

    for beat in range(1, 10):
        passing.seconds += 5
        clock.seen(NOON + beat * timedelta(seconds=6.5))

    assert clock.now() == NOON + 9 * timedelta(seconds=6.5)


def test_a_step_forward_is_believed_when_all_that_is_held_was_renewed():
    passing = Passing()
    clock = LeaseClock(passing)
    clock.seen(NOON)

    passing.seconds += 5
    clock.seen(NOON + HOUR + timedelta(seconds=5))
    passing.seconds += LEASE.total_seconds() - 1
    clock.seen(NOON + HOUR + LEASE + timedelta(seconds=4))
    before = clock.now()
    passing.seconds += 1
    clock.seen(NOON + HOUR + LEASE + timedelta(seconds=5))

    assert before == NOON + LEASE + timedelta(seconds=4)
    assert clock.now() == NOON + HOUR + LEASE + timedelta(seconds=5)


def test_a_step_back_is_believed_at_once():
    clock = LeaseClock(Passing())
    clock.seen(NOON)

    clock.seen(NOON - HOUR)

    assert clock.now() == NOON - HOUR


@pytest.mark.parametrize("is_fair", [False, True], ids=["in order", "in turn"])
def test_only_what_is_over_by_the_loops_own_clock_is_taken_over(queue, keys, is_fair):
    queue.accept("ben@ben.example")
    Delivery.objects.update(state=Delivery.State.IN_FLIGHT, next_attempt_at=NOON)
    queue.accept("ada@ada.example")
    database = QueueDatabase("one", key_ring=lambda: keys)
    database._lease_clock.seen(NOON - HOUR)  # and now it is years later
    wanted = Wanted(limit=10, is_fair=is_fair, caps=Caps.of(50), heartbeat=0)

    first = database.exchange(wanted).claim.deliveries
    database._lease_clock = LeaseClock()
    second = database.exchange(wanted).claim.deliveries

    assert [one.destination for one in first] == ["ada@ada.example"]
    assert [(one.destination, one.taken_over) for one in second] == [("ben@ben.example", True)]
