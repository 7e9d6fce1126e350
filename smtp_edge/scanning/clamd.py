"""ClamAV's clamd: INSTREAM, the message in chunks with their length before them (clamd(8))."""

import asyncio
import re
import struct
from typing import Final

from mail.scanning import ScanOutcome, ScanResult
from smtp_edge.scanning.dialect import ScanRequest, Unusable, fit_names

# With ExtendedDetectionInfo (Debian) the name is followed by hash and size: Eicar(44d8…:68).
_FOUND: Final = re.compile(
    r"(?:stream|instream\([^)]*\)): (\S+?)(?:\([0-9a-f]{32,64}:\d+\))? FOUND", re.IGNORECASE
)
_CLEAN: Final = re.compile(r"(?:stream|instream\([^)]*\)): OK", re.IGNORECASE)


class Clamd:
    """The protocol with NUL-ended commands; `most_under_way` stays below its MaxThreads."""

    name = "clamd"
    most_under_way = 10
    most_octets = None

    def opening(self, request: ScanRequest, size_octets: int) -> bytes:
        return b"zINSTREAM\0"

    def framed(self, octets: bytes) -> bytes:
        # A chunk of no octets would end the stream.
        return struct.pack("!L", len(octets)) + octets if octets else b""

    def ending(self) -> bytes:
        return bytes(4)

    async def answer(self, reader: asyncio.StreamReader) -> ScanResult:
        line = await reader.readuntil(b"\0")
        return read_verdict(line[:-1].decode("utf-8", "replace").strip())


def read_verdict(line: str) -> ScanResult:
    """`stream: OK`, `stream: NAME FOUND` or `… ERROR`. Raises `Unusable`."""
    if _CLEAN.fullmatch(line):
        return ScanResult(Clamd.name, ScanOutcome.CLEAN)
    found = _FOUND.fullmatch(line)
    if found:
        return ScanResult(Clamd.name, ScanOutcome.VIRUS, names=fit_names([found[1]]))
    if line.startswith("INSTREAM size limit exceeded"):
        reason = "larger than clamd takes (StreamMaxLength)"
        return ScanResult(Clamd.name, ScanOutcome.SKIPPED, reason=reason)
    raise Unusable("says that it could not scan" if line.endswith("ERROR") else "makes no sense")
