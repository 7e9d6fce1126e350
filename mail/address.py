"""Addresses and domains in their one canonical form.

Called by the edge (MAIL, RCPT), by forms and by commands. Text comes in; what goes out can be
compared, stored and put on the wire as it is.

    parse_address        text -> Address                local part as meant, domain as A-label
    parse_path           RCPT argument -> ForwardPath   also literals, source routes, <Postmaster>
    parse_reverse_path   MAIL argument -> str           "" is the null reverse-path
    split_path           wire form -> (local part, domain)
    join_path            (local part, domain) -> wire form, quoted when needed
    canonical_domain     text -> A-label, lower case
    unicode_domain       A-label -> U-label, for pages

Stricter than the RFCs in four points: no empty local part (`""@`), no percent-encoded control
character, no invisible or direction-changing character, no domain that ends in a number.
"""

import ipaddress
import re
import unicodedata
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import unquote_to_bytes

import idna

from mail.errors import BadAddress, BadDomain, LocalPartTooLong

NULL_PATH: Final = ""

MAX_LOCAL_PART_OCTETS: Final = 64  # RFC 5321, 4.5.3.1.1
MAX_ADDRESS_OCTETS: Final = 254  # RFC 5321, 4.5.3.1.3, without the angle brackets
MAX_DOMAIN_OCTETS: Final = 253  # RFC 1035, 2.3.4, as text
# Characters read at all. Code points can vanish in mapping, so this is wider than any limit above.
_MAX_TEXT_CHARACTERS: Final = 1024

_ATOM = "A-Za-z0-9!#$&'*+/=?^_`{|}~\\-"  # without "%", which the careful path looks into
_LABEL = r"(?![Xx][Nn]--)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_PLAIN = re.compile(
    rf"(?=.{{1,64}}@)([{_ATOM}]+(?:\.[{_ATOM}]+)*)@((?:{_LABEL}\.)+(?=[A-Za-z]){_LABEL})"
).fullmatch
_LDH_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?").fullmatch
# RFC 6531, 3.3: what is beyond ASCII may stand everywhere; but no C1 control (NEL is one), no line
# or paragraph separator, no lone surrogate. `_refuse_invisible` looks at the rest.
_BEYOND = r"\xa0-\u2027\u202a-\ud7ff\ue000-\U0010ffff"
_DOT_ATOM = re.compile(rf"[{_ATOM}%{_BEYOND}]+(?:\.[{_ATOM}%{_BEYOND}]+)*").fullmatch
_QUOTED_STRING = rf'"((?:[\x20\x21\x23-\x5b\x5d-\x7e{_BEYOND}]|\\[\x20-\x7e])*)"'
_QUOTED = re.compile(_QUOTED_STRING).fullmatch
_QUOTED_PREFIX = re.compile(rf"{_QUOTED_STRING}(?=@)").match
_QUOTED_PAIR = re.compile(r"\\(.)")
_NEEDS_BACKSLASH = re.compile(r'(["\\])')

# What hides, turns or has no agreed look: controls, format characters, private, unassigned, lone
# surrogates, separators. The two joiners and the space are the exceptions: Persian and Indic
# scripts cannot be written without the first, quoted local parts have the second.
_REFUSED_CATEGORIES = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"})
_ALLOWED_ALL_THE_SAME = frozenset({" ", "\u200c", "\u200d"})


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox at a domain: local part without quoting (NFC), domain as lower-case A-label.

    `str()` gives the form for the wire. Made by `parse_address`, never from unchecked text.
    """

    local_part: str
    domain: str

    def __str__(self) -> str:
        return f"{quote_local_part(self.local_part)}@{self.domain}"


@dataclass(frozen=True, slots=True)
class LiteralAddress:
    """A mailbox at an address literal (RFC 5321, 4.1.3): never relayed, cannot be claimed."""

    local_part: str
    literal: ipaddress.IPv4Address | ipaddress.IPv6Address

    def __str__(self) -> str:
        tag = "IPv6:" if self.literal.version == 6 else ""
        return f"{quote_local_part(self.local_part)}@[{tag}{self.literal}]"


@dataclass(frozen=True, slots=True)
class SourceRoute:
    """A mailbox behind a source route (RFC 5321, appendix C): never relayed."""

    mailbox: Address | LiteralAddress


@dataclass(frozen=True, slots=True)
class BarePostmaster:
    """`<Postmaster>` without a domain (RFC 5321, 4.5.1): the operator of this host."""


ForwardPath: TypeAlias = Address | LiteralAddress | SourceRoute | BarePostmaster


def parse_address(text: str, *, max_local_octets: int = MAX_LOCAL_PART_OCTETS) -> Address:
    """The mailbox that `text` names (RFC 5321, 4.1.2; RFC 6531, 3.3), without angle brackets.

    Raises `BadAddress`, and its kinds `BadDomain` and `LocalPartTooLong`.
    """
    plain = _match_plain(text)
    if plain is not None:
        return plain
    mailbox = _parse_mailbox(text, max_local_octets)
    if isinstance(mailbox, LiteralAddress):
        raise BadDomain("an address literal is not a domain")
    return mailbox


def parse_path(text: str) -> ForwardPath:
    """What a RCPT names, with or without its angle brackets. Raises like `parse_address`."""
    path = _strip_brackets(text)
    plain = _match_plain(path)
    if plain is not None:
        return plain
    if path.isascii() and path.lower() == "postmaster":
        return BarePostmaster()
    return _parse_routed(path, MAX_LOCAL_PART_OCTETS)


def parse_reverse_path(text: str, *, max_local_octets: int = MAX_LOCAL_PART_OCTETS) -> str:
    """The wire form of a MAIL argument, `NULL_PATH` for `<>`; a source route is dropped.

    Bulk senders write local parts above the 64 octets that all must take; a higher limit lets them
    in, and the opaque SRS form carries them. Raises like `parse_address`.
    """
    path = _strip_brackets(text)
    if path == NULL_PATH:
        return NULL_PATH
    mailbox = _match_plain(path) or _parse_routed(path, max_local_octets)
    return str(mailbox.mailbox if isinstance(mailbox, SourceRoute) else mailbox)


def parse_local_part(text: str) -> str:
    """A local part as meant: unquoted, NFC. Raises `BadAddress`; checks no length."""
    local_part = unicodedata.normalize("NFC", text)
    quoted = _QUOTED(local_part)
    if quoted:
        local_part = _QUOTED_PAIR.sub(r"\1", quoted[1])
    elif not (_DOT_ATOM(text) and _DOT_ATOM(local_part)):  # composing may hide a "<", or make a ";"
        raise BadAddress("the local part has characters that need quoting")
    if not local_part:
        raise BadAddress("the local part is empty")
    _refuse_invisible(local_part)
    _refuse_encoded_controls(local_part)
    return local_part


def quote_local_part(local_part: str) -> str:
    """The wire form of a local part: a dot-string where it can be, else a quoted string.

    Raises `BadAddress` for what neither can hold (a control character, a line separator).
    """
    if _DOT_ATOM(local_part):
        return local_part
    wire = '"' + _NEEDS_BACKSLASH.sub(r"\\\1", local_part) + '"'
    if not _QUOTED(wire):
        raise BadAddress("the local part has a control character")
    return wire


def split_path(path: str) -> tuple[str, str]:
    """Local part (unquoted) and domain of a path in wire form. Raises `BadAddress`."""
    local_part, at, domain = path.rpartition("@")
    if not at or not local_part or not domain:
        raise BadAddress("not a path")
    if local_part[0] == '"':
        quoted = _QUOTED(local_part)
        if not quoted:
            raise BadAddress("not a path")
        local_part = _QUOTED_PAIR.sub(r"\1", quoted[1])
    return local_part, domain


def join_path(local_part: str, domain: str) -> str:
    """The wire form within the limits of RFC 5321, 4.5.3.1. Raises `LocalPartTooLong`."""
    wire = quote_local_part(local_part)
    _check_length(wire, domain, MAX_LOCAL_PART_OCTETS)
    return f"{wire}@{domain}"


def is_within(name: str, domain: str) -> bool:
    """Whether a name is this domain or below it; both canonical. Nothing is within ""."""
    return bool(domain) and (name == domain or name.endswith(f".{domain}"))


def canonical_domain(text: str) -> str:
    """The one form of a domain: A-labels, lower case, no trailing dot. Raises `BadDomain` only.

    UTS #46 non-transitional mapping, then IDNA 2008 (RFC 5891) for every label that is not plain
    ASCII; underscores, empty labels and a last label of digits only are refused.
    """
    if len(text) > _MAX_TEXT_CHARACTERS:
        raise BadDomain("the domain is too long")
    try:
        mapped = text.lower() if text.isascii() else idna.uts46_remap(text, std3_rules=True)
        labels = mapped.removesuffix(".").split(".")
        domain = ".".join([_a_label(label) for label in labels])
        _check_direction(labels)
    except (UnicodeError, ValueError, IndexError):
        # idna promises IDNAError alone; its decoder has raised the others in older releases.
        raise BadDomain("the domain is not a valid name") from None
    if len(domain) > MAX_DOMAIN_OCTETS:
        raise BadDomain("the domain is too long")
    if domain.rpartition(".")[2].isdigit():
        raise BadDomain("a domain does not end in a number")
    return domain


def unicode_domain(a_label: str) -> str:
    """The domain with U-labels, for pages; a label that does not decode stays as it is."""
    if "xn--" not in a_label:
        return a_label
    return ".".join([_u_label(label) for label in a_label.split(".")])


def _match_plain(text: str) -> Address | None:
    """The hot path: a plain ASCII address by one regular expression, else None."""
    if len(text) > MAX_ADDRESS_OCTETS:
        return None
    plain = _PLAIN(text)
    return Address(plain[1], plain[2].lower()) if plain else None


def _strip_brackets(text: str) -> str:
    return text[1:-1] if text[:1] == "<" and text[-1:] == ">" else text


def _parse_routed(text: str, max_local_octets: int) -> Address | LiteralAddress | SourceRoute:
    if not text.startswith("@"):
        return _parse_mailbox(text, max_local_octets)
    hops, colon, mailbox = text.partition(":")
    if not colon:
        raise BadAddress("a source route without a mailbox")
    for hop in hops.split(","):
        canonical_domain(hop.removeprefix("@"))
    return SourceRoute(_parse_mailbox(mailbox, max_local_octets))


def _parse_mailbox(text: str, max_local_octets: int) -> Address | LiteralAddress:
    if len(text) > _MAX_TEXT_CHARACTERS:
        raise LocalPartTooLong("the address is too long")
    local_text, domain_text = _cut_at_sign(text)
    local_part = parse_local_part(local_text)
    mailbox: Address | LiteralAddress
    if domain_text[:1] == "[":
        mailbox = LiteralAddress(local_part, _parse_literal(domain_text))
    else:
        mailbox = Address(local_part, canonical_domain(domain_text))
    wire_local_part, _, domain = str(mailbox).rpartition("@")
    _check_length(wire_local_part, domain, max_local_octets)
    return mailbox


def _cut_at_sign(text: str) -> tuple[str, str]:
    """Local part as written and domain; an "@" inside a quoted string does not separate."""
    quoted = _QUOTED_PREFIX(text)
    local_part, at, domain = (
        (quoted[0], "@", text[quoted.end() + 1 :]) if quoted else text.partition("@")
    )
    if not at:
        raise BadAddress("no @ in the address")
    return local_part, domain


def _parse_literal(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    inner = text[1:-1] if text[-1:] == "]" else ""
    if not inner.isascii() or "%" in inner:
        raise BadDomain("not an address literal")
    try:
        if inner[:5].lower() == "ipv6:":
            return ipaddress.IPv6Address(inner[5:])
        return ipaddress.IPv4Address(inner)
    except ValueError:
        raise BadDomain("not an address literal") from None


def _check_length(wire_local_part: str, domain: str, max_local_octets: int) -> None:
    octets = len(wire_local_part)
    if not wire_local_part.isascii():
        octets = len(wire_local_part.encode())
    if octets > max_local_octets:
        raise LocalPartTooLong(f"the local part is above {max_local_octets} octets")
    if octets + 1 + len(domain) > MAX_ADDRESS_OCTETS:
        raise LocalPartTooLong(f"the address is above {MAX_ADDRESS_OCTETS} octets")


def _refuse_invisible(local_part: str) -> None:
    """Raise for what cannot be seen or turns the text around (RFC 8264, 4.2 leaves it out too)."""
    for character in local_part:
        if unicodedata.category(character) not in _REFUSED_CATEGORIES:
            continue
        if character not in _ALLOWED_ALL_THE_SAME:
            raise BadAddress("the local part has a control or an invisible character")


def _refuse_encoded_controls(local_part: str) -> None:
    """Raise for %0d, %0a, %00, %e2%80%a8 and the like, once and twice encoded."""
    decoded = local_part
    for _ in range(2):
        if "%" not in decoded:
            return
        decoded = unquote_to_bytes(decoded).decode("utf-8", "replace")
        if any(unicodedata.category(character) in {"Cc", "Zl", "Zp"} for character in decoded):
            raise BadAddress("the local part has an encoded control character")


def _a_label(label: str) -> str:
    """One label as lower-case ASCII; raises IDNAError or ValueError."""
    if label.isascii() and not label.startswith("xn--"):
        if not _LDH_LABEL(label):
            raise ValueError("not a label")
        return label
    ascii_label = idna.alabel(label).decode("ascii")
    if not _LDH_LABEL(ascii_label):
        raise ValueError("not a label")
    return ascii_label


def _u_label(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    try:
        return idna.ulabel(label)
    except (UnicodeError, ValueError, IndexError):
        return label


def _check_direction(labels: list[str]) -> None:
    """The Bidi rule holds for each label once one of them is right-to-left (RFC 5893, 2)."""
    shown = [_u_label(label) for label in labels]
    if all(label.isascii() for label in shown):
        return
    if any(unicodedata.bidirectional(c) in {"R", "AL", "AN"} for label in shown for c in label):
        for label in shown:
            idna.check_bidi(label, check_ltr=True)
