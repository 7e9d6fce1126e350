"""The two canonical forms of header fields and bodies (RFC 6376, 3.4), as verifiers need them.

    while the message comes in   BodyHashes     one hash for each form in use, however many ask
    at its end                   SignedFields   the octets that one signature covers

A body with stray CR or LF never gets here: the edge refuses it.
"""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from mail.message import CRLF, Field
from mail.signing import Digest, RelaxedBodyHash, relaxed_field

_BLANK_LINES_AT_ONCE: Final = 32_768


class Form(Enum):
    """The two canonicalisation algorithms."""

    SIMPLE = b"simple"
    RELAXED = b"relaxed"


@dataclass(frozen=True, slots=True)
class BodyForm:
    """What a signature says of the body that it signs; `limit` is l=."""

    form: Form
    limit: int | None = None


class PrefixHash:
    """SHA-256 that also counts, and keeps the digest at each of some sizes (l=).

    However many signatures have limits, the octets are hashed once.
    """

    __slots__ = ("_hash", "_limits", "octets", "taken")

    def __init__(self, limits: Iterable[int]) -> None:
        self._hash = hashlib.sha256()
        self._limits = sorted(set(limits), reverse=True)  # the next one is the last
        self.taken: dict[int, bytes] = {}
        self.octets = 0
        self.update(b"")

    def update(self, octets: bytes, /) -> None:
        start = 0
        while self._limits and self._limits[-1] <= self.octets + len(octets) - start:
            limit = self._limits.pop()
            until = start + limit - self.octets
            self._hash.update(octets[start:until])
            self.taken[limit] = self._hash.digest()
            self.octets, start = limit, until
        self._hash.update(octets[start:] if start else octets)
        self.octets += len(octets) - start

    def copy(self) -> "PrefixHash":
        other = PrefixHash(())
        other._hash = self._hash.copy()
        other._limits = self._limits.copy()
        other.taken = self.taken.copy()
        other.octets = self.octets
        return other

    def digest(self) -> bytes:
        return self._hash.digest()


class SimpleBodyHash:
    """SHA-256 of a body in simple form (RFC 6376, 3.4.3), fed in chunks cut anywhere."""

    __slots__ = ("_blank_lines", "_hash", "_tail")

    def __init__(self, into: Digest | None = None) -> None:
        self._hash: Digest = hashlib.sha256() if into is None else into
        self._blank_lines = 0  # line ends at the end, hashed only if more comes
        self._tail = b""  # a CR that may become one of them

    def update(self, chunk: bytes) -> None:
        """Take the next octets of the body."""
        data = self._tail + chunk if self._tail else chunk
        self._tail = b"\r" if data.endswith(b"\r") else b""
        end = len(data) - len(self._tail)
        text = _without_line_ends(data, end)
        if text:
            _add_blank_lines(self._hash, self._blank_lines)
            self._hash.update(data[:text] if text < len(data) else data)
            self._blank_lines = 0
        self._blank_lines += (end - text) // 2

    def digest(self) -> bytes:
        """The digest of everything so far; more may follow."""
        return self.finished().digest()

    def finished(self) -> Digest:
        """A copy of the hash, with the one line end that a body ends in."""
        whole = self._hash.copy()
        if self._tail:
            _add_blank_lines(whole, self._blank_lines)
        whole.update(self._tail + CRLF)
        return whole


def _without_line_ends(data: bytes, end: int) -> int:
    """Where the pairs of CR and LF begin that data[:end] ends in; exact for stray ones too."""
    if not data.endswith(b"\n", 0, end):
        return end
    stripped = len(data[:end].rstrip(CRLF))
    breaks = max(data.rfind(pair, stripped, end) for pair in (b"\r\r", b"\n\n"))
    start = stripped if breaks < 0 else breaks + 1
    return start + 1 if data[start : start + 1] == b"\n" else start


def _add_blank_lines(to: Digest, count: int) -> None:
    while count:
        now = min(count, _BLANK_LINES_AT_ONCE)
        to.update(CRLF * now)
        count -= now


class BodyHashes:
    """The hashes of one body in all forms that its signatures use: two at the most."""

    __slots__ = ("_running",)

    def __init__(self, forms: Collection[BodyForm]) -> None:
        self._running: dict[Form, RelaxedBodyHash | SimpleBodyHash] = {}
        for form in {one.form for one in forms}:
            limits = [one.limit for one in forms if one.form is form and one.limit is not None]
            into = PrefixHash(limits) if limits else None
            relaxed = form is Form.RELAXED
            self._running[form] = RelaxedBodyHash(into) if relaxed else SimpleBodyHash(into)

    def __bool__(self) -> bool:
        return bool(self._running)

    def update(self, body_octets: bytes) -> None:
        """Take the next octets of the body."""
        for running in self._running.values():
            running.update(body_octets)

    def finished(self) -> "BodyDigests":
        """What they came to."""
        return BodyDigests({form: one.finished() for form, one in self._running.items()})


class BodyDigests:
    """The finished hashes of one body."""

    __slots__ = ("_finished",)

    def __init__(self, finished: dict[Form, Digest]) -> None:
        self._finished = finished

    def whole(self, form: Form) -> bytes | None:
        """The digest of all of it; None in a form that nobody asked for."""
        found = self._finished.get(form)
        return None if found is None else found.digest()

    def prefix(self, body: BodyForm) -> tuple[bytes | None, bool]:
        """The digest up to the limit, and whether that is all; no digest of more than there is."""
        found = self._finished[body.form]
        if body.limit is None:
            return found.digest(), True
        if not isinstance(found, PrefixHash):
            raise TypeError("a limit that nobody announced")
        return found.taken.get(body.limit), found.octets <= body.limit


class SignedFields:
    """The fields of one message that its signatures name, by name and in canonical form.

    Each field is brought into relaxed form once, however many signatures cover it.
    """

    __slots__ = ("_by_name", "_relaxed")

    def __init__(self, fields: Iterable[Field], names: Collection[bytes]) -> None:
        self._by_name: dict[bytes, list[Field]] = {}
        self._relaxed: dict[int, bytes] = {}
        for field in fields:
            if field.name in names:
                self._by_name.setdefault(field.name, []).append(field)

    def count(self, name: bytes) -> int:
        """How many fields have this name, if it is one of those asked for."""
        return len(self._by_name.get(name, ()))

    def covered(self, names: Sequence[bytes], form: Form, signature: Field) -> list[bytes]:
        """The named fields, the lowest of a name first (RFC 6376, 5.4.2), without the signature."""
        chosen = []
        others = self._by_name.get(signature.name, ())
        others = [one for one in others if one.start != signature.start]
        used: dict[bytes, int] = {}
        for name in names:
            place = used[name] = used.get(name, 0) + 1
            there = others if name == signature.name else self._by_name.get(name, ())
            if place <= len(there):
                chosen.append(there[-place])
        if form is Form.SIMPLE:
            return [line_ended(one.raw) for one in chosen]
        return [self.relaxed(one) for one in chosen]

    def relaxed(self, field: Field) -> bytes:
        """A field in relaxed form."""
        found = self._relaxed.get(field.start)
        if found is None:
            found = self._relaxed[field.start] = relaxed_field(field.name, field.body)
        return found


def line_ended(raw: bytes) -> bytes:
    """A field as it stands; the last one of a message without a body may lack its line end."""
    return raw if raw.endswith(CRLF) else raw + CRLF


def unsigned_form(field: Field, value: tuple[int, int], form: Form) -> bytes:
    """A signature field with the value of b= taken out and without line end (RFC 6376, 3.7).

    `value` is where it stands in the field's body.
    """
    start, end = value
    body = field.body
    if form is Form.RELAXED:
        return relaxed_field(field.name, body[:start] + body[end:])[: -len(CRLF)]
    head = field.raw[: field.colon + 1]
    return head + (body[:start] + body[end:]).removesuffix(CRLF)
