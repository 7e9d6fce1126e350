"""All that is asked of one message while it comes in: who wrote it, and what is in it.

    Inspection.want()               at the first recipient that it matters for: SPF is asked
    Inspection.header(header, …)    when the header block is there
    Inspection.add(octets)          each piece of the message, the first one too
    Inspection.found(), contents()  at the end of data
    Inspection.abandon()            instead: refused, or the client has left

Scanners and an installation's own checks are asked after the cheap ones, and only when what was
found by then does not refuse the message by itself.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from django.conf import settings

from mail.authentication.values import Authentication
from mail.envelope import Envelope
from mail.extension import CheckFacts, CheckResult
from mail.policy.trust_rules import Rule
from mail.scanning import ScanResult
from smtp_edge import metrics
from smtp_edge.extensions import Extensions
from smtp_edge.headers import ReceivedHeader
from smtp_edge.scanning.dialect import ScanRequest
from smtp_edge.scanning.scanners import Scan, Scanners, ScanSettings
from smtp_edge.verification import NOBODY, NOTHING_ASKED, Check, DnsVerifier, Verifier

NO_EXTENSIONS: Final = Extensions()


@dataclass(frozen=True, slots=True)
class Contents:
    """What was found in a message."""

    scans: tuple[ScanResult, ...] = ()
    checks: tuple[CheckResult, ...] = ()


@dataclass(frozen=True, slots=True)
class Inspector:
    """What every inspection of this process asks."""

    verifier: Verifier = NOBODY
    scanners: Scanners | None = None
    extensions: Extensions = NO_EXTENSIONS

    @property
    def looks_inside(self) -> bool:
        """Whether anybody wants to see what is in a message."""
        return self.extensions.wanted or (self.scanners is not None and self.scanners.wanted)

    def begin(self, envelope: Envelope) -> "Inspection":
        return Inspection(self, envelope)

    @classmethod
    def from_settings(cls) -> "Inspector":
        """As the operator chose. Raises `SettingError` for checks that cannot be loaded."""
        env = settings.ENV
        wanted = ScanSettings(
            rspamd=env.rspamd,
            spamd=env.spamd,
            clamd=env.clamd,
            seconds=float(env.scan_seconds),
            most_octets=env.scan_max_octets,
            rspamd_password=env.rspamd_password,
            folder=env.data_dir,
        )
        return cls(
            DnsVerifier.from_settings(),
            Scanners.of(wanted),
            Extensions.of(env.checks, env.rules),
        )

    def close(self) -> None:
        """End what is under way."""
        self.verifier.close()


class Inspection:
    """One message."""

    __slots__ = (
        *("_check", "_envelope", "_header", "_inspector", "_opening", "_recipients"),
        *("_scan", "_to_skip", "is_wanted"),
    )

    def __init__(self, inspector: Inspector, envelope: Envelope) -> None:
        self._inspector = inspector
        self._envelope = envelope
        self._check: Check = NOTHING_ASKED
        self._scan: Scan | None = None
        self.is_wanted = False
        self._to_skip = 0
        self._header: ReceivedHeader | None = None
        self._recipients: tuple[str, ...] = ()
        self._opening = b""

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
        self._header, self._recipients = header, tuple(recipients)
        scanners = self._inspector.scanners
        if scanners is not None and scanners.wanted:
            request = ScanRequest(self._envelope, self._recipients, trace=trace)
            self._scan = scanners.begin(request)

    async def add(self, octets: bytes) -> None:
        """The next octets, header block included; returns when they are hashed and kept."""
        if self._scan is not None:
            await self._scan.feed(octets)
        self._opening = self._opening or octets
        skipped = min(self._to_skip, len(octets))
        self._to_skip -= skipped
        self._check.body(octets[skipped:] if skipped else octets)

    async def found(self) -> Authentication | None:
        """Who sent and wrote it; None where nobody was asked."""
        began = time.perf_counter()
        found = await self._check.found()
        if self.is_wanted and self._check is not NOTHING_ASKED:
            metrics.VERIFY_SECONDS.observe(time.perf_counter() - began)
            metrics.VERIFIED.labels(found.dmarc.result.value if found else "unasked").inc()
        return found

    @property
    def looks_inside(self) -> bool:
        return self._inspector.looks_inside

    @property
    def own_rules(self) -> tuple[Rule, ...]:
        """Those of the installation."""
        return self._inspector.extensions.rules

    async def contents(self, found: Authentication | None) -> Contents:
        """What scanners and the installation's checks say; they are asked now."""
        name = found.client_name.name if found is not None else ""
        scans = await self._scan.results(name) if self._scan is not None else ()
        extensions = self._inspector.extensions
        if not extensions.wanted or self._header is None:
            return Contents(scans)
        fields = tuple(self._header.fields)
        facts = CheckFacts(self._envelope, self._recipients, fields, found, scans)
        return Contents(scans, await extensions.ask(facts, self._opening))

    def abandon(self) -> None:
        """The message is refused, or kept: nothing more is wanted. Any number of times."""
        if self._scan is not None:
            self._scan.abandon()


NO_INSPECTION: Final = Inspector()
