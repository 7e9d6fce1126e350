"""One event is one line, whatever a stranger writes into his greeting, addresses and fields."""

from __future__ import annotations

import json
import time

import pytest

from tests.smtp_edge.edge_process import edge

pytestmark = pytest.mark.django_db(transaction=True)

CANARY = "canary7f3a"
FAKE = f'{{"event": "mail.accepted", "trace_id": "{CANARY}"}}'
ENDINGS = (
    "\r",
    "\n",
    "\x0b",
    "\x0c",
    "\x1b[2K\x1b[1A",
    "\x85",
    "\u2028",
    "\u2029",
    "\\r\\n",
    "%0d%0a",
)
GREETINGS = [f"EHLO a{ending}{FAKE}" for ending in ENDINGS]
PATHS = [f'MAIL FROM:<"{CANARY}{ending}{FAKE}"@s.example> SMTPUTF8' for ending in ENDINGS]
RECIPIENTS = [f'RCPT TO:<"{CANARY}{ending}x"@example.org>' for ending in ENDINGS]


@pytest.fixture
def hosted_example(transactional_db, ada):
    from tenants.vault import prove_data_key

    prove_data_key(create=True)
    ada.has_domain("example.org")
    ada.has_route("hi@example.org", "friend@there.example")


def says(mx, *lines: str) -> None:
    """Each line in a session of its own, greeting and path before a recipient."""
    for line in lines:
        client = mx.connect()
        if line.startswith("RCPT"):
            client.say("MAIL FROM:<bob@s.example> SMTPUTF8")
        client.send(line.encode() + b"\r\n")
        client.reply()
        client.close()


def letters(mx) -> int:
    """Messages whose fields hold every ending; how many were taken."""
    taken = 0
    for ending in ENDINGS:
        client = mx.connect()
        client.say(f"EHLO {CANARY}")
        octets = f"From: a@s.example\r\nSubject: {CANARY}{ending}{FAKE}\r\nX: {FAKE}\r\n\r\nx\r\n"
        reply = client.deliver(octets.encode(), "hi@example.org", f"{CANARY}@s.example")
        taken += reply.startswith("250")
        client.close()
    return taken


@pytest.mark.parametrize("form", ["json", "console"])
def test_one_event_is_one_line_whatever_strangers_say(hosted_example, tmp_path, form):
    with edge(tmp_path, MXAX_LOG_FORMAT=form) as mx:
        says(mx, *GREETINGS, *PATHS, *RECIPIENTS)
        taken = letters(mx)
        time.sleep(0.7)
        mx.end()
        octets = mx.log.read_bytes()

    lines = octets.decode().split("\n")[:-1]
    assert taken >= 5
    assert CANARY not in octets.decode()
    assert not {"\r", "\x0b", "\x0c", "\x85", "\u2028", "\u2029"} & set(octets.decode())
    assert b"\x1b" not in octets
    if form == "json":
        events = [json.loads(line)["event"] for line in lines]
        assert events.count("mail.accepted") == taken
    else:
        assert sum("mail.accepted" in line for line in lines) == taken
        assert all(line.startswith("20") for line in lines), lines
