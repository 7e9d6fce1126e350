"""SpamAssassin's spamd: SYMBOLS in SPAMC/1.5 (spamd/PROTOCOL in its sources).

Before the message go our Received field, from which SpamAssassin reads who the client is, and
X-Envelope-From, from which it reads the reverse-path.
"""

import asyncio
import re
from typing import Final

from mail.scanning import ScanOutcome, ScanResult
from smtp_edge.scanning.dialect import (
    MOST_ANSWER_OCTETS,
    ScanRequest,
    Unusable,
    fit_names,
    fit_score,
    one_line,
)

_STATUS: Final = re.compile(rb"SPAMD/\d+\.\d+ (\d{1,3}) ([\x20-\x7e]{0,60})", re.ASCII)
_SPAM: Final = re.compile(
    rb"spam: *(true|false|yes|no) *; *(-?\d{1,9}(?:\.\d{1,9})?) */ *(-?\d{1,9}(?:\.\d{1,9})?)",
    re.IGNORECASE | re.ASCII,
)
_LENGTH: Final = re.compile(rb"content-length: *(\d{1,8})", re.IGNORECASE | re.ASCII)


class Spamd:
    """`most_under_way` is its --max-children as Debian sets it: more would only queue there."""

    name = "spamd"
    most_under_way = 5
    most_octets = 512 * 1024
    """As spamc does (-s): SpamAssassin's time grows with the size, spam is seldom large."""

    def opening(self, request: ScanRequest, size_octets: int) -> bytes:
        before = self._before_message(request)
        size = size_octets + len(before)
        return f"SYMBOLS SPAMC/1.5\r\nContent-length: {size}\r\n\r\n".encode() + before

    def _before_message(self, request: ScanRequest) -> bytes:
        path = one_line(request.envelope.reverse_path)
        return b"X-Envelope-From: <" + path + b">\r\n" + request.trace

    def framed(self, octets: bytes) -> bytes:
        return octets

    def ending(self) -> bytes:
        return b""

    async def answer(self, reader: asyncio.StreamReader) -> ScanResult:
        status = await reader.readuntil(b"\r\n")
        _must_be_ok(status[:-2])
        head = await reader.readuntil(b"\r\n\r\n")
        return read_verdict(head, await _body(head, reader))


def _must_be_ok(line: bytes) -> None:
    status = _STATUS.fullmatch(line)
    if status is None:
        raise Unusable("makes no sense")
    if int(status[1]) != 0:
        raise Unusable(f"answers {status[1].decode()} {status[2].decode()}".strip())


async def _body(head: bytes, reader: asyncio.StreamReader) -> bytes:
    lengths = [found[1] for line in head.split(b"\r\n") if (found := _LENGTH.fullmatch(line))]
    if not lengths:
        return b""
    if int(lengths[0]) > MOST_ANSWER_OCTETS:
        raise Unusable("its answer is too long")
    return await reader.readexactly(int(lengths[0]))


def read_verdict(head: bytes, body: bytes) -> ScanResult:
    """Of the answer's fields and the list of rules after them. Raises `Unusable`."""
    for line in head.split(b"\r\n"):
        found = _SPAM.fullmatch(line.strip())
        if found:
            is_spam = found[1].lower() in (b"true", b"yes")
            return ScanResult(
                Spamd.name,
                ScanOutcome.SPAM if is_spam else ScanOutcome.CLEAN,
                score=fit_score(float(found[2])),
                threshold=fit_score(float(found[3])),
                names=_rules(body),
            )
    raise Unusable("makes no sense")


def _rules(body: bytes) -> tuple[str, ...]:
    names = body[:16_384].decode("ascii", "replace").replace("\r\n", ",").split(",")
    return fit_names([name.strip() for name in names if name.strip()])
