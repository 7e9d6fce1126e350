"""B16, B17 with verification on: what is made to be read slowly costs less than a second of CPU.

Through a real listener, where a header block above 100 kB is refused unread; and past it, by the
same readers, with the whole megabyte.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Iterator
from functools import partial

import pytest

from mail.address import Address
from mail.envelope import Client, Envelope
from mail.errors import TooManyAuthors
from mail.message import authors, header_fields
from mail.trace import new_trace_id
from smtp_edge.verification import DnsVerifier
from tests.fuzzing.dialogue import LIMITS, Remembering
from tests.fuzzing.parsers import RECORDS, Names
from tests.smtp_edge.listening import Mx, listening
from tests.timing import within_cpu

MEGABYTE = 1_000_000
FITS = 99_000
FIELDS = (
    *("From", "To", "Sender", "Received", "Authentication-Results"),
    *("DKIM-Signature", "ARC-Seal", "ARC-Message-Signature", "ARC-Authentication-Results"),
)
PIECES = {
    "open comments": b"(",
    "quotes": b'"',
    "angles": b"<",
    "semicolons": b";",
    "equals": b"=",
    "backslashes": b"\\",
    "commas": b",",
    "dots": b".",
    "colons": b":",
    "spaces": b" \t",
    "folds": b"\r\n ",
    "comments": b"()",
    "quoted": b'"" ',
    "encoded words": b"=?utf-8?q?a=40b.example?= ",
    "half encoded words": b"=?utf-8?q?",
    "addresses": b"a@b.example, ",
    "bracketed": b"<a@b.example>",
    "routes": b"<@b.example:",
    "groups": b"g:a@b.example;",
    "names": b"from:to:",
    "tags": b"a=b; ",
    "instances": b"i=1; ",
    "methods": b"dkim=pass header.d=x ",
    "base64": b"QUJD",
    "eight bit": b"\xff\xfe",
    "soft hyphens": "\u00ad".encode(),
}
STARTS = {
    "From": b"",
    "DKIM-Signature": b"v=1; a=rsa-sha256; c=relaxed/relaxed; d=a.example; s=s; h=from; bh=QUJD; b=QUJD; ",
    "ARC-Seal": b"i=1; a=rsa-sha256; cv=none; d=a.example; s=s; b=QUJD; ",
    "ARC-Message-Signature": b"i=1; a=rsa-sha256; d=a.example; s=s; h=from; bh=QUJD; b=QUJD; ",
    "ARC-Authentication-Results": b"i=1; a.example; ",
    "Authentication-Results": b"mxax.test; ",
}
CHAIN = (
    b"ARC-Seal: i=1; a=rsa-sha256; cv=none; d=a.example; s=s; b=QUJD\r\n"
    b"ARC-Message-Signature: i=1; a=rsa-sha256; d=a.example; s=s; h=from; bh=QUJD; b=QUJD\r\n"
    b"ARC-Authentication-Results: i=1; a.example; dmarc=pass header.from=a.example\r\n"
)


def hostile(name: str, piece: bytes, octets: int) -> bytes:
    """One field of this size, and what makes a whole message of it."""
    start = name.encode() + b": " + STARTS.get(name, b"")
    field = start + piece * ((octets - len(start)) // len(piece)) + b"\r\n"
    chain = CHAIN if name.startswith("ARC") or name == "From" else b""
    rest = b"\r\n".join(one for one in chain.split(b"\r\n") if not one.startswith(name.encode()))
    author = b"" if name == "From" else b"From: carol@author.example\r\n"
    return field + rest + author + b"Subject: x\r\n"


@pytest.fixture(scope="module")
def mx() -> Iterator[Mx]:
    world = Remembering()
    with listening(world, limits=LIMITS, loop_factory=world.new_loop) as one:
        yield one


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_that_just_fits_is_judged_in_less_than_a_second(mx, name):
    for kind, piece in PIECES.items():
        letter = hostile(name, piece, FITS - 600) + b"\r\nHello.\r\n"
        client = mx.connect()

        reply = within_cpu(partial(client.deliver, letter, "hi@example.org"), seconds=1)

        client.close()
        assert reply[:3] in ("250", "550", "451", "554"), (kind, reply)
    assert mx.world.unexpected == []


@pytest.mark.parametrize("name", FIELDS)
def test_a_megabyte_of_it_is_refused_unread(mx, name):
    client = mx.connect()
    assert LIMITS.message_octets > 300_000
    letter = hostile(name, b"(", 300_000) + b"\r\nHello.\r\n"

    reply = within_cpu(lambda: client.deliver(letter, "hi@example.org"), seconds=1)

    assert reply.startswith("552 5.3.4")


@pytest.mark.parametrize("name", FIELDS)
def test_past_the_limit_the_readers_bear_a_megabyte_as_well(name):
    for piece in PIECES.values():
        read = partial(verified, hostile(name, piece, MEGABYTE))

        within_cpu(lambda read=read: asyncio.run(read()), seconds=1)


async def verified(block: bytes) -> None:
    """What the edge does between the header block and the verdict."""
    fields = header_fields(block)
    try:
        authors(fields)
    except TooManyAuthors:
        return
    verifier = DnsVerifier(Names(RECORDS), receiver="mx.test")
    client = Client("192.0.2.7", 25, "mail.author.example", "ESMTP")
    path = str(Address("carol", "author.example"))
    check = verifier.begin(Envelope(new_trace_id(0, bytes(10)), client, path))
    check.header(fields)
    check.body(b"Hello.\r\n")
    assert await check.found() is not None
    verifier.close()


# B16: MIME that is made to be unpacked


def nested(depth: int) -> bytes:
    head = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n)
        for n in range(depth)
    )
    return head + b"Content-Type: text/plain\r\n\r\nx\r\n"


BODIES = {
    "a thousand deep": nested(1_000),
    "100,000 parts": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 100_000,
    "a boundary of 10 kB": b"Content-Type: multipart/mixed; boundary=" + b"b" * 10_000 + b"\r\n\r\n"
    + (b"--" + b"b" * 800 + b"\r\n") * 1_000,
    "messages in messages": b"Content-Type: message/rfc822\r\n\r\n" * 20_000,
    "a bomb": b"Content-Type: application/zip\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + (b"UEsDBBQAAAAIAA" * 5 + b"\r\n") * 14_000,
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_nothing_is_unpacked(name):
    world = Remembering()
    letter = b"From: carol@author.example\r\nMIME-Version: 1.0\r\n" + BODIES[name]
    signed = b"DKIM-Signature: " + STARTS["DKIM-Signature"] + b"x=\r\n" + letter
    with listening(world, loop_factory=world.new_loop) as mx:
        client = mx.connect()
        before = resource.getrusage(resource.RUSAGE_SELF)

        reply = within_cpu(lambda: client.deliver(signed, "hi@example.org"), seconds=2)

        after = resource.getrusage(resource.RUSAGE_SELF)
    assert reply.startswith(("250", "550 5.6.0")), reply
    assert after.ru_maxrss - before.ru_maxrss < 200_000, "kilobytes"
