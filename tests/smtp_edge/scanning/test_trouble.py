"""Answers that are slow, broken, endless or lies: one message goes without, in bounded time."""

from __future__ import annotations

import asyncio
import time
import tracemalloc

import pytest
import uvloop

from mail.scanning import ScanOutcome
from smtp_edge.scanning.scanners import ScanSettings
from tests.smtp_edge.scanning.peers import (
    HEADER,
    http,
    listening,
    question,
    rspamd_says,
    says,
    scanned,
    spamd_says,
)


def flood(before: bytes, piece: bytes):
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await question(reader)
        writer.write(before)
        while True:
            writer.write(piece)
            await writer.drain()

    return answer


def drip(octets: bytes):
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await question(reader)
        for number in range(len(octets)):
            writer.write(octets[number : number + 1])
            await asyncio.sleep(0.05)

    return answer


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
WRONG = {
    "rspamd": {
        "nothing": says(b""),
        "no http": says(b"220 mail.example ESMTP\r\n\r\n"),
        "an error": says(http(b"{}", "403 Forbidden")),
        "no json": says(http(b"<html>")),
        "deep json": says(http(b"[" * 900_000)),
        "cut off": says(rspamd_says()[:-5]),
        "too long": says(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n"),
        "a length that is none": says(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
        "endless": flood(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65_536),
        "endless fields": flood(b"HTTP/1.1 200 OK\r\n", b"X: " + b"x" * 1000 + b"\r\n"),
        "endless chunks": flood(CHUNKED, b"1\r\nx\r\n" * 1000),
        "a chunk too long": says(CHUNKED + b"FFFFFF\r\n"),
        "slowly": drip(rspamd_says()),
        "hangs up at once": says(b"", reads=False),
    },
    "spamd": {
        "nothing": says(b""),
        "an error": says(b"SPAMD/1.1 75 EX_TEMPFAIL\r\n\r\n"),
        "another": says(b"HTTP/1.1 200 OK\r\n\r\n"),
        "no verdict": says(b"SPAMD/1.1 0 EX_OK\r\nContent-length: 0\r\n\r\n"),
        "too long": says(b"SPAMD/1.1 0 EX_OK\r\nContent-length: 99999999\r\n\r\n"),
        "endless": flood(b"SPAMD/1.1 0 EX_OK\r\n", b"X: y\r\n" * 1000),
        "slowly": drip(spamd_says("False ; 0 / 5")),
    },
    "clamd": {
        "nothing": says(b""),
        "an error": says(b"stream: Can't allocate memory ERROR\0"),
        "another": says(b"PONG\0"),
        "endless": flood(b"stream: ", b"x" * 65_536),
        "not ended": says(b"stream: OK"),
    },
}


@pytest.mark.parametrize(
    ("scanner", "answer"),
    [
        pytest.param(scanner, answer, id=f"{scanner}: {name}")
        for scanner, answers in WRONG.items()
        for name, answer in answers.items()
    ],
)
def test_an_answer_of_no_use_is_a_failure_in_time(scanner, answer):
    async def story():
        async with listening(answer) as peer:
            return await scanned(ScanSettings(**{scanner: (peer.address,)}, seconds=0.5))

    tracemalloc.start()
    began = time.monotonic()
    (result,) = uvloop.run(story())
    memory = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert result.outcome is ScanOutcome.FAILED
    assert result.reason.isprintable()
    assert result.reason
    assert time.monotonic() - began < 5
    assert memory < 20_000_000


def test_a_chunked_answer_of_a_proxy_reads_as_well():
    body = rspamd_says(score=3).partition(b"\r\n\r\n")[2]
    chunks = b"5;x=y\r\n" + body[:5] + b"\r\n%x\r\n" % len(body[5:]) + body[5:] + b"\r\n0\r\n\r\n"

    async def story():
        async with listening(says(CHUNKED + chunks)) as peer:
            return await scanned(ScanSettings(rspamd=(peer.address,)))

    assert uvloop.run(story())[0].score == 3


async def refuses_the_rest(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """As clamd does above StreamMaxLength: answers in the middle and reads no further."""
    await reader.readexactly(100_000)
    writer.write(b"INSTREAM size limit exceeded. ERROR\0")
    await writer.drain()
    writer.transport.pause_reading()
    await asyncio.sleep(5)


def test_clamd_that_takes_less_than_we_give_is_told_from_one_that_fails():
    async def story():
        async with listening(refuses_the_rest) as peer:
            settings = ScanSettings(clamd=(peer.address,), seconds=2.0)
            return await scanned(settings, HEADER + b"\r\n", *[b"x" * 262_144] * 36)

    (result,) = uvloop.run(story())

    assert result.outcome is ScanOutcome.SKIPPED
    assert "StreamMaxLength" in result.reason


def test_a_scanner_that_reads_nothing_costs_its_time_and_no_more():
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()
        await asyncio.sleep(5)

    async def story():
        async with listening(deaf) as peer:
            settings = ScanSettings(clamd=(peer.address,), seconds=0.4)
            return await scanned(settings, HEADER + b"\r\n", *[b"x" * 262_144] * 36)

    began = time.monotonic()
    (result,) = uvloop.run(story())

    assert result.outcome is ScanOutcome.FAILED
    assert time.monotonic() - began < 4, "it was waited for"
