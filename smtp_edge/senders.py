"""What the DNS says of the client and the envelope: SPF and the client's name, for one event loop.

Begun at the first RCPT, wanted after the final dot. Clients of one mind share one check. A verdict
is kept for a minute; for a domain whose record looks at the local part, by mailbox.

RFC 7208 (4.6.4) permits a record that makes for a hundred questions, and such a record at the HELO
name as well. No honest one makes for twenty: what asks for more than the numbers below is an error
of the record, like an eleventh term.
"""

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, NamedTuple

import structlog

from mail.authentication.client_name import client_name
from mail.authentication.spf_check import check_identity
from mail.authentication.values import (
    ClientName,
    ClientNameResult,
    SpfCheck,
    SpfResult,
    SpfVerdict,
)
from mail.envelope import Envelope
from mail.lookups import BoundedLookup, Lookup
from smtp_edge.asking import EarlyWork, Remembered
from smtp_edge.clients import client_key

SPF_SECONDS: Final = 20.0
"""RFC 7208, 4.6.4."""
NAME_SECONDS: Final = 5.0
PATH_QUESTIONS: Final = 50
"""For the MAIL FROM identity; where a record looks at the local part it is asked twice."""
HELO_QUESTIONS: Final = 20
NAME_QUESTIONS: Final = 10
_KEPT_SECONDS: Final = 60.0
_ERROR_KEPT_SECONDS: Final = 10.0
_MOST_BY_MAILBOX: Final = 10_000

log = structlog.get_logger()


class _Identity(NamedTuple):
    """What an SPF check depends on; the local part only where the domain's record looks at it."""

    client_ip: str
    helo: str
    local_part: str
    domain: str


@dataclass(frozen=True, slots=True)
class SenderVerdict:
    spf: SpfVerdict
    client_name: ClientName


class SenderChecks:
    """`begin` at RCPT, `verdict` after the dot: both take the same envelope."""

    def __init__(self, lookup: Lookup, *, receiver: str, early: EarlyWork) -> None:
        self._lookup, self._receiver, self._early = lookup, receiver, early
        self._spf: Remembered[_Identity, SpfVerdict] = Remembered(self._ask_spf, _spf_seconds)
        self._names: Remembered[str, ClientName] = Remembered(self._ask_name, _name_seconds)
        self._by_mailbox: set[str] = set()

    def begin(self, envelope: Envelope) -> None:
        """Ask what is not known yet, where not too much is asked; never waits, never fails."""
        identity = self._identity(envelope)
        client = client_key(identity.client_ip)
        if not self._early.has_room(client):
            return
        if self._spf.known(identity) is None:
            self._early.note(client, self._spf.begin(identity))
        if self._names.known(identity.client_ip) is None:
            self._early.note(client, self._names.begin(identity.client_ip))

    async def verdict(self, envelope: Envelope) -> SenderVerdict:
        spf = await self._spf.get(self._identity(envelope))
        if spf.mail_from.by_local_part:
            self._note_by_mailbox(spf.mail_from.domain)
            spf = await self._spf.get(self._identity(envelope))
        return SenderVerdict(spf, await self._names.get(envelope.client.ip))

    def _identity(self, envelope: Envelope) -> _Identity:
        local_part, _, domain = envelope.reverse_path.rpartition("@")
        domain = domain.lower()
        client = envelope.client
        return _Identity(
            client.ip, client.helo, local_part if domain in self._by_mailbox else "", domain
        )

    def _note_by_mailbox(self, domain: str) -> None:
        if len(self._by_mailbox) >= _MOST_BY_MAILBOX:
            self._by_mailbox.clear()
        self._by_mailbox.add(domain)

    async def _ask_spf(self, identity: _Identity) -> SpfVerdict:
        path = f"{identity.local_part or 'postmaster'}@{identity.domain}" if identity.domain else ""
        try:
            async with asyncio.timeout(SPF_SECONDS):
                if not path:
                    helo = await self._check(identity, "", PATH_QUESTIONS)
                    return SpfVerdict(helo, helo)
                return SpfVerdict(
                    *await asyncio.gather(
                        self._check(identity, "", HELO_QUESTIONS),
                        self._check(identity, path, PATH_QUESTIONS),
                    )
                )
        except TimeoutError:
            result, reason = SpfResult.TEMPERROR, "the DNS took more than 20 seconds"
        except Exception:  # whatever a stranger's record does: it is no pass
            log.exception("edge.spf_failed")
            result, reason = SpfResult.PERMERROR, "the record cannot be evaluated"
        failed = SpfCheck(result, identity.domain, reason)
        return SpfVerdict(failed, failed)

    async def _check(self, identity: _Identity, path: str, questions: int) -> SpfCheck:
        lookup = BoundedLookup(self._lookup, questions)
        found = await check_identity(
            lookup,
            client_ip=identity.client_ip,
            helo=identity.helo,
            reverse_path=path,
            now=datetime.now(UTC),
            receiver=self._receiver,
            explains=False,
        )
        if not lookup.is_spent or found.result is not SpfResult.TEMPERROR:
            return found
        reason = f"its records make for more than {questions} questions to the DNS"
        return replace(found, result=SpfResult.PERMERROR, reason=reason)

    async def _ask_name(self, client_ip: str) -> ClientName:
        lookup = BoundedLookup(self._lookup, NAME_QUESTIONS)
        try:
            async with asyncio.timeout(NAME_SECONDS):
                return await client_name(lookup, client_ip)
        except TimeoutError:
            return ClientName(ClientNameResult.TEMPERROR)
        except Exception:  # whatever a stranger's zone does: it is no pass
            log.exception("edge.client_name_failed")
            return ClientName(ClientNameResult.TEMPERROR)

    def close(self) -> None:
        """End what is under way."""
        self._spf.close()
        self._names.close()


def _spf_seconds(verdict: SpfVerdict) -> float:
    failed = SpfResult.TEMPERROR in (verdict.helo.result, verdict.mail_from.result)
    return _ERROR_KEPT_SECONDS if failed else _KEPT_SECONDS


def _name_seconds(name: ClientName) -> float:
    return _ERROR_KEPT_SECONDS if name.result is ClientNameResult.TEMPERROR else _KEPT_SECONDS


def out_of_time(envelope: Envelope) -> SenderVerdict:
    """The verdict where nobody answered in time."""
    domain = envelope.reverse_path.rpartition("@")[2].lower() or envelope.client.helo
    check = SpfCheck(SpfResult.TEMPERROR, domain, "the DNS took too long")
    return SenderVerdict(SpfVerdict(check, check), ClientName(ClientNameResult.TEMPERROR))
