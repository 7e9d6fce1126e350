"""One signature against the message and its key (RFC 6376, 6.1).

    Signature ─┐
    Evidence  ─┴→ verify_signature → Verified      DKIM-Signature, ARC-Message-Signature
    digest, keys  → verify_digest  → Verified      ARC-Seal, which has no body

Synchronous, and bounded: a few key records for each signature, each field in relaxed form once.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mail.authentication.canonical import BodyDigests, SignedFields, unsigned_form
from mail.authentication.findings import PASSED, Finding
from mail.authentication.key_records import KeyRecord, read_key_record
from mail.authentication.signature_fields import Signature
from mail.authentication.values import DkimResult
from mail.lookups import Answer

MAX_RECORDS: Final = 4  # of one name; a key being replaced makes two
_CLOCK_SECONDS: Final = 3600  # so far may a signer's clock be ahead


@dataclass(frozen=True, slots=True)
class Evidence:
    """What all signatures of one message are held against. `now` is seconds since 1970.

    `keys` has the answer for each name that was asked; one that lacks was not answered in time.
    """

    fields: SignedFields
    body: BodyDigests
    keys: Mapping[str, Answer[bytes]]
    now: int


@dataclass(frozen=True, slots=True)
class Verified:
    finding: Finding
    is_testing: bool = False
    """The key says t=y."""


def verify_signature(signature: Signature, evidence: Evidence) -> Verified:
    """The verdict on a signature that could be read."""
    wrong = _wrong_time(signature, evidence.now) or _wrong_body(signature, evidence.body)
    if wrong is not None:
        return Verified(wrong)
    digest = _header_digest(signature, evidence.fields)
    verified = verify_digest(signature, digest, evidence.keys)
    if not verified.finding.passed:
        return verified
    less = _not_covered(signature, evidence)
    return verified if less is None else Verified(less, verified.is_testing)


def verify_digest(
    signature: Signature, digest: bytes, keys: Mapping[str, Answer[bytes]]
) -> Verified:
    """The verdict of the key, or of the best of several (RFC 6376, 6.1.2)."""
    answer = keys.get(signature.key_name)
    if answer is None or answer.failed:
        return Verified(Finding(DkimResult.TEMPERROR, "the key could not be fetched"))
    if not answer.records:
        return Verified(Finding(DkimResult.PERMERROR, "there is no key"))
    found = [
        _verify_with(read_key_record(text), signature, digest)
        for text in answer.records[:MAX_RECORDS]
    ]
    return min(found, key=_rank)


def _rank(verified: Verified) -> int:
    """A pass before what a usable key says, that before what stands against a record."""
    order = (DkimResult.PASS, DkimResult.FAIL, DkimResult.POLICY)
    result = verified.finding.result
    return order.index(result) if result in order else len(order)


def _verify_with(key: KeyRecord, signature: Signature, digest: bytes) -> Verified:
    return Verified(_finding_of(key, signature, digest), key.is_testing)


def _finding_of(key: KeyRecord, signature: Signature, digest: bytes) -> Finding:
    if key.public is None:
        return key.finding
    if key.key_type is not signature.algorithm.key_type:
        return Finding(DkimResult.PERMERROR, "the key is not for the algorithm in a=")
    if key.is_exact and signature.identity_domain not in ("", signature.domain):
        return Finding(DkimResult.PERMERROR, "the key allows no subdomain in i=")
    if not key.verify(signature.signature, digest):
        return Finding(DkimResult.FAIL, "the header was changed, or another key signed it")
    return PASSED


def _wrong_time(signature: Signature, now: int) -> Finding | None:
    if signature.expires_at is not None and signature.expires_at < now:
        return Finding(DkimResult.FAIL, "expired")
    if signature.signed_at is not None and signature.signed_at > now + _CLOCK_SECONDS:
        return Finding(DkimResult.FAIL, "signed in the future")
    return None


def _wrong_body(signature: Signature, body: BodyDigests) -> Finding | None:
    if signature.body is None:
        return None
    digest, _ = body.prefix(signature.body)
    if digest is None:
        return Finding(DkimResult.PERMERROR, "l= is more than the body has")
    if digest != signature.body_hash:
        return Finding(DkimResult.FAIL, "the body was changed")
    return None


def _not_covered(signature: Signature, evidence: Evidence) -> Finding | None:
    """What a valid signature says nothing about, so that it is worth nothing (RFC 6376, 8.2, 8.15).

    Whoever adds a From field or text behind l= changes what people read.
    """
    if evidence.fields.count(b"from") > signature.names.count(b"from"):
        return Finding(DkimResult.FAIL, "a From field is not signed")
    if signature.body is not None and not evidence.body.prefix(signature.body)[1]:
        return Finding(DkimResult.NEUTRAL, "l= leaves a part of the body unsigned")
    return None


def _header_digest(signature: Signature, fields: SignedFields) -> bytes:
    form = signature.header_form
    covered = fields.covered(signature.names, form, signature.field)
    whole = hashlib.sha256(b"".join(covered))
    whole.update(unsigned_form(signature.field, signature.value, form))
    return whole.digest()
