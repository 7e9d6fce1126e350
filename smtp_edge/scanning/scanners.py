"""The scanners of one edge process, and the scan of one message by all of them."""

import asyncio
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import structlog

from mail.scanning import ScanOutcome, ScanResult
from smtp_edge.scanning import metrics
from smtp_edge.scanning.clamd import Clamd
from smtp_edge.scanning.cluster import Address, Cluster, Patience
from smtp_edge.scanning.dialect import Dialect, ScanRequest
from smtp_edge.scanning.rspamd import Rspamd
from smtp_edge.scanning.spamd import Spamd
from smtp_edge.scanning.spool import IN_MEMORY_OCTETS, Spool, SpoolLost

log = structlog.get_logger()

DEFAULT_OCTETS: Final = 10_000_000
_MOST_SPOOLED_OCTETS: Final = 2 * 1024**3


@dataclass(frozen=True, slots=True)
class ScanSettings:
    """What the operator chose; a scanner without addresses is not asked.

    `folder` is where the octets of large messages wait, sealed; None: the system's for such files.
    """

    rspamd: tuple[Address, ...] = ()
    spamd: tuple[Address, ...] = ()
    clamd: tuple[Address, ...] = ()
    seconds: float = 10.0
    most_octets: int = DEFAULT_OCTETS
    rspamd_password: str = ""
    folder: Path | None = None


class Scanners:
    """Made inside the running loop, once a process."""

    def __init__(self, clusters: tuple[Cluster, ...], settings: ScanSettings) -> None:
        self.clusters = clusters
        self.settings = settings
        self.spooled_octets = 0

    @classmethod
    def of(cls, settings: ScanSettings) -> "Scanners":
        chosen: tuple[tuple[Dialect, tuple[Address, ...]], ...] = (
            (Rspamd(settings.rspamd_password), settings.rspamd),
            (Spamd(), settings.spamd),
            (Clamd(), settings.clamd),
        )
        patience = Patience(connect=min(2.0, settings.seconds), whole=settings.seconds)
        clusters = tuple(
            Cluster(dialect, addresses, patience, time.monotonic)
            for dialect, addresses in chosen
            if addresses
        )
        return cls(clusters, settings)

    @property
    def wanted(self) -> bool:
        """Whether there is any scanner to ask."""
        return bool(self.clusters)

    def begin(self, request: ScanRequest) -> "Scan":
        """A scan of the message that begins; asks nobody yet."""
        return Scan(self, request)

    def has_room(self, octets: int) -> bool:
        return self.spooled_octets + octets <= _MOST_SPOOLED_OCTETS


class Scan:
    """One message before all scanners."""

    __slots__ = ("_fault", "_request", "_results", "_scanners", "_size", "_spool", "_spooled")

    def __init__(self, scanners: Scanners, request: ScanRequest) -> None:
        self._scanners = scanners
        self._request = request
        self._spool: Spool | None = Spool(scanners.settings.folder) if scanners.wanted else None
        self._spooled = 0
        self._size = 0
        self._fault = ""
        self._results: tuple[ScanResult, ...] | None = None

    async def feed(self, octets: bytes) -> None:
        """The next octets. Returns when they are kept: no scanner is waited for."""
        self._size += len(octets)
        if self._spool is None:
            return
        if self._size > self._most_wanted():
            self.abandon()
            return
        try:
            self._count(len(octets))
            await self._spool.add(octets)
        except OSError as error:
            log.warning("scan.no_room", error=error.strerror or str(error))
            self._fault = "the message could not be kept for the scanners"
            self.abandon()

    def _most_wanted(self) -> int:
        """Above this size no scanner is going to be asked."""
        return max(self._limit(cluster) for cluster in self._scanners.clusters)

    def _limit(self, cluster: Cluster) -> int:
        most = self._scanners.settings.most_octets
        return most if cluster.most_octets is None else min(most, cluster.most_octets)

    def _count(self, octets: int) -> None:
        """Raises `OSError` when too much of all sessions together waits on the disk."""
        if self._size <= IN_MEMORY_OCTETS:
            return
        if not self._scanners.has_room(octets):
            raise OSError("too much waits for the scanners")
        self._spooled += octets
        self._scanners.spooled_octets += octets

    async def results(self, client_name: str = "") -> tuple[ScanResult, ...]:
        """One word of each scanner, in the order rspamd, spamd, clamd; no more may be fed.

        `client_name` is the verified reverse name, where it was not known at the beginning.
        """
        if client_name:
            self._request = replace(self._request, client_name=client_name)
        if self._results is None:
            try:
                asked = (self._judged(cluster) for cluster in self._scanners.clusters)
                self._results = tuple(await asyncio.gather(*asked))
            finally:
                self.abandon()
        return self._results

    async def _judged(self, cluster: Cluster) -> ScanResult:
        began = time.perf_counter()
        result = await self._asked(cluster)
        seconds = time.perf_counter() - began
        metrics.SCANS.labels(cluster.name, result.outcome.value).inc()
        metrics.SECONDS.labels(cluster.name).observe(seconds)
        return replace(result, seconds=round(seconds, 4))

    async def _asked(self, cluster: Cluster) -> ScanResult:
        limit = self._limit(cluster)
        if self._size > limit:
            reason = f"larger than {limit} octets"
            return ScanResult(cluster.name, ScanOutcome.SKIPPED, reason=reason)
        if self._spool is None:
            reason = self._fault or "the scan was ended"
            return ScanResult(cluster.name, ScanOutcome.FAILED, reason=reason)
        try:
            return await cluster.scan(self._request, self._spool)
        except SpoolLost as error:
            log.warning("scan.spool_lost", error=str(error))
            reason = "the message could not be read back for the scanner"
            return ScanResult(cluster.name, ScanOutcome.FAILED, reason=reason)
        except Exception as error:  # a fault of ours must not lose the message
            log.exception("scan.fault", scanner=cluster.name)
            return ScanResult(cluster.name, ScanOutcome.FAILED, reason=type(error).__name__)

    def abandon(self) -> None:
        """Forget the octets; what is under way ends with the task that waits for it."""
        spool, self._spool = self._spool, None
        self._scanners.spooled_octets -= self._spooled
        self._spooled = 0
        if spool is not None:
            spool.close()
