"""What the tests of signatures share: keys, zones in memory, and untouched dkimpy as signer."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cryptography.hazmat.primitives import serialization

from mail.authentication.signatures import SignatureCheck, SignatureVerdicts
from mail.lookups import Answer, Lookup, MxRecord, Outcome
from mail.message import header_fields, split_header_block
from mail.signing import Algorithm, SigningKey, generate_key_pair, load_signing_key

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
    return run(verdicts_of(check, lookup, now=now))


async def verdicts_of(check: SignatureCheck, lookup: Lookup, *, now: int) -> SignatureVerdicts:
    """The verdicts on a message that was given whole, with the keys that this zone has."""
    await check.fetch_keys(lookup)
    return check.judge(now=now)


ORACLE = Path(__file__).with_name("dkimpy_oracle.py")
DOMAIN = "author.test"
SELECTOR = "s"
KEY_NAME = f"{SELECTOR}._domainkey.{DOMAIN}"
MESSAGE = (
    b"Received: from a by b; Sun, 22 Nov 2026 05:00:00 +0000\r\n"
    b"From: Ada <ada@author.test>\r\n"
    b"To: ben@example.net,\r\n\tcarol@example.net\r\n"
    b"Subject:  An  example \t of\r\n  folding \r\n"
    b"Date: Sun, 22 Nov 2026 05:00:00 +0000\r\n"
    b"Message-ID: <1@author.test>\r\n"
    b"\r\n"
    b"Hello  Ben,\t\r\n\r\n  the body. \r\n\r\n\r\n"
)


def ask_dkimpy(*tasks: dict) -> list:
    """The answers of untouched dkimpy, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-I", str(ORACLE)],
        input=json.dumps(tasks),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


@dataclass(frozen=True)
class Signer:
    """A key and where it is published."""

    key: SigningKey
    record: str

    @property
    def zone(self) -> dict[str, str]:
        return {f"{self.key.selector}._domainkey.{self.key.domain}": self.record}


@functools.cache
def signer(
    algorithm: Algorithm = Algorithm.RSA_SHA256, domain: str = DOMAIN, selector: str = SELECTOR
) -> Signer:
    pem, public = _pair(algorithm)
    key = load_signing_key(pem, algorithm=algorithm, domain=domain, selector=selector)
    return Signer(key, "v=DKIM1; " + public)


_pair = functools.cache(generate_key_pair)


def pem_of(algorithm: Algorithm = Algorithm.RSA_SHA256) -> str:
    """The private key of all our signers of one kind, in the form that dkimpy reads."""
    key = serialization.load_pem_private_key(_pair(algorithm)[0], password=None)
    form = serialization.PrivateFormat.TraditionalOpenSSL
    none = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, none).decode()


# The canonical forms once more, word by word from RFC 6376, 3.4, and with no thought of speed.


def plain_field(name: bytes, raw: bytes, form: str) -> bytes:
    if form == "simple":
        return raw
    value = re.sub(rb"\r\n", b"", raw.partition(b":")[2])
    return name.lower() + b":" + re.sub(rb"[ \t]+", b" ", value).strip(b" ") + b"\r\n"


def plain_body(body: bytes, form: str) -> bytes:
    if body and not body.endswith(b"\r\n"):
        body += b"\r\n"
    if form == "relaxed":
        body = re.sub(rb"[ \t]+\r\n", b"\r\n", body)
        body = re.sub(rb"[ \t]+", b" ", body)
    body = re.sub(rb"(?:\r\n)*\Z", b"", body)
    return body + b"\r\n" if body or form == "simple" else b""


def digest_of(body: bytes, form: str = "relaxed", limit: int | None = None) -> str:
    whole = plain_body(body, form)
    return base64.b64encode(hashlib.sha256(whole[:limit]).digest()).decode()


def signed(octets: bytes, by: Signer | None = None, **changes: str | None) -> bytes:
    """The message with a signature on top that is right for the tags that it has.

    A tag of None is left out; `b_` stands in b= instead of the signature.
    """
    by = by or signer()
    begin = split_header_block(octets)
    return signature_field("DKIM-Signature", octets[:begin], octets[begin:], by, changes) + octets


def signature_field(
    field: str, block: bytes, body: bytes, by: Signer, changes: Mapping[str, str | None]
) -> bytes:
    changes = dict(changes)
    given = changes.pop("b_", None)
    forms = changes.get("c", "relaxed/relaxed") or "simple/simple"
    header_form, _, body_form = forms.partition("/")
    body_form = body_form or "simple"
    limit = changes.get("l")
    tags: dict[str, str | None] = {
        "v": "1",
        "a": str(by.key.algorithm),
        "c": "relaxed/relaxed",
        "d": by.key.domain,
        "s": by.key.selector,
        "t": str(NOW - 60),
        "h": "from:to:subject:date:message-id",
        "bh": digest_of(body, body_form, int(limit) if limit and limit.isdigit() else None),
        **changes,
    }
    text = "; ".join(f"{name}={value}" for name, value in tags.items() if value is not None)
    unsigned = f"{field}: {text}; b=".encode("utf-8", "surrogateescape")
    covered = _covered(block, tags["h"] or "", header_form)
    own = plain_field(field.encode(), unsigned + b"\r\n", header_form).removesuffix(b"\r\n")
    signature = by.key.sign_digest(hashlib.sha256(covered + own).digest())
    return unsigned + (given or base64.b64encode(signature).decode()).encode() + b"\r\n"


def _covered(block: bytes, names: str, form: str) -> bytes:
    left = [(one.name, one.raw) for one in header_fields(block)]
    covered = b""
    for name in names.lower().split(":"):
        for index in range(len(left) - 1, -1, -1):
            if left[index][0].decode("latin-1") == name.strip():
                covered += plain_field(*left.pop(index), form)
                break
    return covered
