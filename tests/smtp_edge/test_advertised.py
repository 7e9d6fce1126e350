"""Each keyword of our reply to EHLO works from its offer to the message that is kept (B20)."""

import ssl

import pytest

from smtp_edge.tls import server_context
from tests.smtp_edge.listening import Client, listening


@pytest.fixture
def mx(world, tmp_path):
    tls = server_context(None, None, hostname="mxax.test", keys_folder=tmp_path)
    with listening(world, tls=tls) as mx:
        yield mx


LETTER = b"From: Bob <bob@sender.example>\r\nSubject: Hello\r\n\r\n"


def pipelining(client: Client) -> None:
    client.send(b"MAIL FROM:<b@s.example>\r\nRCPT TO:<hi@example.org>\r\nDATA\r\n")
    assert [client.reply()[:3] for _ in range(3)] == ["250", "250", "354"]
    client.send(LETTER + b".\r\nMAIL FROM:<b@s.example>\r\nRSET\r\n")
    assert [client.reply()[:3] for _ in range(3)] == ["250", "250", "250"]


def size(client: Client) -> None:
    assert client.say("MAIL FROM:<b@s.example> SIZE=52428801").startswith("552 5.3.4")
    client.say(f"MAIL FROM:<b@s.example> SIZE={len(LETTER)}")
    client.say("RCPT TO:<hi@example.org>")
    assert client.data(LETTER).startswith("250")


def enhanced(client: Client) -> None:
    for line in ("MAIL FROM:<b@s.example>", "RCPT TO:<hi@example.org>", "NOOP", "NONSENSE"):
        code, status, *_ = client.say(line).split()
        assert status.split(".")[0] == code[0]
    assert client.data(LETTER).split()[1].startswith("2.")


def eight_bit(client: Client) -> None:
    client.say("MAIL FROM:<b@s.example> BODY=8BITMIME")
    client.say("RCPT TO:<hi@example.org>")
    assert client.data(LETTER + bytes(range(128, 256)) + b"\r\n").startswith("250")


def utf8(client: Client) -> None:
    assert client.say("MAIL FROM:<jürgen@sénder.example> SMTPUTF8").startswith("250")
    client.say("RCPT TO:<hi@example.org>")
    assert client.data("From: jürgen@s.example\r\nSubject: Grüße\r\n\r\n".encode())[:3] == "250"


def start_tls(client: Client) -> None:
    assert client.say("STARTTLS").startswith("220")
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    client.socket = trusting.wrap_socket(client.socket)
    client.say("EHLO client.example")
    assert client.deliver(LETTER, "hi@example.org").startswith("250")


WORKS = {
    "PIPELINING": (pipelining, LETTER),
    "SIZE": (size, LETTER),
    "ENHANCEDSTATUSCODES": (enhanced, LETTER),
    "8BITMIME": (eight_bit, bytes(range(128, 256)) + b"\r\n"),
    "SMTPUTF8": (utf8, "Subject: Grüße\r\n\r\n".encode()),
    "STARTTLS": (start_tls, LETTER),
}


def test_nothing_is_advertised_that_is_not_tried_here(mx):
    client = mx.connect(greet=False)
    client.send(b"EHLO client.example\r\n")

    assert {line[4:].split()[0] for line in client.lines()[1:]} == set(WORKS)


@pytest.mark.parametrize(("story", "kept"), WORKS.values(), ids=WORKS)
def test_what_is_advertised_brings_a_message_in(mx, story, kept):
    story(mx.connect())

    assert len(mx.world.kept) == 1
    assert mx.world.content().endswith(kept)
