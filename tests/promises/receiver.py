"""What the next receiver makes of mail that left us: SPF, every signature, DMARC, by his own DNS.

Signatures are verified twice, by our engine and by dkimpy; one of them is enough to count as valid.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime

import dkim
from publicsuffixlist import PublicSuffixList

from delivery.lookups import Resolver
from mail.authentication.dmarc import judge_dmarc, read_author
from mail.authentication.signatures import SignatureCheck, SignatureVerdicts
from mail.authentication.values import DmarcVerdict, SpfVerdict
from mail.message import header_fields, split_header_block
from tests.delivery.dns_zone import Zone
from tests.delivery.sink import Arrival, Sink
from tests.mail.authentication.signed_mail import verdicts_of
from tests.mail.authentication.spf_world import check_both

_suffixes = PublicSuffixList()


def organisation(domain: str) -> str:
    return _suffixes.privatesuffix(domain) or domain


@dataclass(frozen=True)
class Seen:
    """The verdicts on one arrival."""

    spf: SpfVerdict
    signatures: SignatureVerdicts
    dmarc: DmarcVerdict
    proved: frozenset[str]
    """The domains for which SPF or a signature passed."""

    def speaks_for(self, domain: str) -> bool:
        """Whether anything that passed is of this organisation: the loosest alignment there is."""
        return organisation(domain) in {organisation(one) for one in self.proved}


@dataclass(frozen=True)
class Receiver:
    zone: Zone
    hop: Sink
    client_ip: str = "127.0.0.1"

    def judges(self, arrivals: list[Arrival]) -> list[Seen]:
        async def all_of_them() -> list[Seen]:
            resolver = Resolver([self.zone.address])
            return [await self._judged(resolver, one) for one in arrivals]

        return asyncio.run(all_of_them())

    async def _judged(self, resolver: Resolver, arrival: Arrival) -> Seen:
        octets = arrival.octets
        at = split_header_block(octets)
        fields = header_fields(octets[:at])
        check = SignatureCheck.of(fields)
        check.update(octets[at:])
        signatures = await verdicts_of(check, resolver, now=int(time.time()))
        spf = await check_both(
            resolver,
            client_ip=self.client_ip,
            helo=self._helo(arrival),
            reverse_path=reverse_path_of(arrival),
            now=datetime.now(UTC),
        )
        dmarc = await judge_dmarc(
            resolver, author=read_author(fields), spf=spf, dkim=signatures.dkim
        )
        proved = {one.domain for one in signatures.dkim if one.passed} | self._by_dkimpy(octets)
        if spf.passed:
            proved.add(spf.mail_from.domain)
        return Seen(spf, signatures, dmarc, frozenset(proved))

    def _helo(self, arrival: Arrival) -> str:
        said = [text for number, text in self.hop.commands if number == arrival.connection]
        return next(text.split()[1] for text in said if text[:4].upper() in ("EHLO", "HELO"))

    def _by_dkimpy(self, octets: bytes) -> set[str]:
        found = set()
        head = octets.partition(b"\r\n\r\n")[0].lower()
        for index in range(head.count(b"dkim-signature:")):
            try:
                judged = dkim.DKIM(octets)
                passed = judged.verify(index, dnsfunc=self._text)
            except (dkim.DKIMException, ValueError, IndexError, KeyError):
                continue  # it reads no such field, or not this message
            if passed:
                found.add(judged.domain.decode().lower())
        return found

    def _text(self, name: bytes, timeout: int = 5) -> bytes | None:
        for kind, value in self.zone.names.get(name.decode().lower().rstrip("."), ()):
            if kind == "TXT":
                texts = [value] if isinstance(value, str) else value
                return "".join(texts).encode()
        return None


def reverse_path_of(arrival: Arrival) -> str:
    return arrival.mail.removeprefix("MAIL FROM:<").partition(">")[0]


def header_value(arrival: Arrival, name: bytes) -> str:
    """The value of a field of the message's own header block; "" where there is none."""
    head = arrival.octets.partition(b"\r\n\r\n")[0]
    found = re.search(rb"^%b: (.*?)\r?$" % name, head, re.MULTILINE)
    return found[1].decode() if found else ""
