"""Chains of ARC sets (RFC 8617, 5.2): what each hop says it saw, and whether the chain holds.

    ArcChain.of(fields)     structure: one field of each kind for each instance, 1 to n, cv=
    .key_names, .body       what has to be fetched and hashed
    .judge(evidence)        the newest ARC-Message-Signature and all seals -> ArcVerdict

A chain is none, pass or fail as a whole. It is also fail where the newest hop says so: then nothing
else of it is looked at.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from mail.authentication.canonical import BodyForm, unsigned_form
from mail.authentication.findings import Finding, Unusable
from mail.authentication.signature_fields import Kind, Signature, read_signature
from mail.authentication.tags import Tags, read_tags
from mail.authentication.values import ArcResult, ArcSet, ArcVerdict, DkimResult
from mail.authentication.verification import Evidence, verify_digest, verify_signature
from mail.message import CRLF, Field

MAX_INSTANCES: Final = 50
_MAX_RESULTS: Final = 8192
SEAL: Final = b"arc-seal"
MESSAGE: Final = b"arc-message-signature"
RESULTS: Final = b"arc-authentication-results"
ARC_NAMES: Final = frozenset({SEAL, MESSAGE, RESULTS})

_CFWS = rb"(?>(?:[ \t\r\n]++|\([^()\\]*+\))*)"
_RESULTS_INSTANCE = re.compile(rb"%b[iI]%b=%b([0-9]{1,2})%b;" % (_CFWS, _CFWS, _CFWS, _CFWS)).match
_INSTANCE = re.compile(rb"[0-9]{1,2}").fullmatch
_NONE: Final = ArcVerdict(ArcResult.NONE)


@dataclass(frozen=True, slots=True)
class Hop:
    """The three fields of one instance; `results` is the octet where its results begin."""

    instance: int
    results_field: Field
    results_start: int
    message_field: Field
    message_tags: Tags
    seal_field: Field
    seal: Signature
    chain_status: bytes


class ArcChain:
    """The chain of one message, read but not verified. `flaw` is set where it cannot pass."""

    __slots__ = ("_flaw", "_highest", "_hops", "message_signature")

    def __init__(
        self,
        hops: Sequence[Hop] = (),
        message_signature: Signature | None = None,
        flaw: str = "",
        highest: int = 0,
    ) -> None:
        self._hops = hops
        self._flaw = flaw
        self._highest = highest
        self.message_signature = message_signature
        """The newest ARC-Message-Signature; None where it is of no importance any more."""

    @classmethod
    def of(cls, fields: Iterable[Field]) -> "ArcChain":
        """The chain in these fields; what is not ARC's is not looked at. Raises nothing."""
        found = [field for field in fields if field.name in ARC_NAMES]
        if not found:
            return cls()
        if len(found) > len(ARC_NAMES) * MAX_INSTANCES:  # so that a 51st is never complete
            return cls(flaw=f"more than {MAX_INSTANCES} instances", highest=MAX_INSTANCES + 1)
        try:
            hops = _hops(found)
        except Unusable as refusal:
            return cls(flaw=refusal.finding.reason)
        return cls._checked(hops)

    @classmethod
    def _checked(cls, hops: Sequence[Hop]) -> "ArcChain":
        newest = hops[-1]
        flaw = _wrong_status(hops)
        signature = None
        if not flaw:
            try:
                signature = _message_signature(newest)
            except Unusable as refusal:
                flaw = _of_field("message signature", newest, refusal.finding)
        return cls(hops, signature, flaw, newest.instance)

    @property
    def body(self) -> tuple[BodyForm, ...]:
        """The form in which the body has to be hashed."""
        signature = self.message_signature
        return () if signature is None or signature.body is None else (signature.body,)

    @property
    def count(self) -> int:
        """How many signatures have to be verified: all seals, and the newest of the message."""
        return 0 if self.message_signature is None else 1 + len(self._hops)

    @property
    def key_names(self) -> tuple[str, ...]:
        """The keys that have to be fetched."""
        if self.message_signature is None:
            return ()
        return (self.message_signature.key_name, *[hop.seal.key_name for hop in self._hops])

    @property
    def names(self) -> tuple[bytes, ...]:
        """The fields that the newest message signature covers."""
        return () if self.message_signature is None else self.message_signature.names

    def judge(self, evidence: Evidence) -> ArcVerdict:
        """The chain validation status (RFC 8617, 4.4), with the reason where it is no pass."""
        if not self._hops and not self._flaw:
            return _NONE
        sets = tuple([_set_of(hop) for hop in self._hops])
        result, reason = ArcResult.FAIL, self._flaw
        if self.message_signature is not None:
            result, reason = self._verified(self.message_signature, evidence)
        return ArcVerdict(result, sets, reason, self._highest)

    def _verified(self, signature: Signature, evidence: Evidence) -> tuple[ArcResult, str]:
        newest = self._hops[-1]
        flaws = [
            ("message signature", newest, verify_signature(signature, evidence).finding),
            *[("seal", hop, found) for hop, found in _verified_seals(self._hops, evidence)],
        ]
        flaws = [flaw for flaw in flaws if not flaw[2].passed]
        if not flaws:
            return ArcResult.PASS, ""
        # What failed for good fails the chain, whatever the keys would say that DNS kept back.
        lasting = [flaw for flaw in flaws if flaw[2].result is not DkimResult.TEMPERROR]
        result = ArcResult.FAIL if lasting else ArcResult.TEMPERROR
        return result, _of_field(*(lasting or flaws)[0])


def _verified_seals(hops: Sequence[Hop], evidence: Evidence) -> list[tuple[Hop, Finding]]:
    """Each seal covers all sets up to its own (RFC 8617, 5.1.1): one running hash for all."""
    running = hashlib.sha256()
    found = []
    for hop in hops:
        relaxed = evidence.fields.relaxed
        running.update(relaxed(hop.results_field) + relaxed(hop.message_field))
        digest = running.copy()
        digest.update(unsigned_form(hop.seal_field, hop.seal.value, hop.seal.header_form))
        verified = verify_digest(hop.seal, digest.digest(), evidence.keys)
        found.append((hop, verified.finding))
        running.update(relaxed(hop.seal_field))
    return found


def _hops(fields: Sequence[Field]) -> list[Hop]:
    """The sets in order of instance. Raises `Unusable` where they are not whole."""
    by_instance: dict[int, dict[bytes, tuple[Field, Tags | int]]] = {}
    for field in fields:
        instance, content = _read(field)
        kinds = by_instance.setdefault(instance, {})
        if field.name in kinds:
            raise Unusable(f"instance {instance} has a field twice")
        kinds[field.name] = (field, content)
    hops = []
    for instance in range(1, max(by_instance) + 1):
        kinds = by_instance.get(instance, {})
        if len(kinds) < len(ARC_NAMES):
            raise Unusable(f"instance {instance} is not complete")
        hops.append(_hop(instance, kinds))
    return hops


def _read(field: Field) -> tuple[int, Tags | int]:
    """The instance of a field, and its tags or where its results begin."""
    if field.name == RESULTS:
        found = _RESULTS_INSTANCE(field.body)
        if found is None:
            raise Unusable("results without instance")
        return _instance(found[1]), found.end()
    tags = read_tags(field.body)
    return _instance(tags.get(b"i") or b""), tags


def _instance(value: bytes) -> int:
    if not _INSTANCE(value) or int(value) == 0:
        raise Unusable("an instance that is none")
    return int(value)


def _hop(instance: int, kinds: dict[bytes, tuple[Field, Tags | int]]) -> Hop:
    results_field, start = kinds[RESULTS]
    message_field, message_tags = kinds[MESSAGE]
    seal_field, seal_tags = kinds[SEAL]
    if not (isinstance(start, int) and isinstance(message_tags, Tags)):
        raise TypeError("a field under another's name")
    if not isinstance(seal_tags, Tags):
        raise TypeError("a field under another's name")
    if b"h" in seal_tags:
        raise Unusable(f"h= in the seal of instance {instance}")  # RFC 8617, 4.1.3
    try:
        seal = read_signature(seal_field, seal_tags, Kind.ARC_SEAL)
    except Unusable as refusal:
        raise Unusable(f"seal of instance {instance}: {refusal.finding.reason}") from None
    status = (seal_tags.get(b"cv") or b"").lower()
    return Hop(
        instance, results_field, start, message_field, message_tags, seal_field, seal, status
    )


def _wrong_status(hops: Sequence[Hop]) -> str:
    """What is wrong with the cv= tags; "" for nothing (RFC 8617, 5.2, steps 2 and 3)."""
    newest = hops[-1]
    if newest.chain_status == b"fail":
        return f"instance {newest.instance} says that the chain was broken before"
    for hop in hops:
        if hop.chain_status != (b"none" if hop.instance == 1 else b"pass"):
            return f"instance {hop.instance} has the wrong cv="
    return ""


def _message_signature(newest: Hop) -> Signature:
    signature = read_signature(newest.message_field, newest.message_tags, Kind.ARC_MESSAGE)
    if SEAL in signature.names:
        raise Unusable("it covers ARC-Seal")  # RFC 8617, 4.1.2
    return signature


def _of_field(kind: str, hop: Hop, finding: Finding) -> str:
    return f"{kind} of instance {hop.instance}: {finding.reason}"


def _set_of(hop: Hop) -> ArcSet:
    value = hop.results_field.body[hop.results_start :].replace(CRLF, b"").strip(b" \t\r\n")
    text = value[:_MAX_RESULTS].decode("utf-8", "replace")
    return ArcSet(hop.instance, hop.seal.domain, hop.seal.selector, text)
