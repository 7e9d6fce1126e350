"""The three fields by which we pass on what we saw (RFC 8617): ARC seals of forwarded mail.

    fields  = header_fields(block)
    covered = cover(fields)                              shared with our DKIM signature
    ours    = sign(covered, body_hash, keys, now=now)
    sealed  = seal(fields, body_hash, key, results=..., chain=..., now=now, covered=covered)

    ARC-Seal                       signs every set of the chain, this one included (4.1.3, 5.1.1)
    ARC-Message-Signature          signs the message as DKIM does, and its DKIM signatures (4.1.2)
    ARC-Authentication-Results     what our own Authentication-Results field says (4.1.1)

A seal vouches for what we saw and for nothing else: it makes no forged mail genuine, and only who
trusts us gives it weight.
"""

import hashlib
import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mail.authentication.values import ArcResult
from mail.errors import BadSigningKey
from mail.message import Field, header_fields
from mail.signing import (
    MAX_OF_A_NAME,
    Algorithm,
    Covered,
    SigningKey,
    cover,
    names_tag,
    place_tags,
    relaxed_field,
    signed_value,
)

MAX_INSTANCES: Final = 50  # RFC 8617, 5.1.1.1
_RESULTS: Final = b"arc-authentication-results"
_MESSAGE: Final = b"arc-message-signature"
_SEAL: Final = b"arc-seal"
_HASHED_ORDER: Final = (_RESULTS, _MESSAGE, _SEAL)  # RFC 8617, 5.1.1
_NAMES: Final = frozenset(_HASHED_ORDER)
_CFWS = rb"(?>(?:\s++|\([^()\\]*+\))*)"
_OF_RESULTS = re.compile(rb"%b[iI]%b=%b0*+([1-9][0-9]{0,3})%b;" % (_CFWS, _CFWS, _CFWS, _CFWS))
_OF_TAGS = re.compile(rb"(?:^|;)\s*+i\s*+=\s*+0*+([1-9][0-9]{0,3})\s*+(?=;|\Z)")
_FAILED = re.compile(rb"(?:^|;)\s*+cv\s*+=\s*+fail\s*+(?=;|\Z)", re.IGNORECASE)
_BARE_LINE_END = re.compile(r"\r\n(?![ \t])|\r(?!\n)|(?<!\r)\n")


@dataclass(frozen=True, slots=True)
class _Chain:
    """The sets that came with the message, by instance: only the fields whose i= can be read."""

    fields: dict[int, list[Field]]
    unreadable: bool

    @property
    def highest(self) -> int:
        return max(self.fields, default=0)

    @property
    def has_ended(self) -> bool:
        """Whether who sealed last found it broken: then nothing is added any more (5.1)."""
        last = self.fields.get(self.highest, ())
        return any(one.name == _SEAL and _FAILED.search(one.body) for one in last)

    def canonical(self) -> bytes | None:
        """All sets in the form that a seal signs; None where one is missing or comes twice."""
        if self.unreadable:
            return None
        pieces = []
        for instance in range(1, self.highest + 1):
            found = {one.name: one.body for one in self.fields.get(instance, ())}
            if len(found) != len(_NAMES) or len(self.fields[instance]) != len(_NAMES):
                return None
            pieces += [relaxed_field(name, found[name]) for name in _HASHED_ORDER]
        return b"".join(pieces)


def seal(
    header: bytes | Sequence[Field],
    body_hash: bytes,
    key: SigningKey,
    *,
    results: str,
    chain: ArcResult,
    now: int,
    covered: Covered | None = None,
) -> bytes:
    """The next set of the chain in this header, CRLF-ended; b"" where none is to be added.

    `results` is the value of our Authentication-Results field, folded or not; `chain` how the chain
    stood when it came in; `covered` what `cover` gave of the same fields. None is added above 50
    instances, after a set that said cv=fail (5.1, step 2), and where the chain is not known. Raises
    `BadSigningKey` for a key that is not RSA.
    """
    if key.algorithm is not Algorithm.RSA_SHA256:
        raise BadSigningKey("a seal needs an RSA key")
    fields = header_fields(header) if isinstance(header, bytes) else header
    before = _chain_of(fields)
    instance = before.highest + 1
    if chain is ArcResult.TEMPERROR or instance > MAX_INSTANCES or before.has_ended:
        return b""
    status, canonical = _status(chain, before)
    if status is ArcResult.FAIL and instance == 1:
        return b""  # it fails by itself, and the first set cannot say so
    aar = b" i=%d; %b" % (instance, _one_field(results))
    ams = _message_signature(instance, fields, covered or cover(fields), body_hash, key, now)
    signed = canonical + relaxed_field(_RESULTS, aar) + relaxed_field(_MESSAGE, ams)
    tags = b"i=%d; a=rsa-sha256; cv=%b; " % (instance, status.value.encode())
    value = b"%b%b; t=%d; b=" % (tags, place_tags(key), now)
    sealed = _signed(_SEAL, value, key, hashlib.sha256(signed))
    return (
        b"ARC-Seal: %b\r\nARC-Message-Signature:%b\r\nARC-Authentication-Results:%b\r\n"
        % (sealed, ams, aar)
    )  # fmt: skip


def _chain_of(fields: Sequence[Field]) -> _Chain:
    found: dict[int, list[Field]] = {}
    unreadable = False
    for one in fields:
        if one.name in _NAMES:
            results = one.name == _RESULTS
            instance = _OF_RESULTS.match(one.body) if results else _OF_TAGS.search(one.body)
            if instance is None:
                unreadable = True
            else:
                found.setdefault(int(instance[1]), []).append(one)
    return _Chain(found, unreadable)


def _status(chain: ArcResult, before: _Chain) -> tuple[ArcResult, bytes]:
    """What cv= says, and what of the earlier sets is signed: of a failed chain nothing (5.1.2)."""
    if chain is ArcResult.NONE and not before.fields and not before.unreadable:
        return ArcResult.NONE, b""
    canonical = before.canonical() if chain is ArcResult.PASS and before.fields else None
    return (ArcResult.FAIL, b"") if canonical is None else (ArcResult.PASS, canonical)


def _message_signature(
    instance: int,
    fields: Sequence[Field],
    covered: Covered,
    body_hash: bytes,
    key: SigningKey,
    now: int,
) -> bytes:
    """The body of the ARC-Message-Signature: what DKIM covers, then the DKIM signatures there."""
    dkim = [one for one in fields if one.name == b"dkim-signature"][: -MAX_OF_A_NAME - 1 : -1]
    digest = hashlib.sha256(covered.canonical)
    for one in dkim:
        digest.update(relaxed_field(one.name, one.body))
    names = covered.names + tuple(one.name for one in dkim)
    value = b"; ".join(
        (
            b"i=%d; a=rsa-sha256; c=relaxed/relaxed" % instance,
            b"%b; t=%d" % (place_tags(key), now),
            names_tag(names),
            b"bh=%b; b=" % b64encode(body_hash),
        )
    )
    return b" " + _signed(_MESSAGE, value, key, digest)


def _signed(name: bytes, value: bytes, key: SigningKey, digest: "hashlib._Hash") -> bytes:
    digest.update(name + b":" + value)
    return signed_value(value, key.sign_digest(digest.digest()))


def _one_field(results: str) -> bytes:
    """The value as octets that end no field, whatever is in it."""
    return _BARE_LINE_END.sub(" ", results).strip(" \t\r\n").encode("utf-8", "replace")
