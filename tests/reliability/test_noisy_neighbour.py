"""G14: a tenant's backlog to a dead host, on the whole service: edges, two workers, real DNS.

From the 250 that a neighbour's client hears to the arrival at the next hop, at the 95th percentile.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.reliability.ledger import SinkLedger, percentile
from tests.reliability.next_hops import NextHops, next_hops
from tests.reliability.places import ADDRESSES, Place, place

pytestmark = [
    pytest.mark.journey,
    pytest.mark.reliability,
    pytest.mark.slow,
    pytest.mark.timeout(3600),
]

SAMPLES = 60
DEAD, MUTE = "hi@dead-ends.example", "hi@mute-ends.example"


@pytest.fixture(scope="module")
def neighbours(tmp_path_factory):
    """Ada's mail arrives; Noah's goes to a host that refuses connections, or to one that is mute."""
    ledger = SinkLedger()
    with next_hops(ledger) as hops:
        hops.takes_mail("there.example")
        hops.is_dead("dead.example", "127.0.0.41")
        hops.is_mute("mute.example", "127.0.0.42")
        folder = tmp_path_factory.mktemp("neighbours")
        with place(folder, sink=ledger, **hops.settings()) as running:
            running.service.tenant("noah", "dead-ends.example", (DEAD, "noah@dead.example"))
            running.service.manage("domain", "add", "noah", "mute-ends.example", "--verified")
            running.service.manage("route", "add", "noah", MUTE, "noah@mute.example", "--confirmed")
            yield running, hops


LETTER = b"From: crowd@author.example\r\nSubject: pile\r\n\r\nhi\r\n"


def pile_up(place: Place, address: str, count: int) -> None:
    """So many messages to one address, as clients bring them."""

    def bring(some: int) -> None:
        with place.service.smtp() as client:
            for _ in range(some):
                client.sendmail("crowd@author.example", [address], LETTER)

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(bring, [100] * (count // 100)))


def p95_to_arrive(place: Place, hops: NextHops, name: str) -> float:
    """Seconds from the 250 to the arrival, of messages sent one after another."""
    client, taken = place.client(name), []
    for _ in range(SAMPLES):
        sent = client.send(ADDRESSES[0])
        accepted_at = time.monotonic()
        assert sent.accepted
        while not hops.ledger.arrivals(sent.id):
            assert time.monotonic() < accepted_at + 60, place.rows()
            time.sleep(0.001)
        taken.append(time.monotonic() - accepted_at)
    return percentile(taken, 0.95)


@pytest.mark.parametrize("address", [DEAD, MUTE], ids=["refuses", "mute"])
def test_a_backlog_to_a_dead_host_does_not_delay_a_neighbour(
    neighbours, sized, record, address, request
):
    place, hops = neighbours
    count = sized(1_000, 50_000)
    idle = p95_to_arrive(place, hops, f"idle-{address[3:7]}")

    pile_up(place, address, count)
    busy = p95_to_arrive(place, hops, f"busy-{address[3:7]}")
    waiting = place.ask(
        "DELETE FROM delivery_delivery WHERE recipient = %s AND state < 2 RETURNING 1", address
    )
    idle = max(
        idle, p95_to_arrive(place, hops, f"after-{address[3:7]}")
    )  # the machine has other work
    record(
        backlog=count,
        p95_idle_ms=round(idle * 1000),
        p95_beside_it_ms=round(busy * 1000),
    )
    assert len(waiting) == count  # none was lost
    if request.config.getoption("--full-size"):
        assert busy <= max(2 * idle, 0.1)
    assert busy <= max(4 * idle, 1), "behind the backlog it would take minutes"
