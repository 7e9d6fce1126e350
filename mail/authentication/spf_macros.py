"""Macro strings of SPF (RFC 7208, 7): parsed once with their record, expanded for one client.

    parse_domain_spec    "%{ir}.%{d2}"  ->  MacroString    ends in a name, no %{c}, %{r}, %{t}
    parse_macros         unknown modifiers: read to find errors, never expanded
    parse_explanation    the text that exp= points to
    expand_name          what DNS is asked: 253 octets at most, cut from the left (7.3)
    expand_explanation   what a person reads: 400 printable characters at most

Work is linear in what is read, and bounded where it is multiplied: a domain-spec and an explanation
have a longest length.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Final, TypeAlias
from urllib.parse import quote

from mail.errors import BadSpfRecord

MAX_EXPLANATION: Final = 400
_MAX_NAME: Final = 253
_MAX_SPEC: Final = 1_000  # no honest one comes near: a name has 253 octets
_MAX_PARTS: Final = 128  # more than a name has labels (7.1)

_PIECE = re.compile(
    r"%\{([slodiphcrtv])([0-9]*)(r?)([.\-+,/_=]*)\}|%([%_-])|([!-$&-~]+)", re.IGNORECASE
).match
_TOP_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", re.IGNORECASE).fullmatch
_UNPRINTABLE = re.compile(r"[^ -~]")
_FOR_PEOPLE_ONLY: Final = frozenset("crt")
_OF_THE_MAILBOX: Final = frozenset("sl")
_ESCAPED: Final = {"%": "%", "_": " ", "-": "%20"}


@dataclass(frozen=True, slots=True)
class Macro:
    """`%{letter keep r delimiters}`; `keep` 0 keeps all parts. An upper-case letter quotes."""

    letter: str
    keep: int = 0
    is_reversed: bool = False
    delimiters: str = "."
    is_quoted: bool = False


Piece: TypeAlias = str | Macro


@dataclass(frozen=True, slots=True)
class MacroString:
    """Text with macros in it. `looks_at_mailbox`: what it becomes depends on the local part."""

    pieces: tuple[Piece, ...]
    looks_at_mailbox: bool = False
    wants_client_name: bool = False


@dataclass(frozen=True, slots=True)
class MacroValues:
    """What macros become. `domain` is that of the record; `helo` as the client said it."""

    local_part: str
    sender_domain: str
    domain: str
    client: IPv4Address | IPv6Address
    helo: str
    now: datetime
    receiver: str = "unknown"
    client_name: str = "unknown"


def parse_domain_spec(text: str) -> MacroString:
    """A domain-spec (7.1). Raises `BadSpfRecord`."""
    if not text or len(text) > _MAX_SPEC:
        raise BadSpfRecord("an empty or endless domain-spec")
    pieces = _pieces(text)
    if _letters(pieces) & _FOR_PEOPLE_ONLY:
        raise BadSpfRecord("a macro that is for explanations only")
    if not (_ends_in_macro(pieces[-1]) or _ends_in_name(text)):
        raise BadSpfRecord("a domain-spec without a name at its end")
    return _macro_string(pieces)


def parse_macros(text: str) -> None:
    """Read the value of an unknown modifier (6). Raises `BadSpfRecord`."""
    _pieces(text)


def parse_explanation(text: str) -> MacroString:
    """An explain-string (7.1), in which spaces may stand. Raises `BadSpfRecord`."""
    if len(text) > _MAX_SPEC * 4:
        raise BadSpfRecord("an endless explanation")
    pieces: list[Piece] = []
    for number, word in enumerate(text.split(" ")):
        pieces.extend([" "] if number else [])
        pieces.extend(_pieces(word))
    return _macro_string(pieces)


def expand_name(spec: MacroString, values: MacroValues) -> str:
    """The name, without its last dot; labels are dropped from the left above 253 octets (7.3)."""
    name = _expanded(spec, values).removesuffix(".")
    return name if len(name) <= _MAX_NAME else name[-_MAX_NAME - 1 :].partition(".")[2]


def expand_explanation(spec: MacroString, values: MacroValues) -> str:
    """The text for a person: printable ASCII, anything else shown as a question mark."""
    return _UNPRINTABLE.sub("?", _expanded(spec, values)[:MAX_EXPLANATION])


def _expanded(spec: MacroString, values: MacroValues) -> str:
    return "".join([
        piece if isinstance(piece, str) else _expand(piece, values) for piece in spec.pieces
    ])  # fmt: skip


def _pieces(text: str) -> list[Piece]:
    pieces: list[Piece] = []
    position = 0
    while position < len(text):
        found = _PIECE(text, position)
        if found is None:
            raise BadSpfRecord("a character or a macro outside the grammar")
        pieces.append(found[6] or _ESCAPED.get(found[5] or "") or _macro(found))
        position = found.end()
    return pieces


def _macro(found: re.Match[str]) -> Macro:
    letter, digits, is_reversed, delimiters = found.group(1, 2, 3, 4)
    kept = digits.lstrip("0")
    if digits and not kept:
        raise BadSpfRecord("a macro that keeps no part")
    keep = _MAX_PARTS if len(kept) > 3 else min(int(kept or "0"), _MAX_PARTS)
    return Macro(letter.lower(), keep, bool(is_reversed), delimiters or ".", letter.isupper())


def _macro_string(pieces: list[Piece]) -> MacroString:
    letters = _letters(pieces)
    return MacroString(tuple(pieces), bool(letters & _OF_THE_MAILBOX), "p" in letters)


def _letters(pieces: list[Piece]) -> set[str]:
    return {piece.letter for piece in pieces if isinstance(piece, Macro)}


def _ends_in_macro(last: Piece) -> bool:
    """A percent sign and a space never stand in a literal, only "%20" can look like one."""
    return isinstance(last, Macro) or last in _ESCAPED.values()


def _ends_in_name(text: str) -> bool:
    """A dot and a last label that has a letter or a hyphen in it, perhaps another dot."""
    _, dot, label = text.removesuffix(".").rpartition(".")
    return bool(dot) and _TOP_LABEL(label) is not None and not label.isdigit()


def _expand(macro: Macro, values: MacroValues) -> str:
    text = _value(macro.letter, values)
    if macro.keep or macro.is_reversed or macro.delimiters != ".":
        text = _transformed(text, macro)
    return quote(text, safe="", errors="replace") if macro.is_quoted else text


def _transformed(text: str, macro: Macro) -> str:
    parts = re.split(f"[{re.escape(macro.delimiters)}]", text)
    if macro.is_reversed:
        parts.reverse()
    return ".".join(parts[-macro.keep :])  # all of them where it is 0


def _value(letter: str, values: MacroValues) -> str:
    match letter:
        case "l":
            return values.local_part
        case "s":
            return f"{values.local_part}@{values.sender_domain}"
        case "o":
            return values.sender_domain
        case "d":
            return values.domain
        case "i":
            return _dotted(values.client)
        case "p":
            return values.client_name
        case "v":
            return "in-addr" if values.client.version == 4 else "ip6"
        case "h":
            return values.helo
        case "c":
            return str(values.client)
        case "r":
            return values.receiver
        case _:
            return str(int(values.now.timestamp()))


def _dotted(address: IPv4Address | IPv6Address) -> str:
    """IPv6 as its 32 digits with dots between (7.3), capital as in the test suite of the RFC."""
    return str(address) if address.version == 4 else ".".join(address.packed.hex().upper())
