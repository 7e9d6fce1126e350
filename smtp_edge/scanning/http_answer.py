"""Reads an HTTP/1.1 answer, bounded: what rspamd sends, or a proxy before it (RFC 9112)."""

import asyncio
import re
from typing import Final

from smtp_edge.scanning.dialect import MOST_ANSWER_OCTETS, Unusable

_STATUS: Final = re.compile(rb"HTTP/1\.[01] (\d{3})(?: [^\r\n]*)?", re.ASCII)
_MOST_CHUNKS: Final = 4096
_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,6})(?:[ \t]*;[^\r\n]*)?", re.ASCII)


async def read_body(reader: asyncio.StreamReader) -> bytes:
    """The body of an answer 200. Raises `Unusable`, also for every other answer."""
    status, fields = _head(await reader.readuntil(b"\r\n\r\n"))
    if status != 200:
        raise Unusable(f"answers HTTP {status}")
    if fields.get(b"transfer-encoding", b"").lower() == b"chunked":
        return await _chunks(reader)
    if b"content-length" in fields:
        return await reader.readexactly(_length(fields[b"content-length"]))
    return await _rest(reader)


def _head(block: bytes) -> tuple[int, dict[bytes, bytes]]:
    first, *lines = block[:-4].split(b"\r\n")
    status = _STATUS.fullmatch(first)
    if status is None:
        raise Unusable("does not speak HTTP")
    pairs = (line.partition(b":") for line in lines)
    return int(status[1]), {name.strip().lower(): value.strip() for name, _, value in pairs}


def _length(text: bytes) -> int:
    if not (text.isdigit() and len(text) < 9) or int(text) > MOST_ANSWER_OCTETS:
        raise Unusable("its answer is too long")
    return int(text)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    parts: list[bytes] = []
    total = 0
    while True:
        found = _CHUNK.fullmatch((await reader.readuntil(b"\r\n"))[:-2])
        size = int(found[1], 16) if found else -1
        total += size
        if size < 0 or total > MOST_ANSWER_OCTETS or len(parts) > _MOST_CHUNKS:
            raise Unusable("its answer is too long or no HTTP")
        if size == 0:
            return b"".join(parts)
        parts.append((await reader.readexactly(size + 2))[:-2])


async def _rest(reader: asyncio.StreamReader) -> bytes:
    parts: list[bytes] = []
    total = 0
    while octets := await reader.read(65_536):
        parts.append(octets)
        total += len(octets)
        if total > MOST_ANSWER_OCTETS:
            raise Unusable("its answer is too long")
    return b"".join(parts)
