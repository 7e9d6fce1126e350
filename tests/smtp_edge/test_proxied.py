"""Sessions behind a proxy: who is the client, who may say so, and who is left (B13, B5)."""

import shutil
import socket
import subprocess
import time
from ipaddress import ip_network
from pathlib import Path

import pytest

from smtp_edge import service
from smtp_edge.clients import LOOPBACK
from smtp_edge.doorkeeper import Doorkeeper
from smtp_edge.limits import Limits
from tests.ports import free_port
from tests.smtp_edge.edge_process import edge
from tests.smtp_edge.listening import Client, listening
from tests.smtp_edge.test_proxy import SSL, V2_SIGNATURE, v2
from tests.timing import eventually

HASTY = Limits(proxy_seconds=0.5, client_connections=3)


@pytest.fixture
def mx(world):
    with listening(world, limits=HASTY, proxies=LOOPBACK) as mx:
        yield mx


@pytest.fixture
def patient(world):
    """Who is left here at once is not left because his time was over."""
    with listening(world, limits=Limits(proxy_seconds=15), proxies=LOOPBACK) as mx:
        yield mx


def behind(mx, header: bytes) -> Client:
    client = Client(mx.port)
    client.send(header)
    return client


def greeted(mx, header: bytes) -> Client:
    client = behind(mx, header)
    assert client.reply().startswith("220")
    client.say("EHLO client.example")
    return client


@pytest.mark.parametrize(
    ("header", "ip"),
    [
        (b"PROXY TCP4 198.51.100.7 192.0.2.1 40000 25\r\n", "198.51.100.7"),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 40000 25\r\n", "2001:db8::7"),
        (v2("198.51.100.7"), "198.51.100.7"),
        (v2("2001:db8::7"), "2001:db8::7"),
        (v2("::ffff:198.51.100.7"), "198.51.100.7"),
        (v2("198.51.100.7", tlvs=SSL), "198.51.100.7"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        (v2("198.51.100.7", command=0x20), "127.0.0.1"),
        (V2_SIGNATURE + b"\x20\x00\x00\x00", "127.0.0.1"),
    ],
)
def test_the_client_in_our_log_and_trace_is_the_real_one(mx, letter, header, ip):
    client = greeted(mx, header)

    assert client.deliver(letter, "hi@example.org").startswith("250")
    client.mail("bob@sender.example", "nobody@example.org")

    assert mx.world.kept[0].plan.client_ip == ip
    assert mx.world.refusals[0].event.client_ip == ip
    assert f"[{ip}]".encode() in mx.world.content() or f"IPv6:{ip}".encode() in mx.world.content()


def test_a_header_may_come_in_pieces(mx):
    client = Client(mx.port)
    for octet in v2("198.51.100.7", tlvs=SSL):
        client.send(bytes([octet]))

    assert client.reply().startswith("220")


@pytest.mark.parametrize(
    "said",
    [
        b"EHLO client.example\r\n",
        b"PROXY TCP4 198.51.100.7 192.0.2.1 40000\r\n",
        b"PROXY " + b"x" * 200,
        V2_SIGNATURE + b"\x31\x11\x00\x0c" + b"\0" * 12,
    ],
)
def test_a_proxy_that_says_anything_else_is_left_at_once(patient, said):
    began = time.monotonic()

    assert behind(patient, said).is_closed()
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("said", [b"", b"PROXY TCP4 198", V2_SIGNATURE])
def test_one_that_says_too_little_is_left_after_a_while(mx, said):
    began = time.monotonic()

    assert behind(mx, said).is_closed()
    assert 0.4 < time.monotonic() - began < 10


def test_one_that_only_knocks_leaves_nothing_behind(mx):
    for _ in range(5):
        Client(mx.port).close()

    eventually(lambda: not mx.listener._sessions)
    assert mx.listener.clients._open == {}
    assert greeted(mx, b"PROXY TCP4 198.51.100.7 192.0.2.1 1 25\r\n").say("NOOP")[:3] == "250"


def test_who_speaks_behind_the_header_before_the_banner_is_sent_away(mx):
    client = behind(mx, b"PROXY TCP4 198.51.100.7 192.0.2.1 1 25\r\nEHLO early.example\r\n")

    assert client.reply().startswith("554 5.5.0")
    assert client.is_closed()


def test_limits_see_the_client_and_not_the_proxy(mx):
    many = [greeted(mx, b"PROXY TCP4 198.51.100.7 192.0.2.1 1 25\r\n") for _ in range(3)]

    one_more = behind(mx, b"PROXY TCP4 198.51.100.7 192.0.2.1 2 25\r\n")
    assert one_more.reply().startswith("421 4.7.0")
    assert one_more.is_closed()
    other = greeted(mx, b"PROXY TCP4 198.51.100.8 192.0.2.1 1 25\r\n")
    many[0].close()
    eventually(lambda: len(mx.listener._sessions) == 3)
    greeted(mx, b"PROXY TCP4 198.51.100.7 192.0.2.1 3 25\r\n")
    other.close()


def test_a_whole_ipv6_network_counts_as_one_client(mx):
    many = [greeted(mx, v2(f"2001:db8::{number + 1}")) for number in range(3)]

    assert behind(mx, v2("2001:db8::beef")).reply().startswith("421 4.7.0")
    greeted(mx, v2("2001:db8:0:1::1"))
    assert all(one.say("NOOP").startswith("250") for one in many)


@pytest.mark.parametrize(
    "header", [b"PROXY TCP4 198.51.100.7 192.0.2.1 1 25\r\n", b"PROXY UNKNOWN\r\n"]
)
def test_from_anybody_else_it_is_a_command_that_nobody_knows(world, header, letter):
    with listening(world, proxies=[ip_network("203.0.113.0/24")]) as mx:
        client = Client(mx.port)
        assert client.reply().startswith("220")

        client.send(header)

        assert client.reply().startswith("500 5.5.1")
        client.say("EHLO client.example")
        assert client.deliver(letter, "hi@example.org").startswith("250")
        assert world.kept[0].plan.client_ip == "127.0.0.1"


def test_nor_does_a_binary_header_help_a_stranger(world):
    with listening(world) as mx:
        client = Client(mx.port)
        client.reply()

        client.send(v2("198.51.100.7"))

        assert client.reply().startswith("5")
        assert mx.listener._sessions == set() or {one.peer_ip for one in mx.listener._sessions} == {
            "127.0.0.1"
        }


def test_rates_see_the_client_too(world):
    limits = Limits(connections_per_minute=2)
    with listening(
        world,
        limits=limits,
        proxies=LOOPBACK,
        doorkeeper=lambda limits, world: Doorkeeper(limits, reporter=world),
    ) as mx:
        for _ in range(2):
            greeted(mx, b"PROXY TCP4 198.51.100.7 192.0.2.1 1 25\r\n").close()

        client = behind(mx, b"PROXY TCP4 198.51.100.7 192.0.2.1 1 25\r\n")

        assert client.reply().startswith("421 4.7.0")
        assert world.refusals[0].event.client_ip == "198.51.100.7"
        greeted(mx, b"PROXY TCP4 198.51.100.8 192.0.2.1 1 25\r\n")


@pytest.mark.skipif(not hasattr(service, "hygiene"), reason="the process knows no proxies yet")
@pytest.mark.django_db(transaction=True)
def test_the_process_takes_its_proxies_from_the_settings(transactional_db, tmp_path):
    with edge(tmp_path, MXAX_TRUSTED_PROXIES="127.0.0.1/32") as mx:
        behind_proxy, stranger = Client(mx.port), Client(mx.port, source="127.0.0.2")
        behind_proxy.send(b"PROXY TCP4 198.51.100.7 192.0.2.1 1 25\r\n")

        assert behind_proxy.reply().startswith("220")
        assert stranger.reply().startswith("220")


HAPROXY = """
defaults
    mode tcp
    timeout connect 5s
    timeout client 30s
    timeout server 30s
listen mx
    bind 127.0.0.1:{port}
    bind ::1:{port}
    server mx 127.0.0.1:{target} {word}
"""


@pytest.mark.needs_debian
@pytest.mark.parametrize("word", ["send-proxy", "send-proxy-v2", "send-proxy-v2 check inter 100ms"])
def test_a_real_haproxy_tells_who_connects(world, letter, tmp_path: Path, word):
    program = shutil.which("haproxy", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if program is None:
        pytest.skip("the Debian package haproxy is not installed")
    with listening(world, proxies=[ip_network("127.0.0.1/32")]) as mx:
        port = free_port()
        config = tmp_path / "haproxy.cfg"
        config.write_text(HAPROXY.format(port=port, target=mx.port, word=word))
        with (tmp_path / "haproxy.log").open("wb") as log:
            running = subprocess.Popen([program, "-db", "-f", config], stdout=log, stderr=log)
        try:
            _wait_for(port)
            for source in ("127.0.0.5", "127.0.0.6"):
                client = Client(port, source=source)
                assert client.reply().startswith("220")
                client.say("EHLO client.example")
                assert client.deliver(letter, "hi@example.org").startswith("250")
            if _has_ipv6():
                client = Client(port, "::1", source="::1")
                assert client.reply().startswith("220")
                client.say("EHLO client.example")
                assert client.deliver(letter, "hi@example.org").startswith("250")
        finally:
            running.terminate()
            running.wait(10)

    seen = [one.plan.client_ip for one in world.kept]
    assert seen == ["127.0.0.5", "127.0.0.6", "::1"][: len(seen)]
    assert len(seen) >= 2


def _wait_for(port: int) -> None:
    for _ in range(1000):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("HAProxy does not listen")


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
