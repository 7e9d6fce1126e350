"""A19: a long run costs no memory, no descriptors and no room in the database."""

from __future__ import annotations

import os
import random
import time
from contextlib import suppress

import pytest

from tests.reliability.places import ADDRESSES, Place, memory_octets

pytestmark = [pytest.mark.reliability, pytest.mark.slow, pytest.mark.timeout(7200)]

PARTS = ("edge", "worker", "beat")
QUEUE_OCTETS = """
    SELECT sum(pg_total_relation_size(oid)) FROM pg_class
    WHERE relkind = 'r' AND relname IN
        ('delivery_message', 'delivery_content', 'delivery_delivery', 'delivery_deliveryevent')
"""


def test_a_long_run_takes_no_more_memory_and_no_more_room(ada, sized, record):
    warm, most = sized(2_000, 20_000), sized(8_000, 100_000)
    client, chance = ada.client("soak"), random.Random(19)

    with client.load(6, lambda one: one.send(chance.choice(ADDRESSES))):
        until_accepted(client, warm)
        before = {part: memory_octets(ada.pids(part)) for part in PARTS}
        files, processes = descriptors(ada), pids(ada)
        until_accepted(client, most)
        after = {part: memory_octets(ada.pids(part)) for part in PARTS}
        files_after = descriptors(ada)
    ada.settle(120)

    found, room = ada.balance(client), ada.ask(QUEUE_OCTETS)[0][0]
    growth = {part: f"{after[part] / before[part] - 1:+.1%}" for part in PARTS}
    record(ledgers=found, growth=growth, descriptors=(files, files_after), queue_octets=room)
    assert pids(ada) == processes
    assert all(after[part] < before[part] * 1.1 for part in PARTS)
    assert abs(files_after - files) <= 20 * len(processes)
    assert room < 100_000_000
    assert found.lost == found.ghosts == ()
    assert found.dups == {}


def until_accepted(client, count: int) -> None:
    while client.replies().get("250 2.0.0", 0) < count:
        time.sleep(0.2)


def pids(place: Place) -> list[int]:
    return sorted(pid for part in PARTS for pid in place.pids(part))


def descriptors(place: Place) -> int:
    total = 0
    for pid in pids(place):
        with suppress(OSError):
            total += len(os.listdir(f"/proc/{pid}/fd"))
    return total
