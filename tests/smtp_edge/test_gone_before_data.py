"""A client that closed his half before DATA came to its turn: what is missing will never come."""

from __future__ import annotations

import asyncio
import socket

from tests.smtp_edge.listening import World, hosted, listening, route
from tests.timing import eventually

ENVELOPE = b"MAIL FROM:<bob@sender.example>\r\nRCPT TO:<hi@example.org>\r\nDATA\r\n"


class Slow(World):
    """Looks domains up for a while, so that much arrives before DATA is looked at."""

    async def get(self, name):
        await asyncio.sleep(0.3)
        return await super().get(name)

    @classmethod
    def with_ada(cls) -> Slow:
        world = cls()
        world.host(hosted("example.org", route(1, "hi", "friend@there.example")))
        return world


def test_a_message_without_its_end_ends_the_session():
    with listening(Slow.with_ada()) as mx:
        client = mx.connect()

        client.send(ENVELOPE + b"Subject: half of it\r\n")
        client.socket.shutdown(socket.SHUT_WR)

        assert [client.reply()[:3] for _ in range(3)] == ["250", "250", "354"]
        assert client.is_closed()
        eventually(lambda: not mx.listener._sessions)
        assert mx.world.kept == []


def test_a_whole_message_is_kept_and_answered():
    with listening(Slow.with_ada()) as mx:
        client = mx.connect()

        client.send(ENVELOPE + b"From: a@b.example\r\n\r\nx\r\n.\r\n")
        client.socket.shutdown(socket.SHUT_WR)

        assert [client.reply()[:3] for _ in range(4)] == ["250", "250", "354", "250"]
        assert client.is_closed()
        assert len(mx.world.kept) == 1
