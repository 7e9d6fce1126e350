"""The mark on each delivery: sealed, so that a return brings it back and it tells us all.

    X-Mxax-Route: AbC…   base64url( version | nonce | AES-256-GCM( what is in a `Mark` ) )

Nobody but us can read or make one, so two questions need no table:

    has this message been on this route before?       `passed_route`, asked at DATA
    whose mail does this return tell of, and may      `prove_return`, asked when a return comes in
    its author be told?

The value carries no readable address. Its length is that of the address in steps of 32 octets. The
nonce is a MAC of what is sealed: the same delivery gives the same value at every attempt.
"""

import base64
import binascii
import hashlib
import hmac
import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mail.facts import LogLevel
from mail.message import Field
from mail.trace import ROUTE_FIELD

KEY_OCTETS: Final = 32
MAX_MARKS_READ: Final = 64
"""More than the hops any message may have made (50): a stranger's other ones are not opened."""

_VERSION: Final = b"\x01"
_NONCE_OCTETS: Final = 12
_PAD_STEP: Final = 32
_DIGEST_OCTETS: Final = 8
# flags, trace id, tenant, route, digests of reverse-path and Message-ID, length of the address
_HEAD = struct.Struct(">B16sqq8s8sB")
_AUTHENTICATED: Final = 1
_LEVEL_SHIFT: Final = 1  # three bits of the flags
_MAX_VALUE_CHARACTERS: Final = 512
_FIELD_NAME: Final = ROUTE_FIELD.lower()
_LINE_CHARACTERS: Final = 60
_GAPS = re.compile(rb"\s+")


@dataclass(frozen=True, slots=True)
class Mark:
    """One delivery over one route. `recipient` is the forward-path the author wrote.

    `authenticated`: the reverse-path was shown to be the client's own to use when we took the mail.
    `message_id` is the original's field value, b"" when it has none. `tenant_id` and `route_id` are
    0 where there is none. `log_level` is how much the tenant let us write down of this message.
    """

    trace_id: UUID
    tenant_id: int
    route_id: int
    recipient: str
    reverse_path: str
    message_id: bytes
    authenticated: bool
    log_level: LogLevel = LogLevel.METADATA


@dataclass(frozen=True, slots=True)
class OpenedMark:
    """What an opened mark says; reverse-path and Message-ID can be compared only."""

    trace_id: UUID
    tenant_id: int
    route_id: int
    recipient: str
    authenticated: bool
    reverse_path_digest: bytes
    message_id_digest: bytes
    log_level: LogLevel

    def belongs_to(self, reverse_path: str) -> bool:
        """Whether the marked mail had this reverse-path: no mark speaks for another author."""
        return hmac.compare_digest(self.reverse_path_digest, _path_digest(reverse_path))

    def names_message(self, message_id: bytes) -> bool:
        """Whether the marked mail had this Message-ID."""
        given = _message_digest(message_id)
        return bool(message_id) and hmac.compare_digest(self.message_id_digest, given)


def seal_mark(mark: Mark, key: bytes) -> str:
    """The value of the field, without folding; below 500 characters. `key` has 32 octets.

    Raises ValueError for a recipient above 255 octets, which is no address.
    """
    clear = _packed(mark)
    cipher, nonce_key = _cipher(key)
    nonce = hmac.digest(nonce_key, clear, "sha256")[:_NONCE_OCTETS]
    sealed = _VERSION + nonce + cipher.encrypt(nonce, clear, _VERSION)
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def mark_field(value: str) -> bytes:
    """The header field that carries a sealed mark, folded and CRLF-ended."""
    lines = [
        value[at : at + _LINE_CHARACTERS].encode() for at in range(0, len(value), _LINE_CHARACTERS)
    ]
    return b"%b: %b\r\n" % (ROUTE_FIELD, b"\r\n\t".join(lines))


def open_mark(value: bytes | str, keys: Sequence[bytes]) -> OpenedMark | None:
    """What is in a mark of ours, made with any of the keys; None for anything else."""
    octets = value.encode("ascii", "replace") if isinstance(value, str) else value
    octets = _GAPS.sub(b"", octets)
    if len(octets) > _MAX_VALUE_CHARACTERS:
        return None
    try:
        sealed = base64.urlsafe_b64decode(octets + b"=" * (-len(octets) % 4))
    except (binascii.Error, ValueError):
        return None
    clear = _opened(sealed, keys)
    return _unpacked(clear) if clear is not None else None


def opened_marks(fields: Iterable[Field], keys: Sequence[bytes]) -> tuple[OpenedMark, ...]:
    """Our marks in a header block, from the top."""
    values = [field.value for field in fields if field.name == _FIELD_NAME][:MAX_MARKS_READ]
    opened = (open_mark(value, keys) for value in values)
    return tuple(mark for mark in opened if mark is not None)


def passed_route(
    marks: Iterable[OpenedMark], *, tenant_id: int, route_id: int, recipient: str
) -> bool:
    """Whether a message with these marks has been on this route before: a loop.

    A mailbox without a route (postmaster@) is known by its recipient.
    """
    return any(
        mark.tenant_id == tenant_id
        and mark.route_id == route_id
        and (route_id != 0 or mark.recipient.lower() == recipient.lower())
        for mark in marks
    )


def prove_return(
    values: Iterable[bytes], *, reverse_path: str, keys: Sequence[bytes]
) -> OpenedMark | None:
    """The mark among these values that belongs to mail of this reverse-path; the last one wins.

    In returned headers the oldest hop stands lowest, and that is the one whose author wrote to us.
    """
    found = None
    for value in list(values)[-MAX_MARKS_READ:]:
        mark = open_mark(value, keys)
        if mark is not None and mark.belongs_to(reverse_path):
            found = mark
    return found


def _packed(mark: Mark) -> bytes:
    recipient = mark.recipient.encode()
    if len(recipient) > 255:
        raise ValueError("no address has more than 254 octets")
    head = _HEAD.pack(
        (_AUTHENTICATED if mark.authenticated else 0) | mark.log_level << _LEVEL_SHIFT,
        mark.trace_id.bytes,
        mark.tenant_id,
        mark.route_id,
        _path_digest(mark.reverse_path),
        _message_digest(mark.message_id),
        len(recipient),
    )
    return head + recipient + b"\0" * (-len(recipient) % _PAD_STEP)


def _unpacked(clear: bytes) -> OpenedMark:
    flags, trace, tenant, route, path, message, length = _HEAD.unpack_from(clear)
    recipient = clear[_HEAD.size : _HEAD.size + length].decode()
    authenticated = bool(flags & _AUTHENTICATED)
    level = LogLevel(flags >> _LEVEL_SHIFT)
    return OpenedMark(
        UUID(bytes=trace), tenant, route, recipient, authenticated, path, message, level
    )


def _opened(sealed: bytes, keys: Sequence[bytes]) -> bytes | None:
    if sealed[:1] != _VERSION or len(sealed) < 1 + _NONCE_OCTETS + 16 + _HEAD.size:
        return None
    nonce, box = sealed[1 : 1 + _NONCE_OCTETS], sealed[1 + _NONCE_OCTETS :]
    for key in keys:
        try:
            return _cipher(key)[0].decrypt(nonce, box, _VERSION)
        except InvalidTag:
            continue
    return None


@lru_cache(maxsize=8)
def _cipher(key: bytes) -> tuple[AESGCM, bytes]:
    """Cipher and nonce key of a marker key."""
    if len(key) != KEY_OCTETS:
        raise ValueError("a marker key has 32 octets")
    return (
        AESGCM(hmac.digest(key, b"mxax mark seal", "sha256")),
        hmac.digest(key, b"mxax mark nonce", "sha256"),
    )


def _path_digest(path: str) -> bytes:
    # Without case: SRS and other hops do not keep it.
    return hashlib.sha256(b"path\0" + path.lower().encode()).digest()[:_DIGEST_OCTETS]


def _message_digest(message_id: bytes) -> bytes:
    clear = _GAPS.sub(b"", message_id)
    return hashlib.sha256(b"message-id\0" + clear).digest()[:_DIGEST_OCTETS]
