"""Scanners that answer as the test says, or misbehave, and the few words that tests need."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from uuid import UUID

from mail.envelope import Client, Envelope
from mail.scanning import ScanResult
from mxax.setting_values import HostPort
from smtp_edge.scanning.dialect import ScanRequest
from smtp_edge.scanning.scanners import Scan, Scanners, ScanSettings

ENVELOPE = Envelope(
    trace_id=UUID("019ba4a5-0000-7000-8000-000000000001"),
    client=Client("192.0.2.7", 2525, "mail.ada.example", "ESMTP"),
    reverse_path="ada@ada.example",
)
TRACE = (
    b"Received: from mail.ada.example\r\n\t(mail.ada.example [192.0.2.7])\r\n"
    b"\tby mx.test with ESMTP;\r\n\tMon, 05 Jan 2026 10:00:00 +0000\r\n"
)
REQUEST = ScanRequest(ENVELOPE, ("ben@ben.example",), "mail.ada.example", TRACE)
HEADER = b"From: Ada <ada@ada.example>\r\nTo: ben@ben.example\r\nSubject: Hello\r\n"
MESSAGE = HEADER + b"\r\nHow are you?\r\n"

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Peer:
    """A server on the loopback: `answer` says what happens to each connection."""

    answer: Answer
    address: HostPort = field(default_factory=lambda: HostPort("127.0.0.1", 1))
    connections: int = 0
    most_at_once: int = 0
    open_now: int = 0
    heard: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open_now += 1
        self.most_at_once = max(self.most_at_once, self.open_now)
        try:
            await self.answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open_now -= 1
            writer.close()


@contextlib.asynccontextmanager
async def listening(answer: Answer, port: int = 0) -> AsyncIterator[Peer]:
    peer = Peer(answer)
    server = await asyncio.start_server(peer.serve, "127.0.0.1", port)
    peer.address = HostPort(*server.sockets[0].getsockname()[:2])
    try:
        yield peer
    finally:
        server.close()


def says(octets: bytes, *, after: float = 0.0, reads: bool = True) -> Answer:
    """Answers with these octets, `after` seconds, when it has read the question."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if reads:
            await question(reader)
        await asyncio.sleep(after)
        writer.write(octets)
        await writer.drain()

    return answer


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def question(reader: asyncio.StreamReader) -> bytes:
    """One whole question in any of the three protocols, as its server reads it."""
    first = await reader.readexactly(1)
    if first == b"z":
        return await _stream(first + await reader.readuntil(b"\0"), reader)
    head = first + await reader.readuntil(b"\r\n\r\n")
    lengths = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    return head + await reader.readexactly(int(lengths[0].split(b":")[1]))


async def _stream(heard: bytes, reader: asyncio.StreamReader) -> bytes:
    parts = [heard]
    while size := int.from_bytes(await reader.readexactly(4), "big"):
        parts.append(await reader.readexactly(size))
    return b"".join(parts)


def rspamd_says(**answer: object) -> bytes:
    whole = {"action": "no action", "score": 1.0, "required_score": 15.0, "symbols": {}} | answer
    return http(json.dumps(whole).encode())


def http(body: bytes, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\nServer: rspamd/3.4\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def spamd_says(verdict: str, rules: str = "") -> bytes:
    return (
        f"SPAMD/1.1 0 EX_OK\r\nContent-length: {len(rules)}\r\nSpam: {verdict}\r\n\r\n{rules}"
    ).encode()


CLAMD_OK = b"stream: OK\0"


async def scanned(
    settings: ScanSettings, *pieces: bytes, request: ScanRequest = REQUEST
) -> tuple[ScanResult, ...]:
    """The results of one message, their seconds left out."""
    return await scanned_by(Scanners.of(settings), *pieces, request=request)


async def scanned_by(
    scanners: Scanners, *pieces: bytes, request: ScanRequest = REQUEST
) -> tuple[ScanResult, ...]:
    scan = await fed(scanners, *pieces, request=request)
    return tuple(replace(one, seconds=0.0) for one in await scan.results())


async def fed(scanners: Scanners, *pieces: bytes, request: ScanRequest = REQUEST) -> Scan:
    scan = scanners.begin(request)
    for octets in pieces or (MESSAGE,):
        await scan.feed(octets)
    return scan
