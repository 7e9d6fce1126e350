"""Lists of tags (RFC 6376, 3.2): DKIM-Signature and ARC fields, key records.

    tags = read_tags(b" v=1; a=rsa-sha256; b=\\r\\n\\tabc=")
    tags.get(b"a")           b"rsa-sha256"
    tags.span(b"b")          where its value stands, white space around it included

White space around names and values is gone, within a value it stays (`unspaced` takes it out). The
whole list is broken by one broken tag and by a name that comes twice.
"""

import binascii
import re
from collections.abc import Mapping
from typing import Final

from mail.authentication.findings import Unusable

MAX_TAGS: Final = 100
_MAX_OCTETS: Final = 65_536
_WHITE: Final = b" \t\r\n"
_NAME = re.compile(rb"[A-Za-z][A-Za-z0-9_]*").fullmatch
_ALLOWED: Final = bytes([*_WHITE, *range(0x21, 0x7F), *range(0x80, 0x100)])


class Tags:
    """The tags of one list; made by `read_tags`."""

    __slots__ = ("_values", "names")

    def __init__(self, values: Mapping[bytes, tuple[bytes, int, int]]) -> None:
        self._values = values
        self.names = tuple(values)
        """In the order in which they stand."""

    def __contains__(self, name: bytes) -> bool:
        return name in self._values

    def get(self, name: bytes) -> bytes | None:
        """The value of a tag without the white space around it, or None."""
        found = self._values.get(name)
        return None if found is None else found[0]

    def span(self, name: bytes) -> tuple[int, int]:
        """Where a tag that is there has its value, from "=" to ";" or the end."""
        _, start, end = self._values[name]
        return start, end


def read_tags(octets: bytes) -> Tags:
    """The tags of a field body or a record. Raises `Unusable`."""
    if len(octets) > _MAX_OCTETS:
        raise Unusable("a list of tags of this size is not read")
    if octets.translate(None, _ALLOWED):
        raise Unusable("a control character among the tags")
    if octets.count(b";") > MAX_TAGS:
        raise Unusable("too many tags")
    values: dict[bytes, tuple[bytes, int, int]] = {}
    end = -1
    for tag in octets.split(b";"):
        end += 1 + len(tag)
        name, equals, value = tag.partition(b"=")
        name = name.strip(_WHITE)
        if not equals and not name and end == len(octets):
            break  # the list may end in ";"
        if not equals or not _NAME(name):
            raise Unusable("a tag without name or value")
        if name in values:
            raise Unusable(f"{name[:16].decode()}= stands twice")
        values[name] = (value.strip(_WHITE), end - len(value), end)
    return Tags(values)


def unspaced(value: bytes) -> bytes:
    """The value without its folding."""
    return value.translate(None, _WHITE)


def listed(value: bytes) -> tuple[bytes, ...]:
    """The parts of a colon-separated value, stripped, lower case."""
    return tuple([part.strip(_WHITE) for part in value.lower().split(b":")])


def decoded_base64(value: bytes) -> bytes:
    """What the base64 in a value stands for; its padding may lack. Raises `Unusable`."""
    plain = unspaced(value)
    try:
        return binascii.a2b_base64(plain + b"=" * (-len(plain) % 4), strict_mode=True)
    except ValueError:
        raise Unusable("bad base64") from None
