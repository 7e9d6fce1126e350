"""What somebody may look at of a message that is not trusted: its fields, its plain text, names.

    the octets, or the first of them  ->  Preview

Whoever wrote the message wants something of whoever reads this. So nothing is interpreted that need
not be: HTML is never rendered, an address is never a link, and each line passes `printable`, so
that no control, invisible or turning character is left. Reading is bounded in octets, parts, depth
and fields, and linear in what is read. Nothing raises: what cannot be read is shown as it stands.
"""

import quopri
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from mail.address import parse_address
from mail.encoded_text import decoded_base64, decoded_text, decoded_words
from mail.errors import MailError
from mail.mailboxes import without_comments
from mail.message import CRLF, Field, header_fields, split_header_block, values
from mail.mime_tree import (
    MOST_FIELDS,
    MOST_NAME,
    MOST_STRUCTURED_OCTETS,
    MimePart,
    MimeTree,
)
from mail.trace import printable

MOST_TEXT_OCTETS: Final = 50_000
MOST_LINES: Final = 1000
_MOST_HEADER_OCTETS: Final = 64 * 1024
_MOST_FIELD_CHARACTERS: Final = 1000
_LINE_CHARACTERS: Final = 500

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


def preview(octets: bytes, *, is_whole: bool = True) -> Preview:
    """Read a message, or its first octets where `is_whole` is False."""
    body = split_header_block(octets)
    fields = header_fields(octets[: min(body, _MOST_HEADER_OCTETS)])
    tree = MimeTree(octets)
    tree.walk(body, len(octets), fields)
    plain = [one for one in tree.leaves if _is_body(one, "text/plain")]
    html = [one for one in tree.leaves if _is_body(one, "text/html")]
    source = TextSource.PLAIN if plain else TextSource.HTML if html else TextSource.NONE
    lines, cut = _lines(octets, plain or html[:1])
    return Preview(
        fields=tuple(_shown(one) for one in fields[:MOST_FIELDS]),
        author=author_of(fields),
        lines=lines,
        source=source,
        has_html=bool(html),
        attachments=tuple(_attachments(octets, tree.leaves, is_whole)),
        is_cut=cut or tree.is_cut or not is_whole or len(fields) > MOST_FIELDS,
    )


def author_of(fields: Sequence[Field]) -> str:
    """The address of the only author, canonical; "" where there are several, or none to be read."""
    found = values(fields, b"from")
    if len(found) != 1 or len(found[0]) > MOST_STRUCTURED_OCTETS:
        return ""
    octets, balanced = without_comments(found[0])
    match = _ONE_MAILBOX.fullmatch(octets.decode("utf-8", "replace").strip())
    try:
        return str(parse_address(match[1])) if match and balanced else ""
    except (MailError, ValueError):
        return ""


def _shown(one: Field) -> tuple[str, str]:
    name = one.raw[: max(one.colon, 0)].decode("latin-1")
    value = one.value[: 4 * _MOST_FIELD_CHARACTERS].decode("utf-8", "replace")
    text = " ".join(decoded_words(value).split())
    return printable(name, MOST_NAME), printable(text, _MOST_FIELD_CHARACTERS)


def _is_body(part: MimePart, media_type: str) -> bool:
    return part.media_type == media_type and not part.is_attachment


def _attachments(octets: bytes, leaves: Sequence[MimePart], is_whole: bool) -> Iterator[Attachment]:
    for part in leaves:
        if part.is_attachment:
            ends_inside = is_whole or part.end < len(octets)
            size = _decoded_size(octets, part)
            kind = printable(part.media_type, MOST_NAME)
            yield Attachment(part.name, kind, size, is_whole=ends_inside)


def _decoded_size(octets: bytes, part: MimePart) -> int:
    size = part.end - part.start
    if part.encoding != "base64":
        return size
    return (size - len(CRLF) * octets.count(CRLF, part.start, part.end)) * 3 // 4


# Text


def _lines(octets: bytes, parts: Sequence[MimePart]) -> tuple[tuple[str, ...], bool]:
    """Lines that print, and whether there were more."""
    texts: list[str] = []
    left, cut = MOST_TEXT_OCTETS, False
    for part in parts:
        clear, more = _clear_octets(octets, part, left)
        left, cut = left - len(clear), cut or more
        charset = part.parameters.get("charset", b"utf-8")[:60].decode("latin-1")
        texts.append(decoded_text(clear, charset))
    lines = [line for text in texts for line in _printable_lines(text)]
    return tuple(lines[:MOST_LINES]), cut or len(lines) > MOST_LINES


def _printable_lines(text: str) -> Iterator[str]:
    for line in text.rstrip().splitlines():
        for start in range(0, len(line) or 1, _LINE_CHARACTERS):
            piece = line[start : start + _LINE_CHARACTERS].expandtabs(4)
            yield printable(piece, 12 * _LINE_CHARACTERS).rstrip()


def _clear_octets(octets: bytes, part: MimePart, most: int) -> tuple[bytes, bool]:
    """The first octets of a part without its transfer encoding, and whether there are more."""
    encoded = octets[part.start : min(part.end, part.start + 3 * most)]
    if part.encoding == "base64":
        clear = decoded_base64(encoded)
    elif part.encoding == "quoted-printable":
        clear = quopri.decodestring(encoded)
    else:
        clear = encoded
    return clear[:most], len(clear) > most or part.start + 3 * most < part.end
