"""A14: edges and workers are restarted one by one while mail flows; nobody hears an error but 421."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from tests.reliability.ledger import Client, letter
from tests.reliability.places import ADDRESSES, is_gone

pytestmark = [pytest.mark.reliability, pytest.mark.slow, pytest.mark.timeout(1800)]


def test_a_rolling_restart_costs_no_mail_and_no_errors(ada, sized, record):
    client, rounds = ada.client("rolling"), sized(1, 10)
    chance = random.Random(14)
    longest = 0.0
    ada.sink.sink.answer_delay = 0.05
    with client.load(4, lambda one: one.send(chance.choice(ADDRESSES)), pause=0.18):
        time.sleep(1)
        for _ in range(rounds):
            for name in ("edge-1", "edge-2", "worker"):
                longest = max(longest, restart(ada, name))
                time.sleep(1)
    ada.sink.sink.answer_delay = 0.0
    ada.settle(60)

    found = ada.balance(client)
    record(ledgers=found, replies=dict(client.replies()), longest_end_s=round(longest, 1))
    assert set(client.replies()) <= {"250 2.0.0", "421 4.3.2"}
    assert found.accepted > 50 * rounds
    assert longest <= 30
    assert found.lost == found.ghosts == ()
    assert found.dups == {}


def test_who_is_in_a_transaction_may_end_it_and_who_is_idle_hears_421(ada):
    idle = [Client(ada.port) for _ in range(10)]
    busy = [Client(ada.port) for _ in range(10)]
    for client in (*idle, *busy):
        assert client.reply().startswith("220")
        assert client.say("EHLO author.example").startswith("250")
    for client in busy:
        client.say("MAIL FROM:<bob@author.example>")
        assert client.say(f"RCPT TO:<{ADDRESSES[0]}>").startswith("250")
    old = [ada.pid_of("edge-1"), ada.pid_of("edge-2")]

    for pid in old:
        os.kill(pid, signal.SIGTERM)

    assert {client.reply()[:9] for client in idle} == {"421 4.3.2"}
    for number, client in enumerate(busy):
        assert client.say("DATA").startswith("354")
        client.send(letter(f"draining-{number}"))
        assert client.say(".").startswith("250")
        assert client.reply().startswith("421 4.3.2")
    ada.service.wait_for(lambda: all(map(is_gone, old)), 40, "the edges to end")
    ada.service.wait_for(lambda: ada.client("drained").send(ADDRESSES[0]).accepted, 40, "an edge")
    ada.settle(30)
    assert all(len(ada.sink.arrivals(f"draining-{number}")) == 1 for number in range(10))


def restart(place, name: str) -> float:
    """SIGTERM; gives the seconds until it ended. Returns when the launcher has it back."""
    old = place.pid_of(name)
    os.kill(old, signal.SIGTERM)
    began = time.monotonic()
    place.service.wait_for(lambda: is_gone(old), 40, f"{name} to end")
    ended = time.monotonic() - began
    place.service.wait_for(lambda: place.pid_of(name) != old, 40, f"a new {name}")
    if name.startswith("edge"):
        new = place.pid_of(name)
        place.service.wait_for(lambda: f'"pid": {new}' in place.log(name), 40, f"{name} to listen")
    return ended
