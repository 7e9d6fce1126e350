"""A3, A10: a worker is killed with mail on the wire: at most one copy more, and within a minute."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from functools import partial

import pytest

from tests.reliability.ledger import letter
from tests.reliability.places import ADDRESSES, Place

pytestmark = [pytest.mark.reliability, pytest.mark.slow, pytest.mark.timeout(7200)]

# What may stand before the octets we received: all of it is ours.
OURS = {b"received", b"dkim-signature", b"x-mxax-route", b"arc-seal", b"arc-message-signature"}
OURS |= {b"arc-authentication-results", b"authentication-results"}
HEARTS = "SELECT count(*) FROM delivery_workerheartbeat WHERE at > now() - interval '4 s'"


def sending_processes(place: Place) -> list[int]:
    """The processes with a sending loop, without the one that looks after them."""
    parent = place.pid_of("worker")
    return [pid for pid in place.pids("worker") if pid != parent]


def kill(pids: list[int], killed: threading.Event) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    killed.set()


def end_leases(place: Place) -> None:
    """What was in flight is due now; the real wait is proved once, below."""
    place.ask("UPDATE delivery_delivery SET next_attempt_at = now() WHERE state = 1 RETURNING 1")


def test_a_worker_killed_after_the_next_hops_250_sends_one_copy_more(ada, sized, record):
    client, kills, late = ada.client("settling"), sized(5, 200), 0
    ada.settle(60)
    copies: dict[str, list] = {}
    while len(copies) < kills:
        sent = send_and_kill_behind_the_250(ada, client)
        in_time = len(ada.in_flight()) == 1
        end_leases(ada)
        ada.settle(60)
        arrived = ada.sink.arrivals(sent.id)
        if in_time:
            copies[sent.id] = arrived
            continue
        late += 1  # COMMIT was quicker than the kill: then there is no second copy
        assert len(arrived) == 1
        assert late <= 5 * kills, "the kills come too late to show anything"

    found = ada.balance(client)
    record(kills=kills, too_late=late, ledgers=found)
    assert found.lost == ()
    assert found.dup_count <= kills
    assert [len(one) for one in copies.values()] == [2] * kills
    for known, arrived in copies.items():
        for _, octets in arrived:
            assert_only_prepended(octets, letter(known, 3000))


def send_and_kill_behind_the_250(place: Place, client):
    """Send one message; all sending processes die when the next hop has answered it."""
    place.service.wait_for(lambda: len(sending_processes(place)) == 2, 60, "two processes")
    place.service.wait_for(lambda: place.ask(HEARTS)[0][0] >= 1, 60, "a loop that lives")
    killed = threading.Event()
    place.sink.sink.after_answer = partial(kill, sending_processes(place), killed)
    sent = client.send(ADDRESSES[0], size=3000)
    assert sent.accepted
    assert killed.wait(60), "no copy arrived"
    place.sink.sink.after_answer = None
    return sent


def assert_only_prepended(octets: bytes, original: bytes) -> None:
    assert octets.endswith(original)
    added = octets[: -len(original)].split(b"\r\n")
    names = {
        line.partition(b":")[0].lower() for line in added if line[:1] not in (b"", b" ", b"\t")
    }
    assert names <= OURS, names


def test_a_message_locked_by_a_dead_worker_is_delivered_by_another_in_a_minute(ada, record):
    client = ada.client("locked")
    ada.settle(60)
    ada.sink.sink.hang_in_content = True
    sent = client.send(ADDRESSES[0])
    ada.service.wait_for(lambda: len(ada.in_flight()) == 1, 30, "the message to be on the wire")
    killed = ada.signal("worker", signal.SIGKILL)
    began = time.monotonic()
    ada.sink.sink.hang_in_content = False

    ada.service.wait_for(lambda: ada.sink.arrivals(sent.id), 70, "the message")
    seconds = time.monotonic() - began

    ada.settle(30)
    record(delivered_after_s=round(seconds, 1))
    assert seconds <= 60
    assert not set(killed) & set(ada.pids("worker"))
    assert len(ada.sink.arrivals(sent.id)) == 1
