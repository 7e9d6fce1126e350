"""When a deferred delivery is tried again, and when it is over."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mail.retry import (
    CLOCK_TOLERANCE,
    DeliveryState,
    Lifetime,
    NextHopPause,
    NextStep,
    OutcomeClass,
    end_of_life,
    next_step,
)

ACCEPTED = datetime(2026, 11, 22, 5, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def deferred(*, attempts: int = 1, age: timedelta = timedelta(0), jitter: float = 0, **more):
    return next_step(
        OutcomeClass.TRANSIENT,
        accepted_at=ACCEPTED,
        attempts=attempts,
        now=ACCEPTED + age,
        jitter=jitter,
        reason="4.4.1",
        **more,
    )


def life(jitters: random.Random, lifetime: Lifetime = Lifetime.MAIL) -> list[timedelta]:
    """The ages at which a delivery to a dead next hop was attempted, until it failed."""
    ages = [timedelta(0)]
    while True:
        jitter = jitters.uniform(-1, 1)
        step = deferred(attempts=len(ages), age=ages[-1], jitter=jitter, lifetime=lifetime)
        if step.state is DeliveryState.FAILED:
            assert step == NextStep(DeliveryState.FAILED, None, "5.4.7")
            return ages
        ages.append(step.next_attempt_at - ACCEPTED)


def test_success_and_permanent_failure_end_it():
    arguments = {"accepted_at": ACCEPTED, "attempts": 1, "now": ACCEPTED, "jitter": 0.0}

    done = next_step(OutcomeClass.SUCCESS, **arguments)
    refused = next_step(OutcomeClass.PERMANENT, reason="5.1.1", **arguments)

    assert done == NextStep(DeliveryState.DELIVERED)
    assert refused == NextStep(DeliveryState.FAILED, None, "5.1.1")


@pytest.mark.parametrize(
    ("attempts", "minutes"), [(1, 5), (2, 15), (3, 30), (4, 60), (5, 120), (6, 240), (30, 240)]
)
def test_the_schedule_is_the_documented_one(attempts, minutes):
    step = deferred(attempts=attempts, age=HOUR)

    assert step.next_attempt_at == ACCEPTED + HOUR + timedelta(minutes=minutes)
    assert (step.state, step.reason) == (DeliveryState.DEFERRED, "4.4.1")


@given(st.integers(1, 40), st.floats(-1, 1))
def test_jitter_moves_a_retry_by_a_tenth_at_most(attempts, jitter):
    exact = deferred(attempts=attempts).next_attempt_at - ACCEPTED

    moved = deferred(attempts=attempts, jitter=jitter).next_attempt_at - ACCEPTED

    assert exact * 0.9 <= moved <= exact * 1.1


def test_a_host_sees_at_most_eleven_attempts_in_a_day():
    jitters = random.Random(11)

    counts = [sum(age < DAY for age in life(jitters)) for _ in range(200)]

    assert max(counts) <= 11


def test_a_dead_next_hop_fails_once_at_five_days_with_a_last_attempt_at_the_end():
    jitters = random.Random(5)

    for _ in range(100):
        *earlier, last = life(jitters)
        assert abs(last - 5 * DAY) <= HOUR
        assert last == 5 * DAY + CLOCK_TOLERANCE
        assert earlier[-1] < last


def test_our_own_dsn_is_tried_for_one_day():
    *_, last = life(random.Random(1), Lifetime.OWN_DSN)

    assert abs(last - DAY) <= HOUR


@given(st.floats(0, 119.99), st.floats(-0.98, 0.98))
@example(119.99, 0.98)
def test_a_stepped_clock_ends_nothing_early(true_hours, step_hours):
    measured = timedelta(hours=true_hours + step_hours)

    assert deferred(attempts=20, age=measured).state is DeliveryState.DEFERRED


@given(st.floats(-1.5, 120), st.integers(1, 40), st.floats(-1, 1))
def test_no_retry_is_stored_further_away_than_one_delay(hours, attempts, jitter):
    now = ACCEPTED + timedelta(hours=hours)

    step = deferred(attempts=attempts, age=now - ACCEPTED, jitter=jitter)

    assert now < step.next_attempt_at <= now + 4.4 * HOUR
    assert step.next_attempt_at <= max(end_of_life(ACCEPTED), now + timedelta(minutes=1))


def test_seconds_before_the_end_the_last_attempt_still_waits():
    almost = 5 * DAY + CLOCK_TOLERANCE - timedelta(seconds=1)

    step = deferred(attempts=30, age=almost)

    assert step.next_attempt_at == ACCEPTED + almost + timedelta(minutes=1)


def test_a_message_that_waited_while_we_were_down_fails_after_one_attempt():
    assert deferred(attempts=2, age=9 * DAY).state is DeliveryState.FAILED


@pytest.mark.parametrize(("attempts", "jitter"), [(0, 0), (1, 1.01), (1, -2), (1, float("nan"))])
def test_nonsense_is_a_mistake_of_ours(attempts, jitter):
    with pytest.raises(ValueError, match="attempts count from 1"):
        deferred(attempts=attempts, jitter=jitter)


def test_a_next_hop_rests_longer_each_time_and_forgets_on_success():
    now, pause, rests = ACCEPTED, NextHopPause(), []

    for _ in range(5):
        pause = pause.failed(now)
        assert pause.is_closed(now)
        rests.append((pause.closed_until - now) // timedelta(minutes=1))
        now = pause.closed_until
        assert not pause.is_closed(now)

    assert rests == [1, 5, 15, 15, 15]
    assert pause.succeeded() == NextHopPause()


def test_twenty_connections_that_fail_together_count_once():
    pause = NextHopPause().failed(ACCEPTED)

    assert pause.failed(ACCEPTED + timedelta(seconds=2)) == pause


def test_a_clock_that_goes_back_opens_the_next_hop():
    pause = NextHopPause().failed(ACCEPTED)

    assert not pause.is_closed(ACCEPTED - HOUR)
    assert pause.is_closed(ACCEPTED)
