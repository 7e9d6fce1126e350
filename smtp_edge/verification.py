"""Who really sent and wrote a message: everything is asked beside the dialog and known at its end.

    Transaction.recipient   Verifier.begin(envelope)     SPF and the client's name are asked
    Transaction.receive     Check.header(fields)         keys and DMARC records are asked
                            Check.body(octets)           hashed while the octets come in
                            await Check.found()          the `Authentication`, or None

Nothing blocks the event loop: look-ups wait each for itself, and what a stranger made expensive is
verified in a thread. A resolver that does not answer costs the session that asked 20 seconds at
most; None is given where nothing could be asked (see hearing.py).

A message makes for 240 questions at most, however its author's zones are built: those of senders.py
(150, as SPF may be asked twice); 80 for keys and DMARC, enough for fifteen signatures and fifty
seals; ten that are begun early and may not be kept. What is not asked for is a temporary error.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Final, Protocol, TypeVar

import structlog
from django.conf import settings
from dns.exception import DNSException

from delivery.lookups import Limits, resolver_from_settings
from mail.authentication.dmarc import judge_dmarc, read_author
from mail.authentication.signatures import SignatureCheck, SignatureVerdicts
from mail.authentication.values import (
    Authentication,
    DmarcResult,
    DmarcVerdict,
)
from mail.envelope import Envelope
from mail.lookups import BoundedLookup, Lookup
from mail.message import Field
from smtp_edge.asking import EarlyWork
from smtp_edge.clients import client_key
from smtp_edge.hearing import Hearing
from smtp_edge.senders import SenderChecks, SenderVerdict, out_of_time

MAX_SECONDS: Final = 20.0
_UNHEARD_SECONDS: Final = 1.0
_UNHEARD_PATIENCE: Final = 3
_SECONDS_BETWEEN_TRIES: Final = 0.25
_QUESTIONS_AT_ONCE: Final = 2_000
HEADER_QUESTIONS: Final = 80
EARLY_QUESTIONS: Final = 10
_CHEAP_SIGNATURES: Final = 4
_LATE: Final = "the DNS took too long"

Result = TypeVar("Result")

log = structlog.get_logger()


class Check(Protocol):
    """The verification of one message."""

    def header(self, fields: Sequence[Field]) -> None: ...

    def body(self, octets: bytes) -> None: ...

    async def found(self) -> Authentication | None: ...


class Verifier(Protocol):
    def begin(self, envelope: Envelope) -> Check:
        """Begin to ask; never waits, never fails."""

    def close(self) -> None: ...


class _NothingAsked:
    def header(self, fields: Sequence[Field]) -> None:
        return None

    def body(self, octets: bytes) -> None:
        return None

    async def found(self) -> Authentication | None:
        return None


class _Nobody:
    """Where verification is switched off, or there is no resolver."""

    def begin(self, envelope: Envelope) -> Check:
        return NOTHING_ASKED

    def close(self) -> None:
        return None


NOTHING_ASKED: Final = _NothingAsked()
NOBODY: Final = _Nobody()


class DnsVerifier:
    """Verification over the DNS, for one event loop."""

    def __init__(
        self,
        lookup: Lookup,
        *,
        receiver: str,
        expected: bool = True,
        prefetch: Callable[[str], "asyncio.Future[Any] | None"] = lambda name: None,
    ) -> None:
        """`receiver` is our name; `expected`: somebody is known to answer.

        `prefetch` begins to ask for the TXT records of a name, and never waits; None: known.
        """
        self.lookup = Hearing(lookup, expected=expected)
        self._early = EarlyWork()
        self.senders = SenderChecks(self.lookup, receiver=receiver, early=self._early)
        self._prefetch = prefetch
        self._waited_in_vain = 0
        self._next_try_at = 0.0

    @classmethod
    def from_settings(cls) -> "DnsVerifier | _Nobody":
        """Over MXAX_DNS_SERVERS or the system's."""
        if not settings.ENV.verify:
            return NOBODY
        try:
            lookup = resolver_from_settings(Limits(concurrent=_QUESTIONS_AT_ONCE))
        except (DNSException, OSError) as error:
            log.warning("edge.no_resolver", error=str(error))
            return NOBODY
        return cls(
            lookup,
            receiver=settings.ENV.service_domain,
            expected=bool(settings.ENV.dns_servers),
            prefetch=lookup.prefetch_txt,
        )

    def begin(self, envelope: Envelope) -> Check:
        if not self._may_ask():
            return NOTHING_ASKED
        self.senders.begin(envelope)
        return DnsCheck(self, envelope)

    def prefetch(self, names: Iterable[str], client_ip: str) -> None:
        """Begin to ask for these names, as many as are begun early for one client."""
        client = client_key(client_ip)
        for name in names:
            if not self._early.has_room(client):
                return
            task = self._prefetch(name)
            if task is not None:
                self._early.note(client, task)

    def _may_ask(self) -> bool:
        """Where nobody ever answered, four questions a second find out when that changes."""
        if self.lookup.has_heard or self._waited_in_vain < _UNHEARD_PATIENCE:
            return True
        now = time.monotonic()
        if now < self._next_try_at:
            return False
        self._next_try_at = now + _SECONDS_BETWEEN_TRIES
        return True

    def seconds(self) -> float:
        """How long one message may wait for answers."""
        if self.lookup.has_heard:
            return MAX_SECONDS
        return _UNHEARD_SECONDS if self._waited_in_vain < _UNHEARD_PATIENCE else 0.0

    def waited_in_vain(self) -> None:
        self._waited_in_vain += 1

    def close(self) -> None:
        """End what is under way."""
        self.senders.close()


class DnsCheck:
    """One message; `header` before `body` before `found`."""

    __slots__ = ("_author", "_envelope", "_is_cheap", "_lookup", "_signatures", "_verifier")

    def __init__(self, verifier: DnsVerifier, envelope: Envelope) -> None:
        self._verifier = verifier
        self._lookup = BoundedLookup(verifier.lookup, HEADER_QUESTIONS)
        self._envelope = envelope
        self._author = read_author(())
        self._is_cheap = True
        self._signatures = SignatureCheck.of(())

    def header(self, fields: Sequence[Field]) -> None:
        self._author = read_author(fields)
        self._signatures = SignatureCheck.of(fields)
        names = self._signatures.key_names
        self._is_cheap = self._signatures.count <= _CHEAP_SIGNATURES
        records = [f"_dmarc.{domain}" for domain in self._author.domains[:2]]
        early = [*records, *names][:EARLY_QUESTIONS]
        self._verifier.prefetch(early, self._envelope.client.ip)

    def body(self, octets: bytes) -> None:
        if self._signatures.wants_body:
            self._signatures.update(octets)

    async def found(self) -> Authentication | None:
        """None where nobody has ever answered a question."""
        verifier = self._verifier
        deadline = asyncio.get_running_loop().time() + verifier.seconds()
        sender = await _until(deadline, verifier.senders.verdict(self._envelope))
        await _until(deadline, self._signatures.fetch_keys(self._lookup))
        signatures = await self._judged()
        if sender is None:
            sender = out_of_time(self._envelope)
        dmarc = await _until(deadline, self._dmarc(sender, signatures))
        if not verifier.lookup.has_heard:
            verifier.waited_in_vain()
            return None
        return Authentication(
            client_ip=self._envelope.client.ip,
            helo=self._envelope.client.helo,
            reverse_path=self._envelope.reverse_path,
            client_name=sender.client_name,
            spf=sender.spf,
            dkim=signatures.dkim,
            arc=signatures.arc,
            dmarc=dmarc or DmarcVerdict(DmarcResult.TEMPERROR, reason=_LATE),
            skipped_signatures=signatures.skipped,
        )

    async def _judged(self) -> SignatureVerdicts:
        """The verdicts; keys that were not fetched in time are temporary errors."""
        now = int(time.time())
        if self._is_cheap:
            return self._signatures.judge(now=now)
        return await asyncio.to_thread(self._signatures.judge, now=now)

    async def _dmarc(self, sender: SenderVerdict, signatures: SignatureVerdicts) -> DmarcVerdict:
        return await judge_dmarc(
            self._lookup, author=self._author, spf=sender.spf, dkim=signatures.dkim
        )


async def _until(deadline: float, work: Coroutine[Any, Any, Result]) -> Result | None:
    """What `work` gives, or None when time is up."""
    try:
        async with asyncio.timeout_at(deadline):
            return await work
    except TimeoutError:
        return None
