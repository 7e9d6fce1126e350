"""A zone in memory for DMARC, and verdicts to judge; it counts what it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from mail.authentication.dmarc import Author, judge_dmarc
from mail.authentication.values import (
    DkimResult,
    DkimSignature,
    DmarcVerdict,
    SpfCheck,
    SpfResult,
    SpfVerdict,
)
from mail.lookups import Answer, MxRecord, Outcome

NXDOMAIN: Answer[Any] = Answer(Outcome.NO_NAME)
NO_DATA: Answer[Any] = Answer(Outcome.NO_DATA)
FAILURE: Answer[Any] = Answer(Outcome.FAILURE)
EXISTS: Answer[Any] = Answer(Outcome.FOUND, ("192.0.2.1",))


@dataclass
class Zone:
    """`records` by the name without "_dmarc."; `hosts` say what A, AAAA and MX find at a name."""

    records: Mapping[str, str | Sequence[str] | Answer[bytes]]
    hosts: Mapping[str, Answer[Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    hosts_asked: list[str] = field(default_factory=list)

    async def txt(self, name: str) -> Answer[bytes]:
        self.asked.append(name)
        found = self.records.get(name.removeprefix("_dmarc."), NXDOMAIN)
        if isinstance(found, Answer):
            return found
        texts = [found] if isinstance(found, str) else found
        return Answer(Outcome.FOUND, tuple(text.encode() for text in texts))

    async def addresses(self, name: str, family: Literal["A", "AAAA"]) -> Answer[str]:
        self.hosts_asked.append(f"{family} {name}")
        return self.hosts.get(f"{family} {name}", self.hosts.get(name, EXISTS))

    async def mx(self, name: str) -> Answer[MxRecord]:
        self.hosts_asked.append(f"MX {name}")
        return self.hosts.get(f"MX {name}", self.hosts.get(name, EXISTS))

    async def ptr(self, name: str) -> Answer[str]:
        raise AssertionError("DMARC asks for no PTR")


def spf(domain: str = "", result: SpfResult = SpfResult.PASS, helo: str = "") -> SpfVerdict:
    """The verdict on a reverse-path; no domain: nothing known of it."""
    of_helo = SpfCheck(SpfResult.PASS if helo else SpfResult.NONE, helo)
    return SpfVerdict(of_helo, SpfCheck(result if domain else SpfResult.NONE, domain))


def dkim(domain: str, result: DkimResult = DkimResult.PASS, **more: Any) -> DkimSignature:
    return DkimSignature(result, domain, "s", f"@{domain}", "rsa-sha256", **more)


def judge(
    zone: Zone | Mapping[str, Any],
    author: str | Author,
    *signatures: str | DkimSignature,
    path: str | SpfVerdict = "",
) -> DmarcVerdict:
    """The verdict, where DKIM passed for these domains and SPF for that of the reverse-path."""
    lookup = zone if isinstance(zone, Zone) else Zone(zone)
    return asyncio.run(
        judge_dmarc(
            lookup,
            author=author if isinstance(author, Author) else Author(1, (author,)),
            spf=spf(path) if isinstance(path, str) else path,
            dkim=[dkim(one) if isinstance(one, str) else one for one in signatures],
        )
    )
