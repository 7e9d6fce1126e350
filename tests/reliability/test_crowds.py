"""B4, B5, B21: slow clients, many clients and noise do not keep others from being served."""

from __future__ import annotations

import random
import threading
import time

import pytest

from tests.reliability.ledger import Client, percentile
from tests.reliability.places import ADDRESSES
from tests.smtp_edge.edge_process import edge

pytestmark = [pytest.mark.reliability, pytest.mark.slow, pytest.mark.timeout(1800)]


def test_a_client_is_served_at_once_beside_a_hundred_that_trickle(ada, sized, record):
    count, seconds = sized((100, 10), (500, 320))
    slow = [Client(ada.port, "127.0.0.3") for _ in range(count)]
    idle = [Client(ada.port, "127.0.0.4") for _ in range(count)]
    for one in (*slow, *idle):
        one.reply()  # who talks before the greeting is sent away
    farewells: list[str] = []
    client = ada.client("beside")
    try:
        until, step = time.monotonic() + seconds, 0
        while time.monotonic() < until:
            for one in slow:
                one.send(b"EHLO a-very-long-name.example\r\n"[step % 30 : step % 30 + 1])
            step += 1
            client.send(ADDRESSES[0])
            time.sleep(sized(0.5, 10.0))
        if seconds > 300:
            farewells = [_last_words(one) for one in idle]
    finally:
        for one in (*slow, *idle):
            one.close()

    times = [one.seconds for one in client.sent]
    record(
        trickling=count,
        idle=count,
        p95_s=round(percentile(times, 0.95), 3),
        slowest_s=round(max(times), 3),
        farewells=len(farewells),
    )
    assert all(one.accepted for one in client.sent)
    assert max(times) < 2
    assert all(word.startswith("421 4.4.2") for word in farewells)
    ada.settle(30)


def _last_words(client: Client) -> str:
    said = ""
    client.socket.settimeout(10)
    try:
        while True:
            said = client.reply()
    except OSError:
        return said


@pytest.mark.django_db(transaction=True)
def test_one_address_gets_fifty_connections_and_others_do_not_notice(tmp_path, sized, record):
    count = sized(60, 200)
    with edge(tmp_path, MXAX_CLIENT_CONNECTIONS="50") as mx:
        crowd = [Client(mx.port, "127.0.0.5") for _ in range(count)]
        banners = [one.reply() for one in crowd]
        with Client(mx.port, "127.0.0.2") as other:
            welcome = other.reply()
        for one in crowd[:20]:
            one.close()
        time.sleep(0.5)
        with Client(mx.port, "127.0.0.5") as again:
            back = again.reply()
        for one in crowd[20:]:
            one.close()

    turned_away = [banner for banner in banners if banner.startswith("421 4.7.0")]
    record(connections=count, turned_away=len(turned_away))
    assert sum(banner.startswith("220") for banner in banners) == 50
    assert len(turned_away) == count - 50
    assert welcome.startswith("220")
    assert back.startswith("220")


def test_random_octets_hurt_no_process_and_no_log(ada, sized, record):
    count, threads = sized(200, 1000), 40
    edges = ada.pids("edge")
    before = ada.log("edge").count("Traceback"), len(ada.events("edge", "edge.session_failed"))
    heard: list[bytes] = []
    seeds = iter(range(count))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                seed = next(seeds, None)
            if seed is None:
                return
            heard.append(shout(ada.port, seed))

    running = [threading.Thread(target=work, daemon=True) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(600)

    after = ada.log("edge").count("Traceback"), len(ada.events("edge", "edge.session_failed"))
    record(streams=len(heard), answered=sum(map(bool, heard)))
    assert len(heard) == count
    assert ada.pids("edge") == edges
    assert after == before
    assert not any(b"Traceback" in words for words in heard)
    assert all(line[:3].isdigit() for words in heard for line in words.split(b"\r\n") if line)
    assert ada.client("after-noise").send(ADDRESSES[0]).accepted


BEGINNINGS = (
    b"",
    b"EHLO noise.example\r\n",
    b"EHLO noise.example\r\nMAIL FROM:<a@noise.example>\r\nRCPT TO:<%b>\r\nDATA\r\n"
    % ADDRESSES[0].encode(),
    b"EHLO noise.example\r\nSTARTTLS\r\n",
)


def shout(port: int, seed: int) -> bytes:
    """Send 64 kB of noise behind one of four beginnings; gives what was heard, whole lines only."""
    chance = random.Random(seed)
    noise = BEGINNINGS[seed % 4] + chance.randbytes(64_000) + b"\r\n.\r\nQUIT\r\n"
    received = b""
    client = Client(port, f"127.0.1.{seed % 200 + 1}", timeout=20)
    try:
        if seed % 4:
            # Who does not wait for the reply to EHLO is sent away before his noise is read.
            greeting, _, noise = noise.partition(b"\r\n")
            client.reply()
            received = client.say(greeting.decode()).encode() + b"\r\n"
        for start in range(0, len(noise), 8000):
            client.send(noise[start : start + 8000])
        client.socket.settimeout(3)
        while piece := client.socket.recv(65536):
            received += piece
    except OSError:
        pass
    finally:
        client.close()
    return received[: received.rfind(b"\r\n") + 2]
