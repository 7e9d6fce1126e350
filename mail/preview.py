"""What somebody may look at of a message that is not trusted: its fields, its plain text, names.

    the octets, or the first of them  ->  Preview

Whoever wrote the message wants something of whoever reads this. So nothing is interpreted that need
not be: HTML is never rendered, an address is never a link, and each line passes `printable`, so
that no control, invisible or turning character is left. Reading is bounded in octets, parts, depth
and fields, and linear in what is read. Nothing raises: what cannot be read is shown as it stands.
"""

import base64
import binascii
import codecs
import quopri
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final
from urllib.parse import unquote_to_bytes

from mail.address import parse_address
from mail.errors import MailError
from mail.mailboxes import without_comments
from mail.message import CRLF, Field, first_value, header_fields, split_header_block, values
from mail.trace import printable

MOST_TEXT_OCTETS: Final = 50_000
MOST_LINES: Final = 1000
_MOST_HEADER_OCTETS: Final = 64 * 1024
_MOST_PART_HEADER_OCTETS: Final = 8 * 1024
_MOST_FIELDS: Final = 100
_MOST_FIELD_CHARACTERS: Final = 1000
_MOST_STRUCTURED_OCTETS: Final = 2000
_MOST_PARTS: Final = 100
_MOST_DEPTH: Final = 8
_LINE_CHARACTERS: Final = 500
_MOST_NAME: Final = 120
_UNKNOWN_TYPE: Final = "application/octet-stream"

_ENCODED_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?([^?]*+)\?=")
_BETWEEN_WORDS = re.compile(r"\?=[ \t\r\n]++=\?")
_CHARSET = re.compile(r"utf|iso|windows|cp|koi|gb|big5|shift|euc|us-ascii|ascii|mac", re.I)
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")
_TYPE = re.compile(rb"[ \t]*([!#$%&'*+.^_`{|}~A-Za-z0-9-]+/[!#$%&'*+.^_`{|}~A-Za-z0-9-]+)")
# A quote that nobody closes goes on to the end.
_PARAMETER = re.compile(
    rb';[ \t\r\n]*([^=;"\s]+)[ \t]*=[ \t]*("(?:[^"\\]|\\.)*(?:"|\\?\Z)|[^;]*)|[^;]+|;', re.DOTALL
)
_ONE_MAILBOX = re.compile(r'(?:(?:"[^"]*"|[^<>",])*<)?\s*([^\s<>",;:@]+@[^\s<>",;:@]+)\s*>?\s*')


class TextSource(Enum):
    """What the lines of a preview are."""

    PLAIN = "plain"
    HTML = "html"
    """There is no plain text: the source of the HTML, as text."""
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Attachment:
    """`size_octets` is about what it has when it is decoded; more where it was not read whole."""

    name: str
    media_type: str
    size_octets: int
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class Preview:
    """`fields` are (name, value) in order; `lines` and all names print on one line each.

    `author` is the address of the one mailbox in the one From field, else "".
    """

    fields: tuple[tuple[str, str], ...]
    author: str
    lines: tuple[str, ...]
    source: TextSource
    has_html: bool
    attachments: tuple[Attachment, ...]
    is_cut: bool
    """More was written than is here."""


@dataclass(frozen=True, slots=True)
class _Part:
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
class _Tree:
    """The leaves of a message, found depth first."""

    octets: bytes
    leaves: list[_Part] = field(default_factory=list)
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
            self.walk(body, ends, header_fields(block)[:_MOST_FIELDS], depth + 1)


def preview(octets: bytes, *, is_whole: bool = True) -> Preview:
    """Read a message, or its first octets where `is_whole` is False."""
    body = split_header_block(octets)
    fields = header_fields(octets[: min(body, _MOST_HEADER_OCTETS)])
    tree = _Tree(octets)
    tree.walk(body, len(octets), fields)
    plain = [one for one in tree.leaves if _is_body(one, "text/plain")]
    html = [one for one in tree.leaves if _is_body(one, "text/html")]
    source = TextSource.PLAIN if plain else TextSource.HTML if html else TextSource.NONE
    lines, cut = _lines(octets, plain or html[:1])
    return Preview(
        fields=tuple(_shown(one) for one in fields[:_MOST_FIELDS]),
        author=author_of(fields),
        lines=lines,
        source=source,
        has_html=bool(html),
        attachments=tuple(_attachments(octets, tree.leaves, is_whole)),
        is_cut=cut or tree.is_cut or not is_whole or len(fields) > _MOST_FIELDS,
    )


def author_of(fields: Sequence[Field]) -> str:
    """The address of the only author, canonical; "" where there are several, or none to be read."""
    found = values(fields, b"from")
    if len(found) != 1 or len(found[0]) > _MOST_STRUCTURED_OCTETS:
        return ""
    octets, balanced = without_comments(found[0])
    match = _ONE_MAILBOX.fullmatch(octets.decode("utf-8", "replace").strip())
    try:
        return str(parse_address(match[1])) if match and balanced else ""
    except (MailError, ValueError):
        return ""


def decoded_words(text: str) -> str:
    """A field's value with its encoded words decoded (RFC 2047), leniently."""
    return _ENCODED_WORD.sub(_word, _BETWEEN_WORDS.sub("?==?", text))


def _word(match: "re.Match[str]") -> str:
    payload = match[3].encode("ascii", "ignore")
    is_base64 = match[2] in "bB"
    octets = _base64(payload) if is_base64 else quopri.decodestring(payload, header=True)
    return _decoded(octets, match[1].split("*", 1)[0])


def _shown(one: Field) -> tuple[str, str]:
    name = one.raw[: max(one.colon, 0)].decode("latin-1")
    value = one.value[: 4 * _MOST_FIELD_CHARACTERS].decode("utf-8", "replace")
    text = " ".join(decoded_words(value).split())
    return printable(name, _MOST_NAME), printable(text, _MOST_FIELD_CHARACTERS)


# The MIME tree (RFC 2045, RFC 2046)


def _part(fields: Sequence[Field], start: int, end: int) -> _Part:
    kind, parameters = _structured(first_value(fields, b"content-type") or b"text/plain")
    how, more = _structured(first_value(fields, b"content-disposition") or b"")
    encoding = first_value(fields, b"content-transfer-encoding") or b""
    media_type = _TYPE.match(kind)
    return _Part(
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
    value = value[:_MOST_STRUCTURED_OCTETS]
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
    return printable(" ".join(text.split()), _MOST_NAME)


def _pieces(parameters: dict[str, bytes], name: str) -> Iterator[bytes]:
    for number in range(_MOST_PARTS):
        piece = parameters.get(f"{name}*{number}*", parameters.get(f"{name}*{number}"))
        if piece is None:
            return
        yield piece


def _extended(value: bytes) -> str:
    charset, quote, rest = value.partition(b"'")
    if not quote or b"'" not in rest:
        return _decoded(value, "utf-8")
    octets = unquote_to_bytes(rest.split(b"'", 1)[1])
    return _decoded(octets, charset.decode("latin-1"))


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


def _is_body(part: _Part, media_type: str) -> bool:
    return part.media_type == media_type and not part.is_attachment


def _attachments(octets: bytes, leaves: Sequence[_Part], is_whole: bool) -> Iterator[Attachment]:
    for part in leaves:
        if part.is_attachment:
            ends_inside = is_whole or part.end < len(octets)
            size = _decoded_size(octets, part)
            kind = printable(part.media_type, _MOST_NAME)
            yield Attachment(part.name, kind, size, is_whole=ends_inside)


def _decoded_size(octets: bytes, part: _Part) -> int:
    size = part.end - part.start
    if part.encoding != "base64":
        return size
    return (size - len(CRLF) * octets.count(CRLF, part.start, part.end)) * 3 // 4


# Text


def _lines(octets: bytes, parts: Sequence[_Part]) -> tuple[tuple[str, ...], bool]:
    """Lines that print, and whether there were more."""
    texts: list[str] = []
    left, cut = MOST_TEXT_OCTETS, False
    for part in parts:
        clear, more = _clear_octets(octets, part, left)
        left, cut = left - len(clear), cut or more
        charset = part.parameters.get("charset", b"utf-8")[:60].decode("latin-1")
        texts.append(_decoded(clear, charset))
    lines = [line for text in texts for line in _printable_lines(text)]
    return tuple(lines[:MOST_LINES]), cut or len(lines) > MOST_LINES


def _printable_lines(text: str) -> Iterator[str]:
    for line in text.rstrip().splitlines():
        for start in range(0, len(line) or 1, _LINE_CHARACTERS):
            piece = line[start : start + _LINE_CHARACTERS].expandtabs(4)
            yield printable(piece, 12 * _LINE_CHARACTERS).rstrip()


def _clear_octets(octets: bytes, part: _Part, most: int) -> tuple[bytes, bool]:
    """The first octets of a part without its transfer encoding, and whether there are more."""
    encoded = octets[part.start : min(part.end, part.start + 3 * most)]
    if part.encoding == "base64":
        clear = _base64(encoded)
    elif part.encoding == "quoted-printable":
        clear = quopri.decodestring(encoded)
    else:
        clear = encoded
    return clear[:most], len(clear) > most or part.start + 3 * most < part.end


def _base64(encoded: bytes) -> bytes:
    clean = _NOT_BASE64.sub(b"", encoded)
    if len(clean) % 4 == 1:
        clean = clean[:-1]
    try:
        return base64.b64decode(clean + b"=" * (-len(clean) % 4))
    except binascii.Error:
        return b""


def _decoded(octets: bytes, charset: str) -> str:
    return octets.decode(_codec(charset), "replace")


def _codec(charset: str) -> str:
    name = charset.strip().strip("'\"")
    if not _CHARSET.match(name):  # some codecs of Python are no charsets and take quadratic time
        return "utf-8"
    try:
        found = codecs.lookup(name)
        b"".decode(found.name)  # not for those that give something else than text
    except (LookupError, ValueError):
        return "utf-8"
    return found.name
