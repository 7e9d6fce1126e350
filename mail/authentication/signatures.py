"""All signatures of one message: DKIM (RFC 6376, 8301, 8463) and ARC (RFC 8617).

    SignatureCheck.of(fields)      once the header block is there
        .fetch_keys(lookup)        may run while the body comes in
        .update(body_octets)       each piece of the body, cut anywhere
        .judge(now=)               at its end

`judge` is the part that costs CPU: synchronous, for a thread where the caller likes. Who wants to
ask for all keys at once does so for `key_names` and gives the answers to `take_key`; a key without
answer is a temporary error.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mail.authentication.arc_chain import ARC_NAMES, ArcChain
from mail.authentication.canonical import BodyHashes, SignedFields
from mail.authentication.findings import Finding, Unusable
from mail.authentication.signature_fields import (
    Description,
    Kind,
    Signature,
    check_dkim,
    describe,
    read_signature,
)
from mail.authentication.tags import Tags, read_tags
from mail.authentication.values import ArcVerdict, DkimSignature
from mail.authentication.verification import Evidence, verify_signature
from mail.lookups import Answer, Lookup
from mail.message import Field

MAX_SIGNATURES: Final = 15
_SIGNATURE: Final = b"dkim-signature"
_NAMES: Final = ARC_NAMES | {_SIGNATURE}


@dataclass(frozen=True, slots=True)
class SignatureVerdicts:
    """`dkim` has the topmost signature first; `skipped` are more than we look at."""

    dkim: tuple[DkimSignature, ...]
    skipped: int
    arc: ArcVerdict


@dataclass(frozen=True, slots=True)
class _Candidate:
    """One DKIM-Signature field: a signature, or what stands against it."""

    description: Description
    signature: Signature | None = None
    finding: Finding | None = None


class SignatureCheck:
    """The signatures of one message while it comes in; made by `of`."""

    __slots__ = ("_bodies", "_candidates", "_chain", "_fields", "_keys", "_skipped")

    def __init__(
        self, fields: Sequence[Field], candidates: Sequence[_Candidate], skipped: int
    ) -> None:
        self._fields = fields
        self._candidates = candidates
        self._skipped = skipped
        self._chain = ArcChain.of(fields) if fields else ArcChain()
        self._keys: dict[str, Answer[bytes]] = {}
        wanted = [one.body for one in self._readable() if one.body is not None]
        self._bodies = BodyHashes([*wanted, *self._chain.body])

    @classmethod
    def of(cls, header_block_fields: Sequence[Field]) -> "SignatureCheck":
        """The signatures in a header block, read; raises nothing."""
        found = [field for field in header_block_fields if field.name in _NAMES]
        if not found:
            return cls((), (), 0)
        dkim = [field for field in found if field.name == _SIGNATURE]
        candidates = [_candidate(field) for field in dkim[:MAX_SIGNATURES]]
        return cls(header_block_fields, candidates, max(len(dkim) - MAX_SIGNATURES, 0))

    @property
    def wants_body(self) -> bool:
        """Whether anything in it needs the body; `update` costs nothing otherwise."""
        return bool(self._bodies)

    @property
    def count(self) -> int:
        """How many signatures and seals have to be verified, whatever keys they share."""
        return len(self._readable()) + self._chain.count

    @property
    def key_names(self) -> tuple[str, ...]:
        """The names at which keys are still to be asked for (TXT), each once."""
        names = [one.key_name for one in self._readable()]
        wanted = dict.fromkeys((*names, *self._chain.key_names))
        return tuple([name for name in wanted if name not in self._keys])

    def take_key(self, name: str, answer: Answer[bytes]) -> None:
        """Keep the answer for one of the `key_names`."""
        self._keys[name] = answer

    async def fetch_keys(self, lookup: Lookup) -> None:
        """Ask for all keys that still lack, one after the other."""
        for name in self.key_names:
            self.take_key(name, await lookup.txt(name))

    def update(self, body_octets: bytes) -> None:
        """Take the next octets of the body, which begins after the blank line."""
        self._bodies.update(body_octets)

    def judge(self, *, now: int) -> SignatureVerdicts:
        """The verdicts on the whole message with the keys that are there; `now`: s since 1970.

        Changes nothing, waits for nothing.
        """
        covered = {name for one in self._readable() for name in one.names}
        fields = SignedFields(self._fields, covered.union(self._chain.names))
        evidence = Evidence(fields, self._bodies.finished(), self._keys, now)
        dkim = tuple([_judged(one, evidence) for one in self._candidates])
        return SignatureVerdicts(dkim, self._skipped, self._chain.judge(evidence))

    def _readable(self) -> Sequence[Signature]:
        return [one.signature for one in self._candidates if one.signature is not None]


def _candidate(field: Field) -> _Candidate:
    try:
        tags = read_tags(field.body)
    except Unusable as refusal:
        return _Candidate(Description(), finding=refusal.finding)
    return _read(field, tags)


def _read(field: Field, tags: Tags) -> _Candidate:
    description = describe(tags)
    try:
        check_dkim(tags)
        return _Candidate(description, read_signature(field, tags, Kind.DKIM))
    except Unusable as refusal:
        return _Candidate(description, finding=refusal.finding)


def _judged(candidate: _Candidate, evidence: Evidence) -> DkimSignature:
    finding, is_testing = candidate.finding, False
    if candidate.signature is not None:
        verified = verify_signature(candidate.signature, evidence)
        finding, is_testing = verified.finding, verified.is_testing
    assert finding is not None
    told = candidate.description
    return DkimSignature(
        finding.result,
        told.domain,
        told.selector,
        told.identity,
        told.algorithm,
        told.signature_start,
        finding.reason,
        is_testing,
    )
