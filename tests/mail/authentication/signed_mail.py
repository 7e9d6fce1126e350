"""What the tests of signatures share: keys, zones in memory, and untouched dkimpy as signer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from mail.authentication.signatures import SignatureCheck, SignatureVerdicts
from mail.lookups import Answer, MxRecord, Outcome
from mail.message import header_fields, split_header_block

NOW = 1_795_323_600
"""22 November 2026, 05:00 UTC."""


class Zone:
    """A `Lookup` over a mapping from name to TXT records or outcome; counts what it is asked."""

    def __init__(self, texts: Mapping[str, bytes | str | Outcome | Iterable[bytes]]) -> None:
        self.texts = dict(texts)
        self.asked: list[str] = []

    async def txt(self, name: str) -> Answer[bytes]:
        self.asked.append(name)
        found = self.texts.get(name, Outcome.NO_NAME)
        if isinstance(found, Outcome):
            return Answer(found)
        if isinstance(found, str):
            found = found.encode()
        return Answer(Outcome.FOUND, (found,) if isinstance(found, bytes) else tuple(found))

    async def mx(self, name: str) -> Answer[MxRecord]:
        raise AssertionError("nobody asks for MX")

    async def addresses(self, name: str, family: Literal["A", "AAAA"]) -> Answer[str]:
        raise AssertionError("nobody asks for addresses")

    async def ptr(self, name: str) -> Answer[str]:
        raise AssertionError("nobody asks for PTR")


def run(coroutine):
    """What a coroutine returns that never really waits."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waited for something")


def verdicts(
    octets: bytes, zone: Zone | Mapping, now: int = NOW, piece: int = 0
) -> SignatureVerdicts:
    """What our verifier says of a message, its body given whole or in pieces."""
    begin = split_header_block(octets)
    check = SignatureCheck.of(header_fields(octets[:begin]))
    body = octets[begin:]
    for start in range(0, len(body), piece or len(body) or 1):
        check.update(body[start : start + (piece or len(body))])
    lookup = zone if isinstance(zone, Zone) else Zone(zone)
    return run(check.verdicts(lookup, now=now))
