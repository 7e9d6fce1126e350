"""A12, A13: days pass and the clock is stepped, for PostgreSQL and every process of the service.

Time passes by stepping the one clock that all of them read (tests/reliability/stepped_clock.c); the
sending loops, their schedule and their statements are the real ones.
"""

from __future__ import annotations

import os
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from email import message_from_bytes, policy
from functools import partial

import pytest

from tests.reliability.ledger import SinkLedger
from tests.reliability.next_hops import Always, NextHops, next_hops
from tests.reliability.places import ADDRESSES, DOMAIN, Place, place
from tests.reliability.stepped_clock import WHY_NOT, PostgresWithClock, SteppedClock

pytestmark = [
    pytest.mark.reliability,
    pytest.mark.slow,
    pytest.mark.needs_debian,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT),
]

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
GONE, LATER = f"gone@{DOMAIN}", f"later@{DOMAIN}"
LEASE = timedelta(seconds=45)
AT_ONCE = timedelta(seconds=30)
DUE = "SELECT count(*) FROM delivery_delivery WHERE state = 1 OR (state = 0 AND next_attempt_at <= clock_timestamp())"


@dataclass
class Clocked:
    """A service whose clock is ours, and its next hops."""

    place: Place
    clock: SteppedClock
    hops: NextHops

    def accept(self, recipient: str, reverse_path: str) -> str:
        """Send one message; gives its trace id."""
        return self.place.service.send(recipient, reverse_path=reverse_path)

    def wake(self) -> None:
        """A message of somebody else comes in, so that the loops look into the queue at once."""
        self.accept(ADDRESSES[0], "passer-by@author.example")

    def rest(self) -> None:
        """Wait until nothing is due and nothing is on its way."""
        self.place.service.wait_for(
            lambda: self.place.ask(DUE)[0][0] == 0, 60, "the loops to have done what is due"
        )

    def step(self, by: timedelta) -> None:
        self.clock.step(by)
        self.wake()
        self.rest()

    def pass_time(self, until: datetime, *, late: timedelta = timedelta(seconds=1)) -> None:
        """All that falls due until then is done, each so much too late at most."""
        while (due := self.next_due()) is not None and due <= until:
            self.clock.go_to(due + late)
            self.wake()
            self.rest()
        if self.clock.now() < until:
            self.clock.go_to(until)

    def next_due(self) -> datetime | None:
        return self.place.ask("SELECT min(next_attempt_at) FROM delivery_delivery WHERE state < 2")[
            0
        ][0]

    def notices(self) -> dict[str, list[tuple[str, str]]]:
        """(action, status) of the DSNs that came out, by author."""
        found: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for one in list(self.hops.sink.arrivals):
            if one.mail.startswith("MAIL FROM:<>"):
                parts = list(message_from_bytes(one.octets, policy=policy.default).iter_parts())
                about = parts[1].get_payload()[1]
                found[one.recipient].append((about["Action"], about["Status"]))
        return dict(found)

    def arrived(self, reverse_paths: list[str]) -> list[int]:
        """How often mail of each of these authors came out."""
        mails = [one.mail for one in list(self.hops.sink.arrivals)]
        local_parts = [path.partition("@")[0] for path in reverse_paths]
        return [sum(f"={local}@" in mail for mail in mails) for local in local_parts]


@pytest.fixture(scope="module")
def clocked(tmp_path_factory) -> Iterator[Clocked]:
    clock, ledger = SteppedClock(), SinkLedger()
    database = PostgresWithClock(clock)
    settings = {
        "DATABASE_URL": database.url,
        "MXAX_DATABASE_ADMIN_URL": database.admin_url,
        **clock.environment(),
    }
    folder = tmp_path_factory.mktemp("clock")
    try:
        with next_hops(ledger) as hops:
            hops.takes_mail("author.example", "there.example", "greylist.example")
            hops.is_dead("dead.example", "127.0.0.31")
            settings |= hops.settings()
            with place(folder, admin_url=database.admin_url, sink=ledger, **settings) as running:
                add_route(running, GONE, "private@dead.example")
                add_route(running, LATER, "later@greylist.example")
                yield Clocked(running, clock, hops)
    finally:
        database.remove()
        clock.remove()


def add_route(running: Place, address: str, destination: str) -> None:
    running.service.manage("route", "add", "ada", address, destination, "--confirmed")


def test_after_five_days_of_a_dead_next_hop_each_author_has_heard_twice(clocked, sized, record):
    authors = [f"carol{number}@author.example" for number in range(sized(3, 18))]
    began = clocked.clock.now()
    for author in authors:
        clocked.accept(GONE, author)
    for _ in range(sized(1, 18)):
        clocked.accept(GONE, "")
    clocked.rest()
    heard: dict[tuple[str, str], list[timedelta]] = defaultdict(list)

    while (due := clocked.next_due()) is not None:
        # The nearer to the two times that are promised, the smaller the steps.
        is_near = any(abs(due - began - told) < HOUR for told in (4 * HOUR, 5 * DAY + HOUR))
        clocked.pass_time(due, late=timedelta(seconds=5 if is_near else 600))
        for author, told in clocked.notices().items():
            seen = sum(len(heard[author, action]) for action in ("delayed", "failed"))
            for action, _ in told[seen:]:
                heard[author, action].append(clocked.clock.now() - began)
        assert clocked.clock.now() - began < 6 * DAY

    lives = [
        row[0]
        for row in clocked.place.ask(
            "SELECT d.finished_at - m.accepted_at FROM delivery_delivery d"
            " JOIN delivery_message m ON m.id = d.message_id WHERE d.state = 3"
        )
    ]
    attempts = clocked.place.ask("SELECT max(attempts) FROM delivery_delivery")[0][0]
    delays = [one for author in authors for one in heard[author, "delayed"]]
    record(
        messages=len(authors) + sized(1, 18),
        attempts=attempts,
        told_of_delay=f"{len(delays)} after {min(delays)} to {max(delays)}",
        failed=f"{len(lives)} after {min(lives)} to {max(lives)}",
    )
    assert set(clocked.notices()) == set(authors)  # and nobody for the null reverse-path
    for told in clocked.notices().values():
        assert [action for action, _ in told] == ["delayed", "failed"]
        assert told[0][1].startswith("4.")
        assert told[1][1] == "5.4.7"
    assert len(lives) == len(authors) + sized(1, 18)
    assert all(5 * DAY - HOUR <= life <= 5 * DAY + HOUR for life in lives)
    assert all(4 * HOUR <= delay <= 4 * HOUR + timedelta(minutes=5) for delay in delays)
    clocked.place.ask("DELETE FROM delivery_delivery WHERE state = 3 RETURNING 1")


@pytest.mark.parametrize("step", [HOUR, -HOUR], ids=["forward", "back"])
def test_a_stepped_clock_bounces_nothing_early_and_keeps_nothing_longer(
    clocked, sized, record, step
):
    """Deferred mail waits for its time, and an hour more at most; new mail goes at once."""
    name = "ahead" if step > timedelta() else "behind"
    authors = [f"{name}{number}@author.example" for number in range(sized(10, 200))]
    clocked.hops.sink.script["RCPT later@greylist.example"] = Always(["451 4.7.1 greylisted"])
    for author in authors:
        clocked.accept(LATER, author)
    clocked.rest()
    clocked.hops.sink.script["RCPT later@greylist.example"] = []

    began = time.monotonic()
    clocked.step(step)
    new_mail = time.monotonic() - began
    stepped_at = clocked.clock.now()
    longest = max(
        (row[0] for row in clocked.place.ask(
            "SELECT next_attempt_at - clock_timestamp() FROM delivery_delivery WHERE state < 2")),
        default=timedelta(),
    )  # fmt: skip
    clocked.pass_time(stepped_at + HOUR + timedelta(minutes=5.5))
    clocked.rest()

    record(
        deferred=len(authors), longest_wait_after_the_step=longest, new_mail_s=round(new_mail, 2)
    )
    assert clocked.arrived(authors) == [1] * len(authors)
    assert new_mail < 5
    assert clocked.place.failed() == 0
    assert not set(clocked.notices()) & set(authors)


def test_mail_at_the_end_of_its_life_survives_a_clock_that_is_an_hour_fast(clocked, record):
    author = "old@author.example"
    accepted = clocked.clock.now()
    clocked.accept(GONE, author)
    clocked.rest()
    clocked.pass_time(accepted + 5 * DAY - timedelta(minutes=2))
    clocked.rest()

    clocked.clock.step(HOUR)
    due_now(clocked)
    clocked.wake()
    clocked.rest()
    alive = clocked.place.ask("SELECT state, attempts FROM delivery_delivery")
    early = [told for told in clocked.notices()[author] if told[0] == "failed"]
    clocked.clock.step(-HOUR)
    clocked.pass_time(accepted + 5 * DAY + 2 * HOUR)
    clocked.rest()

    record(state_at_5_days_and_58_minutes=alive)
    assert [state for state, _ in alive] == [0]
    assert early == []
    assert [told for told in clocked.notices()[author] if told[0] == "failed"] == [
        ("failed", "5.4.7")
    ]
    clocked.place.ask("DELETE FROM delivery_delivery WHERE state = 3 RETURNING 1")


def due_now(clocked: Clocked) -> None:
    """Another attempt, with the clock as it is."""
    clocked.place.ask(
        "UPDATE delivery_delivery SET next_attempt_at = clock_timestamp() RETURNING 1"
    )


def test_mail_that_came_in_just_before_the_clock_went_back_waits_an_hour_at_most(clocked, record):
    """The workers stand still, so that nobody has seen it when the step comes."""
    authors = [f"unseen{number}@author.example" for number in range(5)]
    with clocked.place.frozen("worker"):
        for author in authors:
            clocked.accept(ADDRESSES[0], author)
        clocked.clock.step(-HOUR)
    stepped_at = clocked.clock.now()
    clocked.wake()
    waits = [
        row[0]
        for row in clocked.place.ask(
            "SELECT next_attempt_at - clock_timestamp() FROM delivery_delivery WHERE state = 0"
        )
    ]

    clocked.pass_time(stepped_at + HOUR)
    clocked.rest()

    record(longest_wait=max(waits, default=timedelta()))
    assert clocked.arrived(authors) == [1] * len(authors)
    assert clocked.place.failed() == 0


@pytest.mark.parametrize("step", [HOUR, -HOUR], ids=["forward", "back"])
def test_mail_on_the_wire_while_the_clock_is_stepped_arrives(clocked, record, step):
    name = "wired-ahead" if step > timedelta() else "wired-behind"
    authors = [f"{name}{number}@author.example" for number in range(10)]
    clocked.hops.sink.answer_delay = 3.0
    for author in authors:
        clocked.accept(ADDRESSES[0], author)
    clocked.place.service.wait_for(
        lambda: len(clocked.place.in_flight()) and not _queued(clocked), 20, "all on the wire"
    )

    clocked.clock.step(step)
    clocked.place.settle(60)

    clocked.hops.sink.answer_delay = 0.0
    copies = clocked.arrived(authors)
    record(messages=len(authors), copies=sum(copies))
    assert set(copies) == {1}  # its lease is over by the wall clock only
    assert clocked.place.failed() == 0


def _queued(clocked: Clocked) -> int:
    return clocked.place.ask("SELECT count(*) FROM delivery_delivery WHERE state = 0")[0][0]


def test_what_a_dead_worker_held_when_the_clock_went_back_is_sent_after_the_lease_and_an_hour(
    clocked, record
):
    author = "held@author.example"
    clocked.hops.sink.hang_in_content = True
    clocked.accept(ADDRESSES[0], author)
    clocked.place.service.wait_for(lambda: clocked.place.in_flight(), 20, "it to be on the wire")
    for pid in clocked.place.pids("worker"):
        os.kill(pid, signal.SIGKILL)
    clocked.hops.sink.hang_in_content = False
    clocked.clock.step(-HOUR)
    stepped_at = clocked.clock.now()
    wait = clocked.place.ask("SELECT next_attempt_at - clock_timestamp() FROM delivery_delivery")

    clocked.place.service.wait_for(partial(_mail_flows, clocked), 60, "the workers to be back")
    clocked.clock.go_to(stepped_at + HOUR + LEASE + AT_ONCE)
    # So far a clock went forward: loops believe it when all that lives has renewed its leases.
    clocked.place.service.wait_for(
        lambda: clocked.arrived([author]) == [1] or _mail_flows(clocked) is None,
        *(LEASE.total_seconds() + 75, "the message"),
    )

    record(longest_wait=wait[0][0])
    assert wait[0][0] <= HOUR + LEASE


def _mail_flows(clocked: Clocked) -> bool:
    """A worker is back: what comes in goes out."""
    before = len(clocked.hops.sink.arrivals)
    clocked.wake()
    time.sleep(0.5)
    return len(clocked.hops.sink.arrivals) > before
