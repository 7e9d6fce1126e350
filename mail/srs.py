"""SRS: reverse-paths rewritten into our forward domain, so that returns come back through us.

Called by the planning of a delivery (`encode_srs`, by way of `mail.opaque.rewrite_reverse_path`)
and by the RCPT policy (`is_srs`, `decode_srs`). There is no RFC; docs/srs.md describes the format:

    SRS0=hash=TT=domain=local@forward     first hop: hash over day, domain and local part
    SRS1=hash=host=rest@forward           someone's SRS address already: rest is what followed SRS0
    SRS0=o=token@forward                  opaque form, mail/opaque.py

`hash` is 10 base32 characters (50 bits) of HMAC-SHA-256, `TT` the day modulo 1024 in two base32
characters. Everything we compare survives a change of case on its way.
"""

import base64
import hmac
import re
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final

from mail.address import (
    MAX_ADDRESS_OCTETS,
    NULL_PATH,
    canonical_domain,
    join_path,
    parse_reverse_path,
    quote_local_part,
    split_path,
)
from mail.errors import BadAddress, BadDomain, SrsExpired, SrsForged, SrsMalformed

HASH_CHARACTERS: Final = 10
VALIDITY: Final = timedelta(days=30)

_EPOCH: Final = date(1970, 1, 1).toordinal()
_DAYS_IN_CYCLE: Final = 1024
_BASE32: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_PREFIX = re.compile(r"srs[01][-+=]", re.IGNORECASE | re.ASCII).match
# Nothing but these two shapes is hashed at all. "." also takes what a quoted local part may hold.
_SRS0 = re.compile(
    r"srs0[-+=]([a-z2-7]{10})=([a-z2-7]{2})=([^=]+)=(.+)", re.IGNORECASE | re.ASCII | re.DOTALL
).fullmatch
_SRS1 = re.compile(
    r"srs1[-+=]([a-z2-7]{10})=([^=]+)=([-+=].*)", re.IGNORECASE | re.ASCII | re.DOTALL
).fullmatch
# Another forwarder's SRS1: whatever its hash looks like.
_FOREIGN_SRS1 = re.compile(
    r"srs1[-+=][^=]+=([^=]+)=([-+=].*)", re.IGNORECASE | re.ASCII | re.DOTALL
).fullmatch


def is_srs(local_part: str) -> bool:
    """Whether a local part has the prefix of an SRS address, ours or another's, opaque or not."""
    return _PREFIX(local_part) is not None


def encode_srs(path: str, *, secrets: Sequence[bytes], today: date, domain: str) -> str:
    """Rewrite a reverse-path (wire form) so that returns come back through us.

    SRS0 for a first hop, SRS1 when it is already rewritten elsewhere; the null reverse-path (RFC
    5321, 4.5.5) and SRS addresses of `domain` itself come back unchanged. The first secret hashes.
    Raises `LocalPartTooLong` above 64 octets of local part or 254 in total (RFC 5321, 4.5.3.1).
    """
    if path == NULL_PATH:
        return NULL_PATH
    local_part, origin = split_path(path)
    if not is_srs(local_part):
        return join_path(_srs0(local_part, origin, secrets[0], today), domain)
    if origin == domain:
        return join_path(local_part, origin)
    return join_path(_srs1(local_part, origin, secrets[0], today), domain)


def decode_srs(address: str, *, secrets: Sequence[bytes], today: date, domain: str) -> str:
    """The reverse-path (wire form) behind an SRS address of ours; any of the secrets may fit.

    Raises `SrsMalformed`, `SrsForged` (which alone counts as a guess) or `SrsExpired`: more than
    30 days old, or of a day to come. SRS1 carries no day; its first forwarder's SRS0 does.
    """
    try:
        return _decode(address, secrets, today, domain)
    except BadAddress:
        raise SrsMalformed("there is no address behind it") from None


def classic_hash(secret: bytes, timestamp: str, domain: str, local_part: str) -> str:
    """The hash of the original SRS paper, for reference: 4 base64 characters of HMAC-SHA-1.

    24 bits can be guessed, and without separators `a.com` + `mx` hashes like `a.co` + `mmx`. Ours
    differs in both.
    """
    message = f"{timestamp}{domain}{local_part}".lower().encode()
    return base64.b64encode(hmac.digest(secret, message, "sha1"))[:4].decode("ascii")


def format_day(day: date) -> str:
    """The day in two base32 characters; it comes round after 1024 days."""
    days = (day.toordinal() - _EPOCH) % _DAYS_IN_CYCLE
    return _BASE32[days >> 5] + _BASE32[days & 31]


def _decode(address: str, secrets: Sequence[bytes], today: date, domain: str) -> str:
    local_part, at = split_path(address)
    if at.lower() != domain:
        raise SrsMalformed("not our forward domain")
    first_hop = _SRS0(local_part)
    if first_hop:
        given, timestamp, origin, local_part = first_hop.groups()
        _check_hash(given, secrets, f"srs0={timestamp}={origin}={local_part}")
        _check_day(timestamp, today)
        return _restore(local_part, origin)
    later_hop = _SRS1(local_part)
    if later_hop:
        given, host, rest = later_hop.groups()
        _check_hash(given, secrets, f"srs1={host}={rest}")
        return _restore(f"SRS0{rest}", host)
    raise SrsMalformed("neither SRS0 nor SRS1")


def _restore(local_part: str, domain: str) -> str:
    """Read again like any MAIL: whatever was signed, what leaves here is one canonical path."""
    path = f"{quote_local_part(local_part)}@{domain}"
    return parse_reverse_path(path, max_local_octets=MAX_ADDRESS_OCTETS)


def _srs0(local_part: str, origin: str, secret: bytes, today: date) -> str:
    signed = f"{format_day(today)}={origin}={local_part}"
    return f"SRS0={_hash(secret, f'srs0={signed}')}={signed}"


def _srs1(local_part: str, origin: str, secret: bytes, today: date) -> str:
    """SRS1 keeps the first forwarder as its host however many follow."""
    if local_part[3] == "0":
        host, rest = origin, local_part[4:]
    else:
        earlier = _FOREIGN_SRS1(local_part)
        if not earlier or not _is_domain(earlier[1]):
            return _srs0(local_part, origin, secret, today)
        host, rest = earlier.groups()
    return f"SRS1={_hash(secret, f'srs1={host}={rest}')}={host}={rest}"


def _is_domain(host: str) -> bool:
    """The host inside a foreign SRS1 is a stranger's text: never signed unread."""
    try:
        return canonical_domain(host) == host.lower()
    except BadDomain:
        return False


def _hash(secret: bytes, message: str) -> str:
    """Hash of the message without case; it names its form first, so that none stands for two."""
    digest = hmac.digest(secret, message.casefold().encode("utf-8", "surrogatepass"), "sha256")
    return base64.b32encode(digest[:10])[:HASH_CHARACTERS].decode("ascii")


def _check_hash(given: str, secrets: Sequence[bytes], message: str) -> None:
    for secret in secrets:
        if hmac.compare_digest(_hash(secret, message), given.upper()):
            return
    raise SrsForged("the hash is not ours")


def _check_day(timestamp: str, today: date) -> None:
    day = _BASE32.index(timestamp[0].upper()) * 32 + _BASE32.index(timestamp[1].upper())
    # Modulo 1024, a day to come looks almost three years old.
    age = (today.toordinal() - _EPOCH - day) % _DAYS_IN_CYCLE
    if age > VALIDITY.days:
        raise SrsExpired("more than 30 days old, or of a day to come")
