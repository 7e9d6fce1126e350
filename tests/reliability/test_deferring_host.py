"""A11: a host that says 451 to everything is asked again as promised, and gets all its mail.

Time passes by moving the queue's rows back, their age and what they wait for alike; the schedule is
what the host itself saw, put back on that longer line of time.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise

import psycopg
import pytest
from kombu import Connection

from delivery import bell
from tests.reliability.next_hops import Always
from tests.reliability.places import ADDRESSES, Place

pytestmark = [pytest.mark.reliability, pytest.mark.slow, pytest.mark.timeout(7200)]

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
LATER = "451 4.7.1 come again"
PLANNED_MINUTES = (5, 15, 30, 60, 120, 240, 240, 240, 240, 240)
_AUTHOR = re.compile(r"^MAIL FROM:<SRS0=[^=]+=[^=]+=author\.example=(\S+)@", re.IGNORECASE)

# In the order in which the loops lock them.
LOCK = "LOCK TABLE delivery_message, delivery_delivery IN EXCLUSIVE MODE"
GROW_OLDER = "UPDATE delivery_message SET accepted_at = accepted_at - %s"
COME_NEARER = "UPDATE delivery_delivery SET next_attempt_at = next_attempt_at - %s WHERE state = 0"
AT_WORK = """
SELECT count(*) FROM delivery_delivery
WHERE state = 1 OR (state = 0 AND next_attempt_at <= clock_timestamp())
"""
NEXT = "SELECT min(next_attempt_at) - clock_timestamp() FROM delivery_delivery WHERE state = 0"


class Heard(list[tuple[int, str]]):
    """The commands that the host hears, and when, by author, on the longer line of time."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = timedelta()
        self.attempts: dict[str, list[timedelta]] = defaultdict(list)

    def append(self, one: tuple[int, str]) -> None:
        match = _AUTHOR.match(one[1])
        if match:
            self.attempts[match[1]].append(timedelta(seconds=time.monotonic()) + self.passed)


class Host:
    """The next hop of the service while it defers, and the time that passes for its mail."""

    def __init__(self, place: Place, broker: Connection) -> None:
        self.place, self.heard, self._broker = place, Heard(), broker
        self.sink = place.sink.sink
        self.began = timedelta(seconds=time.monotonic())

    @property
    def passed(self) -> timedelta:
        return timedelta(seconds=time.monotonic()) + self.heard.passed - self.began

    def defers(self, does: bool) -> None:
        """After the content, and slowly, so that a few connections are not enough."""
        self.sink.script["DOT"] = Always([LATER]) if does else []
        self.sink.answer_delay = 0.05 if does else 0.0

    def planned(self) -> dict[str, timedelta]:
        """From the last attempt, as the host saw it, to the next one, as the queue has it."""
        rows = self.place.ask(
            "SELECT split_part(reverse_path, '@', 1), next_attempt_at - clock_timestamp()"
            " FROM delivery_delivery d JOIN delivery_message m ON m.id = d.message_id"
            " WHERE d.state = 0"
        )
        now = timedelta(seconds=time.monotonic()) + self.heard.passed
        return {author: left + now - self.heard.attempts[author][-1] for author, left in rows}

    def rest(self, patience: float) -> None:
        self.place.service.wait_for(
            lambda: self.place.ask(AT_WORK)[0][0] == 0, patience, "the loops to have asked it"
        )

    def pass_time(self, until: timedelta, patience: float = 600) -> None:
        """What falls due by then is tried in its time, a little late at most."""
        while (left := self._next()) is not None and self.passed + left <= until:
            late = min(5 * MINUTE, max(MINUTE / 6, (self.passed + left) / 40))
            self._move(left + late)
            bell.publish(self._broker)
            self.rest(patience)

    def _next(self) -> timedelta | None:
        return self.place.ask(NEXT)[0][0]

    def _move(self, by: timedelta) -> None:
        with psycopg.connect(self.place.admin_url) as connection:
            connection.execute(LOCK)
            connection.execute(GROW_OLDER, (by,))
            connection.execute(COME_NEARER, (by,))
            self.heard.passed += by


@pytest.fixture
def host(ada) -> Iterator[Host]:
    ada.settle(60)
    with Connection(ada.environment()["CELERY_BROKER_URL"]) as broker:
        one = Host(ada, broker)
        with listening(one):
            yield one


@contextmanager
def listening(host: Host) -> Iterator[None]:
    before, host.sink.commands = host.sink.commands, host.heard
    host.sink.hang_up()  # so that only connections of this test are counted
    host.sink.most_open = 0
    host.defers(True)
    try:
        yield
    finally:
        host.defers(False)
        host.sink.commands = before
        host.place.ask("DELETE FROM delivery_delivery RETURNING 1")  # of a test that failed


def accept(place: Place, authors: list[str]) -> None:
    """One message of each, eight connections at a time."""

    def send(some: list[str]) -> None:
        with place.service.smtp() as client:
            for author in some:
                octets = f"From: {author}@author.example\r\n\r\nhello\r\n".encode()
                client.sendmail(f"{author}@author.example", [ADDRESSES[0]], octets)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(send, [authors[start : start + 50] for start in range(0, len(authors), 50)]))


def delivered(host: Host, authors: list[str]) -> list[int]:
    """How often each author's mail was taken."""
    taken: dict[str, int] = defaultdict(int)
    for one in list(host.sink.arrivals):
        match = _AUTHOR.match(one.mail)
        if match:
            taken[match[1]] += 1
    return [taken[author] for author in authors]


def test_all_mail_arrives_at_a_host_that_defers_for_half_an_hour(host, sized, record):
    authors = [f"half{number}" for number in range(sized(200, 5000))]
    accept(host.place, authors)
    host.rest(600)
    assert all(len(host.heard.attempts[author]) == 1 for author in authors)
    planned = host.planned()

    host.pass_time(30 * MINUTE)
    host.defers(False)
    host.pass_time(8 * HOUR)
    host.place.settle(60)

    tries = [host.heard.attempts[author] for author in authors]
    retries = [one[1] - one[0] for one in tries]
    record(
        messages=len(authors),
        first_retry_planned=f"{min(planned.values())} to {max(planned.values())}",
        first_retry=f"{min(retries)} to {max(retries)}",
        attempts=f"{min(map(len, tries))} to {max(map(len, tries))}",
        connections=host.sink.most_open,
        last_after=max(one[-1] - one[0] for one in tries),
    )
    assert delivered(host, authors) == [1] * len(authors)
    assert len(planned) == len(authors)
    assert all(4 * MINUTE <= one <= 6 * MINUTE for one in planned.values())
    assert all(4 * MINUTE <= one <= 10 * MINUTE for one in retries)  # thousands at once take time
    assert host.sink.most_open <= 20


def test_a_host_that_defers_all_day_is_asked_eleven_times_at_most(host, sized, record):
    authors = [f"day{number}" for number in range(sized(30, 1000))]
    accept(host.place, authors)
    host.rest(600)

    host.pass_time(24 * HOUR + timedelta(minutes=30))
    in_a_day = {
        author: sum(at - tries[0] <= 24 * HOUR for at in tries)
        for author, tries in host.heard.attempts.items()
    }
    waits = [[b - a for a, b in pairwise(host.heard.attempts[author])] for author in authors]
    host.defers(False)
    host.pass_time(36 * HOUR)
    host.place.settle(60)

    record(
        messages=len(authors),
        attempts_in_a_day=f"{min(in_a_day.values())} to {max(in_a_day.values())}",
        connections=host.sink.most_open,
        waits_minutes=[round(wait / MINUTE) for wait in waits[0]],
    )
    assert max(in_a_day.values()) <= 11
    for one in waits:
        for wait, minutes in zip(one, PLANNED_MINUTES, strict=False):
            assert wait >= 0.89 * minutes * MINUTE
            assert wait <= 1.11 * minutes * MINUTE + 10 * MINUTE
    assert all(wait <= 1.11 * 5 * MINUTE + MINUTE for wait in (one[0] for one in waits))
    assert host.sink.most_open <= 20
    assert delivered(host, authors) == [1] * len(authors)
    assert host.place.failed() == 0
