"""All that is asked of one message while it comes in: who wrote it, and what is in it.

    Inspection.want()               at the first recipient that it matters for: SPF is asked
    Inspection.header(header, …)    when the header block is there
    Inspection.add(octets)          each piece of the message, the first one too
    Inspection.found(), scans()     at the end of data
    Inspection.abandon()            instead: refused, or the client has left

Scanners are asked after the cheap checks, and only when what was found by then does not refuse the
message by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mail.authentication.values import Authentication
from mail.envelope import Envelope
from mail.scanning import ScanResult
from smtp_edge.headers import ReceivedHeader
from smtp_edge.scanning.dialect import ScanRequest
from smtp_edge.scanning.scanners import Scan, Scanners
from smtp_edge.verification import NOBODY, NOTHING_ASKED, Check, Verifier


@dataclass(frozen=True, slots=True)
class Inspector:
    """What every inspection of this process asks."""

    verifier: Verifier = NOBODY
    scanners: Scanners | None = None

    def begin(self, envelope: Envelope) -> "Inspection":
        return Inspection(self, envelope)

    def close(self) -> None:
        """End what is under way."""
        self.verifier.close()


class Inspection:
    """One message."""

    __slots__ = ("_check", "_envelope", "_inspector", "_scan", "_to_skip", "is_wanted")

    def __init__(self, inspector: Inspector, envelope: Envelope) -> None:
        self._inspector = inspector
        self._envelope = envelope
        self._check: Check = NOTHING_ASKED
        self._scan: Scan | None = None
        self.is_wanted = False
        self._to_skip = 0

    def want(self) -> None:
        """Somebody is going to judge by it: begin to ask, while the client goes on to DATA."""
        if not self.is_wanted:
            self.is_wanted = True
            self._check = self._inspector.verifier.begin(self._envelope)

    def header(self, header: ReceivedHeader, recipients: Sequence[str], trace: bytes) -> None:
        """The header block is there and was not refused."""
        if not self.is_wanted:
            return
        self._check.header(header.fields)
        self._to_skip = header.octets
        scanners = self._inspector.scanners
        if scanners is not None and scanners.wanted:
            request = ScanRequest(self._envelope, tuple(recipients), trace=trace)
            self._scan = scanners.begin(request)

    async def add(self, octets: bytes) -> None:
        """The next octets, header block included; returns when they are hashed and kept."""
        if self._scan is not None:
            await self._scan.feed(octets)
        skipped = min(self._to_skip, len(octets))
        self._to_skip -= skipped
        self._check.body(octets[skipped:] if skipped else octets)

    async def found(self) -> Authentication | None:
        """Who sent and wrote it; None where nobody was asked."""
        return await self._check.found()

    async def scans(self) -> tuple[ScanResult, ...]:
        """What the scanners say; they are asked now."""
        return await self._scan.results() if self._scan is not None else ()

    def abandon(self) -> None:
        """The message is refused, or kept: nothing more is wanted. Any number of times."""
        if self._scan is not None:
            self._scan.abandon()


NO_INSPECTION: Final = Inspector()
