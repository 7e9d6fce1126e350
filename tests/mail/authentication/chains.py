"""ARC sets made for tests: right for the tags that they have, whatever these say."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping

from mail.message import header_fields, split_header_block
from tests.mail.authentication.signed_mail import (
    MESSAGE,
    Signer,
    plain_field,
    signature_field,
    signer,
)

Changes = Mapping[str, str | None]


def hop(number: int) -> Signer:
    """Who seals this instance."""
    return signer(domain=f"hop{number}.test", selector=f"s{number}")


def zone_of(hops: int) -> dict[str, str]:
    return {name: text for number in range(1, hops + 1) for name, text in hop(number).zone.items()}


def sealed(
    octets: bytes,
    instance: int,
    *,
    cv: str | None = None,
    results: str | None = None,
    message: Changes = {},  # noqa: B006  never changed
    seal: Changes = {},  # noqa: B006
    by: Signer | None = None,
) -> bytes:
    """The message with one more set on top: seal, message signature, results."""
    by = by or hop(instance)
    begin = split_header_block(octets)
    results = results or f"i={instance}; mx.hop{instance}.test; spf=pass; dmarc=pass"
    top = f"ARC-Authentication-Results: {results}\r\n".encode()
    changes = {"v": None, "i": str(instance), **message}
    signature = signature_field(
        "ARC-Message-Signature", octets[:begin], octets[begin:], by, changes
    )
    cv = cv or ("none" if instance == 1 else "pass")
    tags = {"i": str(instance), "a": str(by.key.algorithm), "cv": cv}
    tags |= {"d": by.key.domain, "s": by.key.selector, "t": "1", **seal}
    return _seal(top, signature, octets[:begin], by, tags) + signature + top + octets


def _seal(
    top: bytes, signature: bytes, block: bytes, by: Signer, tags: Mapping[str, str | None]
) -> bytes:
    text = "; ".join(f"{name}={value}" for name, value in tags.items() if value is not None)
    unsigned = f"ARC-Seal: {text}; b=".encode()
    earlier = [one for one in header_fields(block) if one.name.startswith(b"arc-")]
    # Sets stand the newest on top, and each as seal, message signature, results.
    covered = b"".join(plain_field(one.name, one.raw, "relaxed") for one in reversed(earlier))
    covered += plain_field(b"ARC-Authentication-Results", top, "relaxed")
    covered += plain_field(b"ARC-Message-Signature", signature, "relaxed")
    covered += plain_field(b"ARC-Seal", unsigned + b"\r\n", "relaxed").removesuffix(b"\r\n")
    made = by.key.sign_digest(hashlib.sha256(covered).digest())
    return unsigned + base64.b64encode(made) + b"\r\n"


def chain(hops: int, octets: bytes = MESSAGE) -> bytes:
    """A message that came over so many good hops."""
    for number in range(1, hops + 1):
        octets = sealed(octets, number)
    return octets
