"""A DNS in memory and an SPF check against it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from mail.authentication.spf_check import check_identity
from mail.authentication.values import SpfCheck, SpfVerdict
from mail.lookups import Answer, MxRecord, Outcome

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FAIL = "FAIL"


class MemoryDns:
    """Names to (kind, value) pairs; "FAIL" in a name's list is a server that does not answer."""

    def __init__(self, names) -> None:
        self.names = {name.lower().removesuffix("."): list(pairs) for name, pairs in names.items()}
        self.asked: list[tuple[str, str]] = []

    def ask(self, name: str, kind: str) -> Answer:
        name = name.lower().removesuffix(".")
        self.asked.append((name, kind))
        pairs = self.names.get(name)
        if pairs is None:
            return Answer(Outcome.NO_NAME)
        found = tuple(_read(*pair) for pair in pairs if pair != FAIL and pair[0] == kind)
        if not found:
            return Answer(Outcome.FAILURE if FAIL in pairs else Outcome.NO_DATA)
        return Answer(Outcome.FOUND, found, name)

    async def mx(self, name):
        return self.ask(name, "MX")

    async def addresses(self, name, family):
        return self.ask(name, family)

    async def txt(self, name):
        return self.ask(name, "TXT")

    async def ptr(self, name):
        return self.ask(name, "PTR")


def _read(kind, value):
    if kind == "MX":
        return MxRecord(*value)
    return (
        value.encode("utf-8", "surrogateescape")
        if isinstance(value, str) and kind == "TXT"
        else value
    )


def check(
    dns, *, client_ip="192.0.2.1", helo="h.example", reverse_path="ada@a.example", **more
) -> SpfCheck:
    """One identity, from the client 192.0.2.1 for ada@a.example unless said otherwise."""
    dns = MemoryDns(dns) if isinstance(dns, dict) else dns
    return asyncio.run(
        check_identity(
            dns, client_ip=client_ip, helo=helo, reverse_path=reverse_path, now=NOW, **more
        )
    )


def said(record: str, **more) -> SpfCheck:
    """The check where a.example has this record and nothing else is in DNS."""
    return check({"a.example": [("TXT", record)]}, **more)


async def check_both(lookup, *, reverse_path: str, **asked) -> SpfVerdict:
    """Both identities, one after the other; a null reverse-path has that of HELO."""
    by_helo = await check_identity(lookup, reverse_path="", **asked)
    if not reverse_path:
        return SpfVerdict(by_helo, by_helo)
    return SpfVerdict(by_helo, await check_identity(lookup, reverse_path=reverse_path, **asked))
