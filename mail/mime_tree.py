"""The leaves of a message's MIME tree (RFC 2045, RFC 2046), found without decoding anything.

    octets  ->  MimeTree.walk  ->  leaves: where each body is, its type, name and encoding

Bounded in parts, depth and octets of header, and linear in what is read. Nothing raises.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_to_bytes

from mail.encoded_text import decoded_text, decoded_words
from mail.message import CRLF, Field, first_value, header_fields, split_header_block
from mail.trace import printable

MOST_FIELDS: Final = 100
MOST_NAME: Final = 120
MOST_STRUCTURED_OCTETS: Final = 2000
_MOST_PART_HEADER_OCTETS: Final = 8 * 1024
_MOST_PARTS: Final = 100
_MOST_DEPTH: Final = 8
_UNKNOWN_TYPE: Final = "application/octet-stream"

_TYPE = re.compile(rb"[ \t]*([!#$%&'*+.^_`{|}~A-Za-z0-9-]+/[!#$%&'*+.^_`{|}~A-Za-z0-9-]+)")
# A quote that nobody closes goes on to the end.
_PARAMETER = re.compile(
    rb';[ \t\r\n]*([^=;"\s]+)[ \t]*=[ \t]*("(?:[^"\\]|\\.)*(?:"|\\?\Z)|[^;]*)|[^;]+|;', re.DOTALL
)


@dataclass(frozen=True, slots=True)
class MimePart:
    """A leaf of the MIME tree; `start` and `end` of its body in the octets."""

    media_type: str
    parameters: dict[str, bytes]
    disposition: str
    name: str
    encoding: str
    start: int
    end: int

    @property
    def is_attachment(self) -> bool:
        is_text = self.media_type in ("text/plain", "text/html")
        return self.disposition == "attachment" or bool(self.name) or not is_text


@dataclass(slots=True)
class MimeTree:
    """The leaves of a message, found depth first."""

    octets: bytes
    leaves: list[MimePart] = field(default_factory=list)
    parts: int = 0
    is_cut: bool = False

    def walk(self, start: int, end: int, fields: Sequence[Field], depth: int = 0) -> None:
        part = _part(fields, start, end)
        boundary = part.parameters.get("boundary", b"")[:200].rstrip()
        if not part.media_type.startswith("multipart/") or not boundary:
            self.leaves.append(part)
            return
        if depth >= _MOST_DEPTH:
            self.is_cut = True
            return
        for begins, ends in _split(self.octets, start, end, b"--" + boundary):
            self.parts += 1
            if self.parts > _MOST_PARTS:
                self.is_cut = True
                return
            block = self.octets[begins : min(ends, begins + _MOST_PART_HEADER_OCTETS)]
            body = min(begins + split_header_block(block), ends)
            self.walk(body, ends, header_fields(block)[:MOST_FIELDS], depth + 1)


def _part(fields: Sequence[Field], start: int, end: int) -> MimePart:
    kind, parameters = _structured(first_value(fields, b"content-type") or b"text/plain")
    how, more = _structured(first_value(fields, b"content-disposition") or b"")
    encoding = first_value(fields, b"content-transfer-encoding") or b""
    media_type = _TYPE.match(kind)
    return MimePart(
        media_type=media_type[1].decode("ascii").lower() if media_type else _UNKNOWN_TYPE,
        parameters=parameters,
        disposition=how.strip().lower().decode("latin-1"),
        name=_name(more, "filename") or _name(parameters, "name"),
        encoding=encoding.strip().lower().decode("latin-1"),
        start=start,
        end=end,
    )


def _structured(value: bytes) -> tuple[bytes, dict[str, bytes]]:
    """The word before the parameters, and those by lower-case name; the first of a name counts."""
    value = value[:MOST_STRUCTURED_OCTETS]
    found: dict[str, bytes] = {}
    for match in _PARAMETER.finditer(value):
        if match[1]:
            name = match[1].decode("latin-1").lower()
            found.setdefault(name, _unquoted(match[2].strip()))
    return value.split(b";", 1)[0], found


def _unquoted(value: bytes) -> bytes:
    if value[:1] != b'"':
        return value
    return re.sub(rb"\\(.)", rb"\1", value[1:].removesuffix(b'"'), flags=re.DOTALL)


def _name(parameters: dict[str, bytes], name: str) -> str:
    """A file's name in any of its spellings (RFC 2231; encoded words, which many write)."""
    if name in parameters:
        text = decoded_words(parameters[name].decode("utf-8", "replace"))
    elif f"{name}*" in parameters:
        text = _extended(parameters[f"{name}*"])
    else:
        text = _extended(b"".join(_pieces(parameters, name)))
    return printable(" ".join(text.split()), MOST_NAME)


def _pieces(parameters: dict[str, bytes], name: str) -> Iterator[bytes]:
    for number in range(_MOST_PARTS):
        piece = parameters.get(f"{name}*{number}*", parameters.get(f"{name}*{number}"))
        if piece is None:
            return
        yield piece


def _extended(value: bytes) -> str:
    charset, quote, rest = value.partition(b"'")
    if not quote or b"'" not in rest:
        return decoded_text(value, "utf-8")
    octets = unquote_to_bytes(rest.split(b"'", 1)[1])
    return decoded_text(octets, charset.decode("latin-1"))


def _split(octets: bytes, start: int, end: int, delimiter: bytes) -> Iterator[tuple[int, int]]:
    """Where the parts between the delimiter lines are; text before the first one is nobody's."""
    begins = -1
    at = start if octets.startswith(delimiter, start) else _next(octets, delimiter, start, end)
    while at >= 0:
        after = at + len(delimiter)
        if octets[after : after + 1] in (b"\r", b" ", b"\t", b"-", b""):
            if begins >= 0:
                yield begins, max(begins, at - len(CRLF))
            if octets.startswith(b"--", after):
                return
            line_end = octets.find(CRLF, after, end)
            if line_end < 0:
                return
            begins = after = line_end + len(CRLF)
            if octets.startswith(delimiter, after, end):
                at = after
                continue
        at = _next(octets, delimiter, max(after - len(CRLF), start), end)
    if begins >= 0:
        yield begins, end


def _next(octets: bytes, delimiter: bytes, start: int, end: int) -> int:
    found = octets.find(CRLF + delimiter, start, end)
    return found + len(CRLF) if found >= 0 else -1
