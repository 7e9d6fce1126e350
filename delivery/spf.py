"""SPF (RFC 7208): may this client use this reverse-path?

pyspf evaluates the records, in a thread of a small pool because it is synchronous; every question
it asks goes to our resolver on the event loop (`_Query.dns`). Ten terms with look-ups, two void
ones and 20 seconds in all are the limits (4.6.4), the time that a check waits for a thread
included. A resolver that is down makes temperror, never an exception.
"""

import asyncio
import concurrent.futures
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import spf

from delivery.lookups import Answer, Lookup, Outcome

MAX_SECONDS: Final = 20.0
_THREADS: Final = 16
_MAX_EXPLANATION: Final = 400


class SpfResult(Enum):
    """RFC 7208, 2.6."""

    NONE = "none"
    NEUTRAL = "neutral"
    PASS = "pass"  # noqa: S105 - a result, no password
    FAIL = "fail"
    SOFTFAIL = "softfail"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


@dataclass(frozen=True, slots=True)
class SpfCheck:
    """One identity checked. `explanation` is the domain owner's text: never shown unescaped."""

    result: SpfResult
    domain: str
    explanation: str = ""


@dataclass(frozen=True, slots=True)
class SpfVerdict:
    """Both identities; for the null reverse-path `mail_from` is that of the HELO name (2.4)."""

    helo: SpfCheck
    mail_from: SpfCheck

    @property
    def passed(self) -> bool:
        """Whether the reverse-path was shown to be the client's to use."""
        return self.mail_from.result is SpfResult.PASS


class SpfChecker:
    """Checks for one event loop; `close` ends its threads."""

    def __init__(self, lookup: Lookup, *, max_seconds: float = MAX_SECONDS) -> None:
        self._lookup, self._max_seconds = lookup, max_seconds
        self._threads = concurrent.futures.ThreadPoolExecutor(_THREADS, "spf")

    async def check(self, *, client_ip: str, helo: str, reverse_path: str) -> SpfVerdict:
        """The verdict on HELO and MAIL FROM of one transaction."""
        about_helo = self.check_identity(client_ip=client_ip, helo=helo, reverse_path="")
        if not reverse_path:
            check = await about_helo
            return SpfVerdict(check, check)
        about_path = self.check_identity(client_ip=client_ip, helo=helo, reverse_path=reverse_path)
        return SpfVerdict(*await asyncio.gather(about_helo, about_path))

    async def check_identity(
        self, *, client_ip: str, helo: str, reverse_path: str, default_explanation: str = ""
    ) -> SpfCheck:
        """One identity: MAIL FROM, or HELO where the reverse-path is null."""
        domain = _domain(reverse_path or helo)
        if domain is None:
            return SpfCheck(SpfResult.NONE, "")
        bridge = _Bridge(self._lookup, asyncio.get_running_loop(), self._max_seconds)
        work = asyncio.get_running_loop().run_in_executor(
            self._threads, _evaluate, client_ip, helo, reverse_path, default_explanation, bridge
        )
        try:
            result, explanation = await asyncio.wait_for(work, self._max_seconds + 1)
        except TimeoutError:
            return SpfCheck(SpfResult.TEMPERROR, domain)
        return SpfCheck(result, domain, explanation)

    def close(self) -> None:
        """End the threads; those that wait for an answer end within the limit."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class _Bridge:
    """Questions from a thread of the pool to the resolver on the event loop, until a deadline."""

    def __init__(self, lookup: Lookup, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._loop, self._deadline = loop, time.monotonic() + seconds
        self._ask: dict[str, Callable[[str], Coroutine[Any, Any, Answer[Any]]]] = {
            "MX": lookup.mx,
            "TXT": lookup.txt,
            "PTR": lookup.ptr,
            "A": lambda name: lookup.addresses(name, "A"),
            "AAAA": lambda name: lookup.addresses(name, "AAAA"),
        }

    def __call__(self, name: str, kind: str) -> Answer[Any]:
        """The answer; a failure also when time is up."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            return Answer(Outcome.FAILURE)
        future = asyncio.run_coroutine_threadsafe(self._ask[kind](name), self._loop)
        try:
            return future.result(left)
        except (concurrent.futures.TimeoutError, concurrent.futures.CancelledError):
            future.cancel()
            return Answer(Outcome.FAILURE)


class _Query(spf.query):
    """pyspf's evaluation with our look-ups: CNAMEs, caching and time are the resolver's affair."""

    def __init__(self, bridge: _Bridge, client_ip: str, reverse_path: str, helo: str) -> None:
        super().__init__(i=client_ip, s=reverse_path, h=helo, strict=True)
        self._bridge = bridge

    def dns(
        self, name: str, qtype: str, cnames: object = None, ignore_void: bool = False
    ) -> list[Any]:
        """The records in pyspf's shape; counts void look-ups (RFC 7208, 4.6.4)."""
        answer = self._bridge(name, qtype) if name else Answer(Outcome.NO_NAME)
        if answer.failed:
            raise spf.TempError("DNS does not answer")
        if not answer.records and not ignore_void:
            self.void_lookups += 1
            if self.void_lookups > spf.MAX_VOID_LOOKUPS:
                raise spf.PermError("too many void look-ups")
        return [_in_pyspf_shape(record, qtype) for record in answer.records]

    def validated_ptrs(self) -> list[str]:
        """Names of the client that lead back to it; DNS that fails skips a name (RFC 7208, 5.5)."""
        names = self._without_failure(self.dns_ptr, self.i)[: spf.MAX_PTR]
        return [
            name
            for name in names
            if self.cidrmatch(self._without_failure(self.dns_a, name, self.A), self.cidrmax)
        ]

    @staticmethod
    def _without_failure(ask: Callable[..., list[str]], *about: str) -> list[str]:
        try:
            return ask(*about)
        except spf.TempError:
            return []


def _in_pyspf_shape(record: Any, qtype: str) -> Any:
    if qtype == "MX":
        return (record.preference, record.exchange)
    return (record,) if qtype == "TXT" else record


def _evaluate(
    client_ip: str, helo: str, reverse_path: str, default_explanation: str, bridge: _Bridge
) -> tuple[SpfResult, str]:
    """Runs in a thread of the pool."""
    try:
        query = _Query(bridge, client_ip, reverse_path, helo)
        if default_explanation:
            query.set_default_explanation(default_explanation)
        result, _, explanation = query.check()
    except spf.TempError:
        return SpfResult.TEMPERROR, ""
    except (spf.PermError, AssertionError, ValueError, LookupError, UnicodeError):
        return SpfResult.PERMERROR, ""  # a record that pyspf stumbles over is no valid record
    return SpfResult(result), str(explanation)[:_MAX_EXPLANATION]


def _domain(identity: str) -> str | None:
    """The domain that is asked, or None where there is none to ask (RFC 7208, 4.3)."""
    domain = identity.rpartition("@")[2].lower().removesuffix(".")
    if not domain or domain.startswith("[") or len(domain) > 253 or not domain.isascii():
        return None
    return domain
