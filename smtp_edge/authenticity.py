"""Whether a reverse-path is the client's own to use: asked at the first RCPT, wanted at the end.

    Transaction.recipient  ->  check(envelope)     starts; the client goes on to DATA meanwhile
    Transaction.receive    ->  await passed()      waits a second at most

The answer decides one thing only: whether the author may be told when delivery fails later (DESIGN
9). So nothing is ever refused for it, what is not known in time counts as "no", and DNS that does
not answer costs nothing: when three have waited in vain nobody waits any more, and four checks a
second are made until one is answered.

Verdicts are kept for five minutes by client and domain; clients of one mind share one check.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import structlog
from dns.exception import DNSException

from delivery.lookups import resolver_from_settings
from delivery.lookups.cache import TimedCache
from delivery.spf import SpfCheck, SpfChecker, SpfResult
from mail.envelope import Envelope

WAIT_SECONDS: Final = 1.0
_KEPT_SECONDS: Final = 300.0
_CHECK_SECONDS: Final = 5.0
_MAX_UNDER_WAY: Final = 50
_SECONDS_BETWEEN_TRIES: Final = 0.25
_SILENT_SECONDS: Final = 15.0
_WAITED_IN_VAIN: Final = 3
_ENTRY_OCTETS: Final = 200
_Key = tuple[str, str]

log = structlog.get_logger()


class PathCheck(Protocol):
    async def passed(self) -> bool:
        """Whether SPF passed for the reverse-path; False when it is not known in time."""


class Authenticity(Protocol):
    def check(self, envelope: Envelope) -> PathCheck:
        """Begin to ask; never waits, never fails."""


@dataclass(frozen=True, slots=True)
class Known:
    """A check that is over."""

    result: bool

    async def passed(self) -> bool:
        return self.result


class _Nobody:
    """Where nobody can be asked: no reverse-path is taken for authentic."""

    def check(self, envelope: Envelope) -> PathCheck:
        return Known(False)

    def close(self) -> None:
        return None


NOBODY: Final = _Nobody()


@dataclass(frozen=True, slots=True)
class _Running:
    """A check under way, perhaps for several transactions."""

    task: "asyncio.Task[bool]"
    seconds: float
    in_vain: Callable[[], None]

    async def passed(self) -> bool:
        if not self.task.done() and self.seconds > 0:
            await asyncio.wait((self.task,), timeout=self.seconds)
            if not self.task.done():
                self.in_vain()
        return self.task.done() and not self.task.cancelled() and self.task.result()


class SpfAuthenticity:
    """SPF (RFC 7208) for one event loop."""

    def __init__(self, checker: SpfChecker, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._checker = checker
        self._verdicts: TimedCache[_Key, bool] = TimedCache(
            max_entries=20_000, max_octets=20_000 * _ENTRY_OCTETS, clock=clock
        )
        self._under_way: dict[_Key, asyncio.Task[bool]] = {}
        self._clock = clock
        self._silent = 0
        self._next_try_at = 0.0

    @classmethod
    def from_settings(cls) -> "SpfAuthenticity | _Nobody":
        """Over MXAX_DNS_SERVERS or the system's; a machine without any has nobody to ask."""
        try:
            return cls(SpfChecker(resolver_from_settings(), max_seconds=_CHECK_SECONDS))
        except (DNSException, OSError) as error:
            log.warning("edge.no_resolver", error=str(error))
            return NOBODY

    def check(self, envelope: Envelope) -> PathCheck:
        domain = envelope.reverse_path.rpartition("@")[2].lower()
        key = envelope.client.ip, domain
        known = self._verdicts.get(key)
        if known is not None:
            return Known(known)
        task = self._under_way.get(key)
        if task is None:
            if not self._may_begin():
                return Known(False)
            task = self._begin(key, envelope)
        return _Running(task, 0.0 if self._is_deaf else WAIT_SECONDS, self._wait_in_vain)

    def _may_begin(self) -> bool:
        if len(self._under_way) >= _MAX_UNDER_WAY:
            return False
        if self._is_deaf:
            now = self._clock()
            if now < self._next_try_at:
                return False
            self._next_try_at = now + _SECONDS_BETWEEN_TRIES
        return True

    def _wait_in_vain(self) -> None:
        self._silent += 1

    @property
    def _is_deaf(self) -> bool:
        """Nobody answers: the few checks that are made find out when that changes."""
        return self._silent >= _WAITED_IN_VAIN

    def _begin(self, key: _Key, envelope: Envelope) -> "asyncio.Task[bool]":
        task = asyncio.get_running_loop().create_task(self._ask(key, envelope))
        self._under_way[key] = task
        task.add_done_callback(lambda _: self._under_way.pop(key, None))
        return task

    async def _ask(self, key: _Key, envelope: Envelope) -> bool:
        client = envelope.client
        try:
            check = await self._checker.check_identity(
                client_ip=client.ip, helo=client.helo, reverse_path=envelope.reverse_path
            )
        except Exception:  # whatever a stranger's record does: it is no pass
            log.exception("edge.spf_failed")
            check = SpfCheck(SpfResult.PERMERROR, key[1])
        if check.result is SpfResult.TEMPERROR:
            self._silent += 1
            self._verdicts.put(key, False, seconds=_SILENT_SECONDS, octets=_ENTRY_OCTETS)
            return False
        self._silent = 0
        passed = check.result is SpfResult.PASS
        self._verdicts.put(key, passed, seconds=_KEPT_SECONDS, octets=_ENTRY_OCTETS)
        return passed

    def close(self) -> None:
        """End what is under way."""
        for task in list(self._under_way.values()):
            task.cancel()
        self._checker.close()
