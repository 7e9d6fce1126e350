"""Reads a message's header block without ever writing it again.

The octets are opaque (they carry the author's DKIM signature), so everything here points into them:
a `Field` is a name and a slice, nothing is re-serialised, and what must go is cut by byte range.

    who calls          what comes in                 what goes out
    smtp_edge/, rules  the octets, CRLF only         fields, facts about them
    mail/signing.py    the header block              the fields to sign

All of it is linear in the size of what it reads, whatever a stranger puts there.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from mail.mailboxes import author_domains, without_comments

CRLF = b"\r\n"
_NAME = re.compile(rb"[!-9;-~]++")
_UNSEEN = re.compile(rb"[^!-~]++")
_AUTHOR_FIELDS = frozenset({b"from", b"sender", b"resent-from"})
_LIST_PRECEDENCE = frozenset({b"bulk", b"list", b"junk"})
_LIST_FIELDS = frozenset(
    b"list-id list-post list-unsubscribe list-help list-subscribe mailing-list".split()
)
_LONGEST_USUAL_NAME = 48
_NOT_READ = b' \t\r\n"\\'
_DOT_AND_VERSION = b".0123456789"
_NAME_OCTETS = b"abcdefghijklmnopqrstuvwxyz0123456789-_."
REQUIRED_FIELDS = (b"date", b"message-id")


# A tuple, not a dataclass: as immutable, and three times cheaper to make; a message has twenty.
class Field(NamedTuple):
    """One header field as it stands in the octets: `raw` is octets[start:end], folding included.

    `name` is lower case, without white space before the colon; empty for a line that is no field.
    """

    name: bytes
    raw: bytes
    start: int
    colon: int

    @property
    def end(self) -> int:
        """Index after the field's line end, in the octets it was read from."""
        return self.start + len(self.raw)

    @property
    def body(self) -> bytes:
        """Everything after the colon, folded as it came."""
        return self.raw[self.colon + 1 :]

    @property
    def value(self) -> bytes:
        """The body, unfolded and stripped (RFC 5322, 2.2.3)."""
        return self.body.replace(CRLF, b"").strip(b" \t\r\n")


def split_header_block(octets: bytes) -> int:
    """Index at which the body begins; the length of the octets when there is no body."""
    if octets.startswith(CRLF):
        return 2
    blank = octets.find(b"\r\n\r\n")
    return len(octets) if blank < 0 else blank + 4


def header_fields(block: bytes) -> list[Field]:
    """The fields of a header block in order, broken lines included, up to its blank line."""
    fields = []
    start, size, find = 0, len(block), block.find
    while start < size:
        end = find(CRLF, start) + 2
        if end == start + 2:
            break
        while 1 < end < size and block[end] in b" \t":
            end = find(CRLF, end) + 2
        if end == 1:
            end = size  # the block was cut off inside a line
        raw = block[start:end]
        colon = raw.find(b":")
        name = raw[:colon] if colon > 0 else b""
        lower = _lower(name) if len(name) < _LONGEST_USUAL_NAME else _spoiled(name)
        fields.append(Field(lower, raw, start, colon))
        start = end
    return fields


def _spoiled(name: bytes) -> bytes:
    # "From :" is the obsolete form of "From:" (RFC 5322, 4.5), a leading space is somebody's trick.
    return name.strip(b" \t\r\n").lower()


_lower = lru_cache(maxsize=1024)(_spoiled)  # the same forty names in all mail of the world


def values(fields: Iterable[Field], name: bytes) -> list[bytes]:
    """The unfolded values of all fields of this lower-case name, from the top."""
    return [field.value for field in fields if field.name == name]


def first_value(fields: Iterable[Field], name: bytes) -> bytes | None:
    """The unfolded value of the topmost field of this lower-case name, or None."""
    for field in fields:
        if field.name == name:
            return field.value
    return None


def missing_fields(
    fields: Iterable[Field], required: tuple[bytes, ...] = REQUIRED_FIELDS
) -> tuple[bytes, ...]:
    """Which of the required names the message lacks (RFC 6409, 8.2 and 8.3)."""
    present = {field.name for field in fields}
    return tuple(name for name in required if name not in present)


def begins_with_continuation(octets: bytes) -> bool:
    """Whether the first line would be swallowed by a field put before it."""
    return octets[:1] in (b" ", b"\t")


def authors(fields: Iterable[Field]) -> tuple[str, ...]:
    """Every domain that a reader could take as the author's, canonical and sorted.

    All addresses of all From, Sender and Resent-From fields, also of fields whose name is spoiled
    by white space or invisible octets. Raises `TooManyAuthors` (see mail/mailboxes.py).
    """
    return author_domains(field.value for field in fields if _names_author(field.name))


def _names_author(name: bytes) -> bool:
    if name in _AUTHOR_FIELDS:
        return True
    # A line without a colon has no name, so there is no value either.
    return not _NAME.fullmatch(name) and _UNSEEN.sub(b"", name) in _AUTHOR_FIELDS


def count_received(fields: Iterable[Field]) -> int:
    """How many hops the message says it made (RFC 5321, 6.3)."""
    return sum(field.name == b"received" for field in fields)


def is_auto_submitted(fields: Iterable[Field]) -> bool:
    """Whether a machine wrote it: Auto-Submitted other than "no" (RFC 3834, 5)."""
    return any(_words(value) != [b"no"] for value in values(fields, b"auto-submitted"))


def is_report(fields: Iterable[Field]) -> bool:
    """Whether it is a multipart/report (RFC 6522), as DSNs are."""
    value = first_value(fields, b"content-type")
    return value is not None and b"".join(_words(value)) == b"multipart/report"


def is_list_or_bulk(fields: Iterable[Field]) -> bool:
    """Whether it came over a list or in bulk, so that courtesy mail must not answer it."""
    return any(
        field.name in _LIST_FIELDS
        or (field.name == b"precedence" and not _LIST_PRECEDENCE.isdisjoint(_words(field.value)))
        for field in fields
    )


def _words(value: bytes) -> list[bytes]:
    """The words before the parameters, lower case, without comments."""
    return without_comments(value)[0].split(b";", 1)[0].lower().split()


def cut_authentication_results(octets: bytes, authserv_id: str) -> list[tuple[int, int]]:
    """Byte ranges of the Authentication-Results fields that claim to be ours (RFC 8601, 5).

    A field that cannot be read is ours if it holds our id anywhere. Fields of others stay, and so
    do ARC-Authentication-Results, which belong to their chain.
    """
    block = octets[: split_header_block(octets)]
    if b"authentication-results" not in block.lower():
        return []
    own = authserv_id.lower().rstrip(".").encode()
    return [
        (field.start, field.end)
        for field in header_fields(block)
        if field.name == b"authentication-results" and _bears(field.value, own)
    ]


def _bears(value: bytes, own: bytes) -> bool:
    plain, balanced = without_comments(value)
    identity = plain.split(b";", 1)[0].lower()
    if (not balanced or b'"' in identity) and own in value.lower():
        return True
    if identity.split()[:1] in ([own], [own + b"."]):
        return True
    # Readers take out quotes, backslashes and white space, or end the id at what is no name.
    squeezed = identity.translate(None, _NOT_READ)
    rest = squeezed.removeprefix(own)
    if rest == squeezed:
        return False
    return not rest.strip(_DOT_AND_VERSION) or rest[:1] not in _NAME_OCTETS


def without_ranges(octets: bytes, ranges: Iterable[tuple[int, int]]) -> bytes:
    """The octets without the given ascending, disjoint byte ranges; the same object when none."""
    kept, position = [], 0
    for start, end in ranges:
        kept.append(octets[position:start])
        position = end
    return b"".join((*kept, octets[position:])) if kept else octets
