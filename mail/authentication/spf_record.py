"""An SPF record read into its terms (RFC 7208, 4.5, 5 and 12); nothing is asked or decided here.

    is_spf_record   b"v=spf1 ..." among the TXT records of a name
    parse_record    its octets  ->  SpfRecord, or `BadSpfRecord` for any error anywhere in it (4.6)

Each term is looked at once; none can make reading slower than linear. A few short records are kept
as read: those of large providers are included by everybody.
"""

import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

from mail.authentication.spf_macros import MacroString, parse_domain_spec, parse_macros
from mail.authentication.values import SpfResult
from mail.errors import BadSpfRecord

_MAX_KEPT_OCTETS: Final = 1_000
_VERSION: Final = b"v=spf1"
_MODIFIER = re.compile(r"([A-Za-z][A-Za-z0-9_.-]*)=(.*)", re.DOTALL).fullmatch
_MECHANISM = re.compile(r"([+?~-]?)([A-Za-z0-9]+)(.*)", re.DOTALL).fullmatch
_LENGTHS = re.compile(r"(?:/(0|[1-9][0-9]?))?(?://(0|[1-9][0-9]{0,2}))?").fullmatch
_LENGTHS_START = re.compile(r"/[0-9/]*\Z").search
_IP_LENGTH = re.compile(r"0|[1-9][0-9]{0,2}").fullmatch
_LONGEST_LENGTHS: Final = len("/32//128")
_QUALIFIERS: Final = {
    "": SpfResult.PASS,
    "+": SpfResult.PASS,
    "-": SpfResult.FAIL,
    "~": SpfResult.SOFTFAIL,
    "?": SpfResult.NEUTRAL,
}


class Mechanism(Enum):
    """RFC 7208, 5."""

    ALL = "all"
    INCLUDE = "include"
    A = "a"
    MX = "mx"
    PTR = "ptr"
    IP4 = "ip4"
    IP6 = "ip6"
    EXISTS = "exists"


_NEEDS_TARGET: Final = frozenset({Mechanism.INCLUDE, Mechanism.EXISTS})
_HAS_LENGTHS: Final = frozenset({Mechanism.A, Mechanism.MX})


@dataclass(frozen=True, slots=True)
class Directive:
    """One mechanism and the result it gives where it matches. `text` is as written.

    `target` is None where the domain of the record is meant. `network` belongs to ip4 and ip6 only;
    `lengths` are the prefixes in bits for IPv4 and IPv6.
    """

    text: str
    result: SpfResult
    mechanism: Mechanism
    target: MacroString | None = None
    network: int = 0
    lengths: tuple[int, int] = (32, 128)

    def covers(self, client: IPv4Address | IPv6Address, other: int) -> bool:
        """Whether the client is in the network of `other`, an address of the same family."""
        is_ip4 = client.version == 4
        unlike = (32 if is_ip4 else 128) - self.lengths[0 if is_ip4 else 1]
        return (int(client) ^ other) >> unlike == 0


@dataclass(frozen=True, slots=True)
class SpfRecord:
    """Directives in order, and the two modifiers that mean something."""

    directives: tuple[Directive, ...]
    redirect: MacroString | None = None
    explanation: MacroString | None = None


def is_spf_record(record: bytes) -> bool:
    """Whether it begins with the version, alone or with a space behind (RFC 7208, 4.5)."""
    return record[:6].lower() == _VERSION and record[6:7] in (b"", b" ")


def parse_record(record: bytes) -> SpfRecord:
    """The terms of a record for which `is_spf_record` holds. Raises `BadSpfRecord`."""
    return _kept(record) if len(record) <= _MAX_KEPT_OCTETS else _read(record)


def _read(record: bytes) -> SpfRecord:
    try:
        terms = record[len(_VERSION) :].decode("ascii").split(" ")
    except UnicodeDecodeError:
        raise BadSpfRecord("octets outside ASCII") from None
    directives: list[Directive] = []
    modifiers: dict[str, MacroString] = {}
    for term in terms:
        modifier = _MODIFIER(term)
        if modifier:
            _read_modifier(modifier[1].lower(), modifier[2], modifiers)
        elif term:
            directives.append(_directive(term))
    return SpfRecord(tuple(directives), modifiers.get("redirect"), modifiers.get("exp"))


_kept = lru_cache(maxsize=256)(_read)  # some 8 MB at most


def _read_modifier(name: str, value: str, known: dict[str, MacroString]) -> None:
    """Unknown ones are ignored however often they stand there (6)."""
    if name not in ("redirect", "exp"):
        parse_macros(value)
    elif name in known:
        raise BadSpfRecord(f"{name}= twice")
    else:
        known[name] = parse_domain_spec(value)


def _directive(term: str) -> Directive:
    parts = _MECHANISM(term)
    try:
        mechanism = Mechanism(parts[2].lower() if parts else "")
    except ValueError:
        raise BadSpfRecord("an unknown mechanism") from None
    qualifier, rest = (parts[1], parts[3]) if parts else ("", "")
    result = _QUALIFIERS[qualifier]
    if mechanism is Mechanism.ALL:
        if rest:
            raise BadSpfRecord("something behind all")
        return Directive(term, result, mechanism)
    if mechanism in (Mechanism.IP4, Mechanism.IP6):
        network, lengths = _network(mechanism, rest)
        return Directive(term, result, mechanism, None, network, lengths)
    lengths = (32, 128)
    if mechanism in _HAS_LENGTHS:
        rest, lengths = _without_lengths(rest)
    return Directive(term, result, mechanism, _target(mechanism, rest), 0, lengths)


def _target(mechanism: Mechanism, rest: str) -> MacroString | None:
    if not rest and mechanism not in _NEEDS_TARGET:
        return None
    if rest[:1] != ":":
        raise BadSpfRecord("a mechanism without its domain")
    return parse_domain_spec(rest[1:])


def _network(mechanism: Mechanism, rest: str) -> tuple[int, tuple[int, int]]:
    """The address as a number, and the lengths (5.6)."""
    text, slash, length = rest[1:].partition("/")
    most = 32 if mechanism is Mechanism.IP4 else 128
    if rest[:1] != ":" or "%" in text or (slash and not _IP_LENGTH(length)):
        raise BadSpfRecord("an ip4 or ip6 without its network")
    bits = int(length) if slash else most
    try:
        network = int(IPv4Address(text) if mechanism is Mechanism.IP4 else IPv6Address(text))
    except AddressValueError:
        raise BadSpfRecord("an ip4 or ip6 without its network") from None
    if bits > most:
        raise BadSpfRecord("a prefix longer than an address")
    return network, (bits, 128) if mechanism is Mechanism.IP4 else (32, bits)


def _without_lengths(rest: str) -> tuple[str, tuple[int, int]]:
    """What stands before the prefix lengths, and the lengths (5.3, dual-cidr-length).

    A slash may also stand inside a domain-spec: only digits and slashes up to the end are lengths.
    """
    tail = rest[-_LONGEST_LENGTHS - 1 :]
    start = _LENGTHS_START(tail)
    if start is None:
        return rest, (32, 128)
    lengths = _LENGTHS(start[0])
    if lengths is None:
        raise BadSpfRecord("a prefix length outside the grammar")
    bits = int(lengths[1] or 32), int(lengths[2] or 128)
    if bits[0] > 32 or bits[1] > 128:
        raise BadSpfRecord("a prefix longer than an address")
    return rest[: len(rest) - len(start[0])], bits
