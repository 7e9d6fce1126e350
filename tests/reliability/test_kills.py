"""A1: whatever is killed with -9 under load, no message that was answered 250 is lost."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress

import pytest

from mail.trace import parse_trace_id
from tests.reliability.ledger import ClientLedger, sizes
from tests.reliability.places import ADDRESSES, PARTS, Place

pytestmark = [pytest.mark.reliability, pytest.mark.slow, pytest.mark.timeout(7200)]

SEED = 20_250_131


class Killer:
    """Kills parts in seeded order, and remembers what was in flight at each kill."""

    def __init__(self, place: Place, chance: random.Random) -> None:
        self.place, self.chance = place, chance
        self.in_flight: set[tuple[str, str]] = set()
        self.kills: list[str] = []
        self._order: list[str] = []

    def kill_one(self) -> None:
        """The next part, as soon as it is there; every part has its turn in each round."""
        if not self._order:
            self._order = self.chance.sample(sorted(PARTS), len(PARTS))
        part = self._order.pop()
        self.place.service.wait_for(lambda: self.place.pids(part), 60, f"{part} to be back")
        pids = self.place.pids(part)
        if part == "worker" and self.chance.random() < 0.5:
            pids = [self.chance.choice(pids)]  # one of the processes; else all of them
        if part == "database":
            self.in_flight |= self.place.in_flight()
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.in_flight |= self.place.in_flight()
        self.kills.append(part)


def one_message(chance: random.Random, size) -> object:
    def send(client: ClientLedger) -> None:
        recipients = chance.sample(ADDRESSES, chance.choice((1, 1, 2, 3)))
        client.send(*recipients, size=next(size))

    return send


def test_nothing_is_lost_whatever_is_killed(ada, sized, record):
    messages, kills = sized((300, 8), (10_000, 100))
    chance = random.Random(SEED)
    client = ada.client("kills")
    killer = Killer(ada, chance)
    ada.sink.sink.answer_delay = 0.05
    began = time.monotonic()

    send = one_message(random.Random(SEED + 1), sizes(random.Random(SEED + 2), 1_000_000))
    with client.load(6, send, pause=sized(0.3, 0.15)):
        while len(killer.kills) < kills or len(client.accepted()) < messages:
            time.sleep(chance.uniform(0.5, sized(3.0, 6.0)))
            if len(killer.kills) < kills:
                killer.kill_one()
            assert time.monotonic() - began < sized(400, 5400), client.replies()
    restarted = time.monotonic()
    ada.settle(600)

    found = ada.balance(client)
    record(
        kills=len(killer.kills),
        ledgers=found,
        queue_empty_after_s=round(time.monotonic() - restarted, 1),
        replies=dict(client.replies()),
    )
    assert found.lost == ()
    assert found.ghosts == ()
    assert ada.failed() == 0
    assert not any(one.reply.startswith("5") for one in client.sent)
    assert unexplained(found.dups, client, killer) == []
    if found.expected > 5000:
        assert found.dup_count <= found.expected * 0.01
    assert ada.half_messages()[0] == 0
    ada.sink.sink.answer_delay = 0.0


def unexplained(dups, client: ClientLedger, killer: Killer) -> list[object]:
    """Dups of which no copy was in flight when something was killed, or more often than killed."""
    trace_of = {one.id: str(parse_trace_id(one.trace_id)) for one in client.accepted()}
    workers = killer.kills.count("worker") + killer.kills.count("database")
    return [
        (identity, destination, count)
        for (identity, destination), count in dups.items()
        if identity in trace_of  # of what was cut we have no trace id
        and ((trace_of[identity], destination) not in killer.in_flight or count - 1 > workers)
    ]
