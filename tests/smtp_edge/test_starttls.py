"""STARTTLS: it works, it forgets what was said before, and nothing is smuggled through it (B2)."""

import asyncio
import socket
import ssl
import struct
import threading
import time

import pytest
import uvloop

from smtp_edge.tls import server_context
from tests.smtp_edge.listening import listening


@pytest.fixture(scope="module")
def context(tmp_path_factory) -> ssl.SSLContext:
    return server_context(
        None, None, hostname="mxax.test", keys_folder=tmp_path_factory.mktemp("keys")
    )


@pytest.fixture(params=[uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def mx(world, context, request):
    with listening(world, tls=context, loop_factory=request.param) as mx:
        yield mx


def encrypt(client):
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    client.socket = trusting.wrap_socket(client.socket, server_hostname="mxax.test")


def test_mail_arrives_encrypted(mx, letter):
    client = mx.connect()
    assert client.say("STARTTLS").startswith("220 2.0.0")
    encrypt(client)
    client.send(b"EHLO client.example\r\n")

    assert not any("STARTTLS" in line for line in client.lines())
    assert client.deliver(letter, "hi@example.org").startswith("250")

    plan = mx.world.kept[0].plan
    assert plan.protocol == "ESMTPS"
    assert plan.tls.startswith("TLSv1.3 TLS_")
    assert b"with ESMTPS\r\n" in mx.world.content()


def test_a_large_message_arrives_encrypted(mx):
    client = mx.connect()
    client.say("STARTTLS")
    encrypt(client)
    client.say("EHLO client.example")
    octets = b"Subject: x\r\n\r\n" + b"some text\r\n" * 150_000

    assert client.deliver(octets, "hi@example.org").startswith("250")

    assert mx.world.content().endswith(octets)


def test_a_greeting_that_comes_with_the_end_of_the_handshake_is_answered(mx):
    """As clients do it that do not wait, wherever we are late to read."""
    client = mx.connect()
    client.say("STARTTLS")
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    received, sending = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = trusting.wrap_bio(received, sending, server_hostname="mxax.test")

    until_it_works(session.do_handshake, client, received, sending)
    session.write(b"EHLO client.example\r\n")
    client.send(sending.read())

    assert until_it_works(session.read, client, received, sending).startswith(b"250-")


def test_replies_that_were_unread_when_it_began_hold_up_nothing_later(mx):
    """The transport in clear text said that it is full, and tells nobody any more that it is not."""
    client = mx.connect()
    (session,) = mx.listener._sessions
    session.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    session.transport.set_write_buffer_limits(high=0)
    asleep = threading.Event()
    mx.loop.call_soon_threadsafe(lambda: (asleep.set(), time.sleep(0.3)))  # so it reads all at once
    assert asleep.wait(60)

    recipients = b"RCPT TO:<hi@example.org>\r\n" * 2000
    client.send(b"MAIL FROM:<bob@sender.example>\r\n" + recipients + b"STARTTLS\r\n")
    until(lambda: session._is_clogged)
    while not client.reply().startswith("220 2.0.0"):
        pass
    encrypt(client)

    client.socket.settimeout(5)
    assert client.say("EHLO client.example").startswith("250 ")


def until_it_works(step, client, received, sending):
    while True:
        try:
            return step()
        except ssl.SSLWantReadError:
            client.send(sending.read())
            received.write(client.socket.recv(65536))


def test_it_is_offered_in_clear_text_only(mx):
    client = mx.connect(greet=False)
    client.send(b"EHLO client.example\r\n")

    assert any("STARTTLS" in line for line in client.lines())
    client.say("STARTTLS")
    encrypt(client)
    client.say("EHLO client.example")
    assert client.say("STARTTLS").startswith("503 5.5.1")


def test_commands_injected_behind_it_are_never_answered(mx):
    client = mx.connect()

    client.send(b"STARTTLS\r\nMAIL FROM:<mallory@away.example>\r\nRCPT TO:<hi@example.org>\r\n")

    assert client.reply().startswith("554 5.5.0")
    assert client.is_closed()


def test_commands_sent_after_the_220_in_clear_text_end_the_session(mx):
    client = mx.connect()
    client.say("STARTTLS")

    client.send(b"MAIL FROM:<mallory@away.example>\r\n")

    received = b""
    try:
        while piece := client.socket.recv(1000):
            received += piece
    except ConnectionResetError:
        pass
    assert b"250" not in received


def test_who_resets_the_connection_within_the_handshake_is_gone(mx):
    """The event loops tell nobody of a connection that is lost there: its place must be free."""
    client = mx.connect()
    client.say("STARTTLS")
    client.send(b"\x16\x03\x01\x02\x00")  # the beginning of a ClientHello

    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()

    until(lambda: not mx.listener._sessions)
    assert not mx.listener.clients._open


def test_what_was_said_before_is_forgotten(mx):
    client = mx.connect()
    client.mail("bob@sender.example", "hi@example.org")
    client.say("STARTTLS")
    encrypt(client)

    assert client.say("DATA").startswith("503 5.5.1")
    assert client.say("MAIL FROM:<bob@sender.example>").startswith("503 5.5.1")


def test_old_versions_of_tls_are_not_spoken(mx):
    client = mx.connect()
    client.say("STARTTLS")
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1

    with pytest.raises(OSError):
        old.wrap_socket(client.socket)


def test_the_certificate_is_made_once_and_is_private(tmp_path):
    server_context(None, None, hostname="mxax.test", keys_folder=tmp_path)
    made = (tmp_path / "smtp-tls.pem").read_bytes()

    server_context(None, None, hostname="mxax.test", keys_folder=tmp_path)

    assert (tmp_path / "smtp-tls.pem").read_bytes() == made
    assert (tmp_path / "smtp-tls.pem").stat().st_mode & 0o077 == 0
    assert len(list(tmp_path.iterdir())) == 1


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
