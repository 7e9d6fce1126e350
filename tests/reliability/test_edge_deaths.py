"""A2: kill -9 between the last octet of DATA and the 250: each message is whole or not there."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from tests.installation import PROJECT
from tests.ports import free_port
from tests.reliability.ledger import ClientLedger
from tests.reliability.places import ADDRESSES, Place
from tests.reliability.sleepy_edge import POINTS

pytestmark = [pytest.mark.reliability, pytest.mark.slow, pytest.mark.timeout(3600)]

SESSIONS = 8


@contextmanager
def sleepy_edge(place: Place, folder, point: str):
    """One more edge of the service, on a port of its own: (port, process, file)."""
    port, file = free_port(), folder / f"asleep-{time.monotonic_ns()}"
    environment = {
        **place.environment(),
        "MXAX_MX_LISTEN": f"127.0.0.1:{port}",
        "SLEEP_AT": point,
        "SLEEP_FILE": str(file),
    }
    log = folder / "sleepy-edge.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.reliability.sleepy_edge"],
            cwd=PROJECT,
            env=environment,
            stdout=output,
            stderr=output,
        )
    try:
        place.service.wait_for(lambda: "edge.listening" in log.read_text(), 60, "the sleepy edge")
        yield port, process, file
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)


@pytest.mark.parametrize("point", POINTS)
def test_an_edge_killed_before_the_250_leaves_whole_messages_or_none(
    ada, tmp_path, sized, record, point
):
    clients = []
    for number in range(sized(1, 10)):
        with sleepy_edge(ada, tmp_path, point) as (port, process, asleep):
            client = ClientLedger(port, f"asleep-{POINTS.index(point)}-{number}")
            with client_crowd(client):
                ada.service.wait_for(asleep.exists, 60, f"the edge to sleep at {point}")
                process.kill()
        clients.append(client)
    ada.settle(60)

    found = [ada.balance(client) for client in clients]
    record(ledgers="; ".join(map(str, found)))
    for client, one in zip(clients, found, strict=True):
        assert len(client.sent) == SESSIONS
        assert not client.accepted()
        assert set(client.replies()) <= {"cut", "broken"}
        assert client.replies()["cut"] > 0
        assert one.ghosts == ()
        assert one.dups == {}
        for identity in one.cut_and_arrived:  # all three recipients, or nobody
            assert len(ada.sink.arrivals(identity)) == 3
    if point in ("begin", "inserted", "before commit"):
        assert not any(one.cut_and_arrived for one in found)
    else:
        assert all(one.cut_and_arrived for one in found)
    assert ada.half_messages()[0] == 0


def test_the_pieces_of_a_large_message_that_never_came_are_swept(ada, tmp_path):
    with sleepy_edge(ada, tmp_path, "begin") as (port, process, asleep):
        client = ClientLedger(port, "pieces")
        with client_crowd(client, size=1_000_000, sessions=1):
            ada.service.wait_for(asleep.exists, 60, "the edge to sleep")
            process.kill()
    assert client.replies() == {"cut": 1}
    assert ada.half_messages()[1] > 0

    ada.ask(
        "UPDATE delivery_content c SET stored_at = stored_at - interval '2 hours' WHERE NOT EXISTS"
        " (SELECT FROM delivery_message m WHERE m.id = c.message_id) RETURNING 1"
    )
    ada.manage_as_worker("from delivery.sweeps import sweep_orphan_content as s; print(s())")

    assert ada.half_messages() == (0, 0)
    assert ada.sink.arrivals(client.sent[0].id) == []


@contextmanager
def client_crowd(client: ClientLedger, *, size: int = 20_000, sessions: int = SESSIONS):
    """Sessions that send at the same time while the block runs, and are answered or cut after."""
    threads = [
        threading.Thread(target=client.send, args=ADDRESSES, kwargs={"size": size}, daemon=True)
        for _ in range(sessions)
    ]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join(60)
