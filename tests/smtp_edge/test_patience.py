"""Clients that are slow, idle or too many, and a process that goes."""

import socket
import threading
import time

import pytest

from smtp_edge.limits import Limits
from tests.smtp_edge.listening import Client, listening

SHORT = Limits(
    idle_seconds=0.5,
    sweep_seconds=0.05,
    transaction_seconds=1.0,
    slowest_octets_per_second=500,
    drain_seconds=2.0,
    client_connections=1000,
)


@pytest.fixture
def mx(world):
    with listening(world, limits=SHORT) as mx:
        yield mx


def test_an_idle_client_is_told_and_left(mx):
    client = mx.connect()

    assert client.reply().startswith("421 4.4.2")
    assert client.is_closed()


def test_a_trickle_of_octets_is_no_command(mx):
    client = mx.connect()
    began = time.monotonic()

    with pytest.raises(OSError):  # noqa: PT012
        while time.monotonic() - began < 15:
            client.send(b"N")
            time.sleep(0.1)


def test_whole_commands_keep_a_session_alive(mx):
    client = mx.connect()

    for _ in range(16):
        time.sleep(0.1)
        assert client.say("NOOP").startswith("250")


def test_a_message_that_crawls_ends_its_session(mx):
    client = mx.connect()
    client.mail("bob@sender.example", "hi@example.org")
    client.say("DATA")
    began = time.monotonic()

    with pytest.raises(OSError):  # noqa: PT012
        while time.monotonic() - began < 15:
            client.send(b"x")
            time.sleep(0.05)

    assert time.monotonic() - began > 0.9
    assert mx.world.kept == []


def test_commands_that_change_nothing_do_not_keep_a_transaction_alive(mx):
    client = mx.connect()
    client.mail("bob@sender.example", "hi@example.org")
    began, said = time.monotonic(), "250"

    while said.startswith("250") and time.monotonic() - began < 15:
        time.sleep(0.1)
        said = client.say("NOOP")

    assert said.startswith("421 4.4.2")
    assert time.monotonic() - began > 0.9


def test_a_message_at_a_fair_pace_may_take_its_time(mx):
    client = mx.connect()
    client.mail("bob@sender.example", "hi@example.org")
    client.say("DATA")
    client.send(b"Subject: x\r\n\r\n")

    for _ in range(20):
        client.send(b"y" * 498 + b"\r\n")
        time.sleep(0.08)
    client.send(b".\r\n")

    assert client.reply().startswith("250")


def test_many_slow_clients_do_not_slow_the_others(mx, letter):
    slow = [socket.create_connection(("127.0.0.1", mx.port)) for _ in range(300)]
    for number, one in enumerate(slow):
        one.send(b"EHLO slow\r\nMAIL F" if number % 2 else b"E")
    began = time.monotonic()

    client = mx.connect()

    assert client.deliver(letter, "hi@example.org").startswith("250")
    assert time.monotonic() - began < 10
    for one in slow:
        one.close()


def test_waiting_for_us_is_not_idleness(world, letter):
    world.keep_delay = 1.5
    with listening(world, limits=SHORT) as mx:
        client = mx.connect()

        assert client.deliver(letter, "hi@example.org").startswith("250")


def test_a_large_message_waits_for_the_store_and_not_in_memory(world):
    world.store_delay = 0.05
    with listening(world) as mx:
        client = mx.connect()
        client.mail("bob@sender.example", "hi@example.org")
        client.say("DATA")
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        octets = b"Subject: x\r\n\r\n" + (b"z" * 98 + b"\r\n") * 50_000 + b".\r\n"
        sender = threading.Thread(target=client.send, args=(octets,))
        sender.start()
        while not mx.world.pieces:
            time.sleep(0.01)
        session = next(iter(mx.listener._sessions))
        waiting = []
        while sender.is_alive():
            if session._data is not None:
                waiting.append(session._data._dotted.waiting_octets)
            time.sleep(0.01)

        assert client.reply().startswith("250")
        assert max(waiting) < 1024 * 1024
        assert len(mx.world.pieces) >= 18


def test_a_process_that_goes_lets_transactions_end_and_starts_none(mx, letter):
    idle, busy = mx.connect(), mx.connect()
    busy.mail("bob@sender.example", "hi@example.org")

    drained = mx.drain()

    assert idle.reply().startswith("421 4.3.2")
    assert idle.is_closed()
    assert busy.data(letter).startswith("250")
    assert busy.say("NOOP").startswith("421 4.3.2")
    drained.result(60)
    assert Client(mx.port).reply().startswith("421 4.3.2")
    assert len(mx.world.kept) == 1


def test_a_transaction_that_does_not_end_does_not_hold_the_process(mx):
    client = mx.connect()
    client.mail("bob@sender.example", "hi@example.org")
    began = time.monotonic()

    mx.drain().result(60)

    assert time.monotonic() - began < 15
