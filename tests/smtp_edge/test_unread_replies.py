"""Who asks and does not listen: replies must not pile up here (B8)."""

import time

from smtp_edge.limits import Limits
from tests.smtp_edge.listening import Client, listening


def floods(client: Client, most: int) -> int:
    """Send recipients and read no reply; gives the octets that were taken before it stuck."""
    client.mail("bob@sender.example", "hi@example.org")
    client.socket.settimeout(0.3)
    sent, many = 0, b"RCPT TO:<hi@example.org>\r\n" * 2000
    try:
        while sent < most:
            sent += client.socket.send(many)
    except OSError:
        return sent
    return most


def test_a_client_that_does_not_read_our_replies_gets_no_further(world):
    with listening(world) as mx:
        client = mx.connect()

        sent = floods(client, 60_000_000)

        assert sent < 30_000_000  # which fills the buffers of the kernel
        (session,) = mx.listener._sessions
        assert session.transport.get_write_buffer_size() < 500_000
        client.close()


def test_who_does_not_read_our_last_words_is_cut_off(world, monkeypatch):
    monkeypatch.setattr("smtp_edge.protocol._LAST_WORDS_SECONDS", 0.2)
    with listening(world, limits=Limits(idle_seconds=0.5, sweep_seconds=0.05)) as mx:
        client = mx.connect()

        floods(client, 60_000_000)

        deadline = time.monotonic() + 20
        while mx.listener._sessions and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not mx.listener._sessions
        client.close()
