"""When a domain is looked at again."""

from datetime import UTC, datetime, timedelta

from routing.records.schedule import Progress, next_look

NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)


def waits(count=12, **more):
    given = {
        "is_verified": True,
        "works": True,
        "is_broken": False,
        "has_waiting_keys": False,
        "claimed_at": NOW,
    }
    return [
        next_look(Progress(**{**given, **more}, unchanged_looks=looks), NOW, seed=0)
        for looks in range(count)
    ]


def minutes(found):
    return [(at - NOW) / timedelta(minutes=1) for at in found]


def test_a_new_domain_is_looked_at_often_then_seldom():
    found = minutes(waits(is_verified=False, works=None))

    assert found[:5] == [1, 2, 5, 10, 30]
    assert found[-1] == 24 * 60


def test_one_that_works_is_looked_at_hourly_to_daily():
    found = minutes(waits())

    assert (found[0], found[-1]) == (60, 24 * 60)


def test_a_broken_one_is_looked_at_more_often_than_one_that_works():
    assert max(minutes(waits(works=False, is_broken=True))) == 60


def test_keys_that_wait_keep_a_working_domain_under_the_eye():
    assert minutes(waits(has_waiting_keys=True))[0] == 1


def test_after_thirty_days_a_claim_that_nobody_proved_is_left_alone():
    old = NOW - timedelta(days=31)

    assert waits(is_verified=False, works=None, claimed_at=old)[0] is None
    assert waits(claimed_at=old)[0] is not None


def test_domains_that_began_together_drift_apart():
    progress = Progress(True, True, False, False, 0, NOW)

    assert len({next_look(progress, NOW, seed=seed) for seed in range(20)}) == 20
