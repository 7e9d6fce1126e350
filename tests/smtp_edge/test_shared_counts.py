"""Counts over all edges: windows that slide, totals that are shared, a database that is away."""

import os
import time

import pytest

from delivery.shared_counts import Counted, Total, exchange
from smtp_edge.shared_counts import OwnCounts, Rate
from tests.smtp_edge.between import Between
from tests.smtp_edge.edge_process import database_name, edge
from tests.smtp_edge.listening import Client
from tests.timing import eventually

FIVE = Rate("tries", 5, 60)
HOUR = Rate("hours", 5, 3600)


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def counts(clock) -> OwnCounts:
    return OwnCounts(b"pepper", clock)


def allowed(counts: OwnCounts, tries: int, rate: Rate = FIVE, key: str = "a") -> int:
    """How many of some tries in a row pass."""
    passed = 0
    for _ in range(tries):
        if not counts.over(rate, key):
            counts.add(rate, key)
            passed += 1
    return passed


# One process


def test_so_many_and_no_more_pass_in_a_window(counts):
    assert allowed(counts, 20) == 5
    assert allowed(counts, 20, key="b") == 5
    assert allowed(counts, 20, HOUR) == 5


def test_the_window_before_counts_for_what_of_it_is_still_inside(counts, clock):
    allowed(counts, 5)

    clock.now += 60
    assert allowed(counts, 20) == 0
    clock.now += 30
    assert allowed(counts, 20) == 3
    clock.now += 120
    assert allowed(counts, 20) == 5


def test_without_a_limit_nothing_is_counted(counts):
    assert allowed(counts, 1000, Rate("free", 0, 60)) == 1000
    assert counts.take() == []


def test_what_is_over_is_forgotten(counts, clock):
    allowed(counts, 5)
    allowed(counts, 5, HOUR)
    counts.take()

    clock.now += 121
    counts.forget_old()

    assert len(counts._totals) == len(counts._rates) == 1


def test_a_flood_of_clients_is_bounded_in_memory(counts, monkeypatch):
    monkeypatch.setattr("smtp_edge.shared_counts._MOST_KEYS", 100)

    for number in range(1000):
        counts.add(FIVE, str(number))

    assert len(counts._unsent) == 100


# Several processes, by hand


def tell(one: OwnCounts, other: OwnCounts) -> None:
    """What the database would do between two of them."""
    taken = one.take()
    other.learn([Total(each.key, each.starts_at, each.count) for each in taken])


def test_what_another_process_counted_counts_here(counts, clock):
    other = OwnCounts(b"pepper", clock)
    allowed(other, 3)

    tell(other, counts)

    assert allowed(counts, 20) == 2


def test_what_could_not_be_told_is_told_the_next_time_and_counts_once(counts):
    allowed(counts, 3)

    taken = counts.take()
    counts.put_back(taken)

    assert allowed(counts, 20) == 2
    (again,) = counts.take()
    assert again.count == 5


# The table


def row(key: bytes, count: int, most: int = 5, starts_at: int | None = None) -> Counted:
    start = int(time.time()) // 60 * 60 if starts_at is None else starts_at
    return Counted(key, start, start + 120, count, most)


@pytest.mark.django_db
def test_totals_come_back_with_what_was_added():
    assert exchange([row(b"a", 2)])[-1].count == 2
    assert exchange([row(b"b", 1), row(b"a", 2)])[-1].count in (1, 4)
    totals = {one.key: one.count for one in exchange([row(b"a", 0), row(b"b", 0)])}

    assert totals == {b"a": 4, b"b": 1}


@pytest.mark.django_db
def test_a_key_that_has_reached_its_limit_comes_to_everybody():
    exchange([row(b"a", 4), row(b"b", 5)])

    assert [(one.key, one.count) for one in exchange([])] == [(b"b", 5)]
    exchange([row(b"a", 1)])
    assert {one.key for one in exchange([])} == {b"a", b"b"}


@pytest.mark.django_db
def test_old_windows_come_to_nobody_and_are_swept():
    from delivery.models import SharedCount
    from delivery.sweeps import sweep_old_rows

    exchange([row(b"old", 9, starts_at=int(time.time()) - 4000), row(b"new", 9)])

    assert [one.key for one in exchange([])] == [b"new"]
    sweep_old_rows()
    assert [bytes(one.key) for one in SharedCount.objects.all()] == [b"new"]


@pytest.mark.django_db
def test_the_table_is_unlogged_and_tells_no_address():
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT relpersistence FROM pg_class WHERE relname='delivery_sharedcount'")
        assert cursor.fetchone()[0] in ("u", b"u")
    counts = OwnCounts(b"pepper")
    counts.add(FIVE, "198.51.100.7")
    assert b"198" not in counts.take()[0].key
    assert len(counts._digest("tries", "198.51.100.7")) == 16


# Real processes

STRICT = ("-m", "tests.smtp_edge.strict_edge")


def greeting(mx) -> str:
    client = Client(mx.port)
    try:
        return client.reply()
    finally:
        client.close()


@pytest.mark.django_db(transaction=True)
def test_two_processes_share_a_limit(transactional_db, tmp_path):
    from delivery.models import DeliveryEvent

    with edge(tmp_path, command=STRICT) as one, edge(tmp_path, command=STRICT) as other:
        _wait_for_a_fresh_minute()
        for _ in range(5):
            assert greeting(one).startswith("220")
        assert greeting(one).startswith("421 4.7.0")
        for _ in range(4):  # its own limit is five
            time.sleep(1.3)
            if (said := greeting(other)).startswith("421"):
                break

        assert said.startswith("421 4.7.0")
        eventually(lambda: DeliveryEvent.objects.filter(kind="refused").count() == 2)
        time.sleep(0.5)

    told = [one.data for one in DeliveryEvent.objects.filter(kind="refused", tenant_id=None)]
    assert {(one["stage"], one["rule"]) for one in told} == {("connect", "too_often")}
    assert len(told) == 2  # once a process and minute


@pytest.mark.django_db(transaction=True)
def test_without_the_database_each_counts_for_itself_and_nobody_waits(transactional_db, tmp_path):
    between = Between(os.environ["DATABASE_URL"])
    url = between.url(os.environ["DATABASE_URL"], database_name())
    try:
        with edge(tmp_path, url=url, command=STRICT) as mx:
            _wait_for_a_fresh_minute()
            between.stop()
            time.sleep(1.2)
            began = time.monotonic()

            said = [greeting(mx)[:3] for _ in range(6)]

            assert said == ["220"] * 5 + ["421"]
            assert time.monotonic() - began < 5
            assert "edge.shared_counts_away" in mx.log.read_text()
            time.sleep(1.2)  # a try to tell that fails
            between.start()
            totals = eventually(lambda: exchange([]))
    finally:
        between.close()

    assert [one.count for one in totals] == [5]


@pytest.mark.django_db(transaction=True)
def test_a_database_that_hangs_is_left(transactional_db, tmp_path):
    between = Between(os.environ["DATABASE_URL"])
    url = between.url(os.environ["DATABASE_URL"], database_name())
    try:
        with edge(tmp_path, url=url, command=STRICT) as mx:
            time.sleep(1)
            between.freeze()
            eventually(lambda: "edge.shared_counts_away" in mx.log.read_text())

            assert greeting(mx).startswith("220")
            between.wake()
    finally:
        between.close()


def _wait_for_a_fresh_minute() -> None:
    """Not at the very end of one: what is counted then has two windows."""
    if time.time() % 60 > 50:
        time.sleep(61 - time.time() % 60)
