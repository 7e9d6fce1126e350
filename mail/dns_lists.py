"""Lists of addresses in the DNS (RFC 5782), block lists and allow lists: names, answers, weights.

    MXAX_DNSBL=zen.example=127.0.0.[2..11]*2, bl.example, other.example=3

Each item is `zone`, `zone=codes`, `zone*weight` or both; `zone=3` is a weight alone. Codes are an
IPv4 address whose octets may be a number, `[a..b]` or `[a;b;c..d]`.

An answer is a listing only where it is an address in 127.0.0.0/8, is one of the codes if there are
any, and does not say that the list would not answer us:

| answer | says |
|---|---|
| 127.255.255.0/24 | refused: a typing error, an open resolver, too many questions (Spamhaus and others) |
| 127.0.0.255 | refused: over quota (DNSWL, URIBL) |
| 127.0.0.1 | refused (SURBL, URIBL), or a list that says yes to all: RFC 5782, 5 forbids it |

Codes that name such an address on purpose count (lists where 127.0.0.1 means something).
"""  # noqa: E501

import re
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from mail.lookups import Answer, Outcome

_OCTET = r"(?:\d{1,3}|\[[\d.;]{1,60}\])"
_ITEM = re.compile(
    r"(?P<zone>[a-z0-9_-]+(?:\.[a-z0-9_-]+)+)\.?"
    rf"(?:=(?:(?P<codes>{_OCTET}(?:\.{_OCTET}){{3}})|(?P<short>\d{{1,3}})))?"
    r"(?:\*(?P<weight>-?\d{1,3}))?",
    re.IGNORECASE | re.ASCII,
).fullmatch
_CURE: Final = "needs zones such as zen.example.org, zen.example.org=127.0.0.[2..11]*2"
_QUOTA: Final = frozenset({"127.0.0.1", "127.0.0.255"})

Codes = tuple[frozenset[int], ...]


@dataclass(frozen=True, slots=True)
class ListZone:
    """One list. `codes` are the values allowed for each octet of an answer; empty: any."""

    zone: str
    weight: int = 1
    codes: Codes = ()


class Said(Enum):
    """What one list says of one address."""

    LISTED = "listed"
    NOT_LISTED = "not listed"
    REFUSED = "refused"
    """It would not answer us: over quota, or our resolver is not welcome."""
    SILENT = "silent"
    """Nobody answered, or not in time."""
    ODD = "odd"
    """Outside 127.0.0.0/8: a parked zone, or a resolver that makes answers up."""


def parse_list_zones(text: str) -> tuple[ListZone, ...]:
    """The zones of a setting, separated by commas or white space. Raises `ValueError`."""
    zones = tuple(_item(part) for part in re.split(r"[,\s]+", text) if part)
    if len({one.zone for one in zones}) != len(zones):
        raise ValueError("names a zone twice")
    return zones


def _item(text: str) -> ListZone:
    match = _ITEM(text)
    if match is None or (match["short"] and match["weight"]):
        raise ValueError(f"{_CURE} (not {text!r})")
    weight = int(match["weight"] or match["short"] or 1)
    octets = re.findall(_OCTET, match["codes"] or "")
    return ListZone(match["zone"].lower(), weight, tuple(_values(octet) for octet in octets))


def _values(octet: str) -> frozenset[int]:
    values: set[int] = set()
    for part in octet.strip("[]").split(";"):
        first, dots, last = part.partition("..")
        try:
            low, high = int(first), int(last if dots else first)
        except ValueError:
            raise ValueError(f"{_CURE} (not {octet!r})") from None
        if not 0 <= low <= high <= 255:
            raise ValueError(f"{_CURE} (not {octet!r})")
        values.update(range(low, high + 1))
    return frozenset(values)


def question_name(address: IPv4Address | IPv6Address, zone: str) -> str:
    """What to ask for (RFC 5782, 2.1 and 2.4): octets or nibbles from the last to the first."""
    if isinstance(address, IPv4Address):
        labels = reversed(str(address).split("."))
    else:
        labels = reversed(address.exploded.replace(":", ""))
    return f"{'.'.join(labels)}.{zone}"


def read_answer(zone: ListZone, answer: Answer[str]) -> Said:
    """What the A records of a list mean; one that counts is enough."""
    if answer.outcome is Outcome.FAILURE:
        return Said.SILENT
    said = {_read_code(zone, record) for record in answer.records}
    for one in (Said.LISTED, Said.REFUSED, Said.ODD):
        if one in said:
            return one
    return Said.NOT_LISTED


def _read_code(zone: ListZone, record: str) -> Said:
    octets = [int(octet) for octet in record.split(".")]
    if octets[0] != 127:
        return Said.ODD
    if zone.codes:
        wanted = all(octet in values for octet, values in zip(octets, zone.codes, strict=True))
        if wanted:
            return Said.LISTED
    if octets[1:3] == [255, 255] or record in _QUOTA:
        return Said.REFUSED
    return Said.NOT_LISTED if zone.codes else Said.LISTED
