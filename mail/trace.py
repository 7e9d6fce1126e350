"""The marks that we put on mail: trace id and Received field; and text fit for a log.

Everything here may be fed with what a stranger said in HELO: no piece of it can end a line, open a
comment or colour a terminal.
"""

import ipaddress
import re
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from functools import lru_cache
from uuid import UUID

from mail.errors import BadTraceId

ROUTE_FIELD = b"X-Mxax-Route"
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_LOOKS_LIKE = str.maketrans("oil", "011")  # Crockford: as people read them out
_TRACE_ID = re.compile(r"[0-7][0-9a-hjkmnp-tv-z]{25}", re.ASCII)
_NOT_HELO = re.compile(r"[^A-Za-z0-9._-]")
_LITERAL = re.compile(r"\[[A-Za-z0-9.:-]++\]", re.ASCII)
_SAFE_PATH = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.@\[\]:\u00a1-\U0010ffff-]{1,254}")
_MAX_HELO = 255


def new_trace_id(now_ms: int, random_bytes: bytes) -> UUID:
    """A UUIDv7 (RFC 9562, 5.7) of milliseconds since 1970 and at least 10 random octets."""
    if len(random_bytes) < 10:
        raise ValueError("a trace id needs 10 random octets")
    random = int.from_bytes(random_bytes[:10], "big") >> 6  # 74 bits
    version_and_a = 0x7000 | (random >> 62)
    variant_and_b = (0b10 << 62) | (random & ((1 << 62) - 1))
    return UUID(int=((now_ms & ((1 << 48) - 1)) << 80) | (version_and_a << 64) | variant_and_b)


def format_trace_id(trace_id: UUID) -> str:
    """26 characters of Crockford's base32, lower case; sorts as the ids do."""
    number = trace_id.int
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)])


def parse_trace_id(text: str) -> UUID:
    """The id of its printed form, however people copied it. Raises `BadTraceId`."""
    digits = text.strip().lower().replace("-", "").translate(_LOOKS_LIKE)
    if _TRACE_ID.fullmatch(digits) is None:
        raise BadTraceId("not a trace id")
    number = 0
    for digit in digits:
        number = number << 5 | _ALPHABET.index(digit)
    return UUID(int=number)


@dataclass(frozen=True, slots=True)
class Hop:
    """How a message came to us: what its Received field tells.

    `client_name` is the verified reverse name, "" when unknown; `client_ip` "" when it must not be
    told (submission). `recipient` only when there is exactly one (Bcc).
    """

    helo: str
    client_ip: str
    service: str
    trace_id: UUID
    received_at: datetime
    client_name: str = ""
    extended: bool = True
    tls: bool = False
    authenticated: bool = False
    utf8: bool = False
    recipient: str | None = None


def received_field(hop: Hop) -> bytes:
    """The Received field of this hop, folded and CRLF-ended (RFC 5321, 4.4)."""
    lines = [
        f"Received: from {_neutral(hop.helo)}{_client(hop)}",
        f"by {_neutral(hop.service)} with {protocol(hop)}",
        f"id {format_trace_id(hop.trace_id)}{_recipient_clause(hop)};",
        _date(hop.received_at.replace(microsecond=0)),
    ]
    return ("\r\n\t".join(lines) + "\r\n").encode()


def protocol(hop: Hop) -> str:
    """The protocol as IANA lists it under "with" (RFC 3848; RFC 6531, 4.3)."""
    if not hop.extended:
        return "SMTP"
    suffix = ("S" if hop.tls else "") + ("A" if hop.authenticated else "")
    return ("UTF8SMTP" if hop.utf8 else "ESMTP") + suffix


_date = lru_cache(maxsize=8)(format_datetime)  # many messages a second, one text


@lru_cache(maxsize=1024)
def _neutral(name: str) -> str:
    """A name or address literal as it came, else a "?" for each character that has no place."""
    name = name[:_MAX_HELO]
    return name if _LITERAL.fullmatch(name) else _NOT_HELO.sub("?", name) or "unknown"


def _client(hop: Hop) -> str:
    if not hop.client_ip:
        return ""
    name = _neutral(hop.client_name) if hop.client_name else "unknown"
    return f"\r\n\t({name} {_address_literal(hop.client_ip)})"


@lru_cache(maxsize=1024)
def _address_literal(client_ip: str) -> str:
    try:
        address = ipaddress.ip_address(client_ip.partition("%")[0])
    except ValueError:
        return "[unknown]"
    return f"[IPv6:{address}]" if address.version == 6 else f"[{address}]"


def _recipient_clause(hop: Hop) -> str:
    path = hop.recipient
    if path is None or _SAFE_PATH.fullmatch(path) is None or not path.isprintable():
        return ""  # the clause is optional; one that needs quoting is not worth the risk
    return f"\r\n\tfor <{path}>" if hop.utf8 or path.isascii() else ""


def printable(text: str | bytes, limit: int = 200) -> str:
    """One line of at most `limit` characters without control, invisible or turning characters.

    What does not print is shown as a Python escape; a backslash is doubled, so that nothing can
    pretend to be one.
    """
    shown = text[: limit + 1]
    if isinstance(shown, bytes):
        shown = shown.decode("utf-8", "surrogateescape")
    if not shown.isprintable() or "\\" in shown:
        shown = "".join([_shown(letter) for letter in shown])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def _shown(letter: str) -> str:
    if letter.isprintable() and letter != "\\":
        return letter
    return letter.encode("unicode_escape", "surrogatepass").decode()
