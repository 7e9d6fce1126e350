"""The opaque form of SRS, for reverse-paths that do not fit into 64 octets: `SRS0=o=<token>`.

The address carries a token only; the reverse-path itself is kept by the caller in a row which
nobody can read who has the table alone:

    row id   SHA-256 of the token            finds the row
    sealed   AES-256-GCM, key by HKDF        opens with the token, which only the address carries
             from the token

Called by the planning of a delivery (`rewrite_reverse_path`) and by the RCPT policy
(`parse_opaque`, then `row_id` and `unseal`). A token we never gave has no row: that is a forgery.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mail.address import join_path
from mail.errors import BrokenSeal, LocalPartTooLong
from mail.srs import VALIDITY, encode_srs

PERIOD: Final = timedelta(days=7)
"""How long one reverse-path keeps one token: the longer, the fewer rows for a busy sender."""

_TOKEN_OCTETS: Final = 20  # 160 bits: 32 base32 characters without padding
_PADDED_OCTETS: Final = 256
_VERSION: Final = b"\x01"
_NONCE_OCTETS: Final = 12
_OPAQUE = re.compile(r"srs0[-+=]o=([a-z2-7]{32})", re.IGNORECASE | re.ASCII).fullmatch


@dataclass(frozen=True, slots=True)
class OpaqueRow:
    """What has to be stored before the opaque address is used; the same path gives the same row."""

    row_id: bytes
    sealed: bytes
    expires_on: date
    """The first day on which the row may be deleted."""


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A reverse-path in our domain, and the row its opaque form needs."""

    path: str
    opaque: OpaqueRow | None = None


def rewrite_reverse_path(
    path: str, *, secrets: Sequence[bytes], today: date, domain: str
) -> Rewritten:
    """The reverse-path for forwarded mail: classic SRS where it fits, else the opaque form.

    Raises `LocalPartTooLong` only for a path above 254 octets, or a forward domain above 214.
    """
    try:
        return Rewritten(encode_srs(path, secrets=secrets, today=today, domain=domain))
    except LocalPartTooLong:
        pass
    period, days_in = divmod(today.toordinal(), PERIOD.days)
    token = opaque_token(path, secret=secrets[0], period=period)
    expires_on = today + timedelta(days=PERIOD.days - days_in) + VALIDITY
    row = OpaqueRow(row_id(token), seal(path, token), expires_on)
    return Rewritten(join_path(opaque_local_part(token), domain), row)


def opaque_token(path: str, *, secret: bytes, period: int) -> str:
    """160 bits that stand for a reverse-path during one period: base32, lower case."""
    message = f"opaque={period}={path}".encode()
    digest = hmac.digest(secret, message, "sha256")
    return base64.b32encode(digest[:_TOKEN_OCTETS]).decode("ascii").lower()


def opaque_local_part(token: str) -> str:
    """The local part that carries a token: 39 octets."""
    return f"SRS0=o={token}"


def parse_opaque(local_part: str) -> str | None:
    """The token of an opaque local part, in any case; None for any other local part."""
    match = _OPAQUE(local_part)
    return match[1].lower() if match else None


def row_id(token: str) -> bytes:
    """32 octets that find the row, and from which the token cannot be had."""
    return hashlib.sha256(b"mxax srs row\0" + token.encode("ascii")).digest()


def seal(path: str, token: str) -> bytes:
    """The reverse-path, readable by the holder of the token only; 285 octets whatever its length.

    The same path and token give the same octets. The nonce is a MAC of the text, so that one key
    never meets one nonce with two texts. Raises `LocalPartTooLong` above 254 octets.
    """
    text = path.encode()
    if len(text) > _PADDED_OCTETS - 2:
        raise LocalPartTooLong("a reverse-path has at most 254 octets")
    padded = bytes([len(text)]) + text.ljust(_PADDED_OCTETS - 1, b"\0")
    key, nonce_key = _keys(token)
    nonce = hmac.digest(nonce_key, padded, "sha256")[:_NONCE_OCTETS]
    return _VERSION + nonce + AESGCM(key).encrypt(nonce, padded, _VERSION)


def unseal(sealed: bytes, token: str) -> str:
    """The reverse-path in a sealed row. Raises `BrokenSeal` when token and row do not fit."""
    version, nonce, box = sealed[:1], sealed[1 : 1 + _NONCE_OCTETS], sealed[1 + _NONCE_OCTETS :]
    if version != _VERSION:
        raise BrokenSeal("not a sealed reverse-path")
    try:
        padded = AESGCM(_keys(token)[0]).decrypt(nonce, box, version)
    except (InvalidTag, ValueError):
        raise BrokenSeal("the row does not open with this token") from None
    return padded[1 : 1 + padded[0]].decode()


def _keys(token: str) -> tuple[bytes, bytes]:
    """Key and nonce key; the token is its own entropy, so HKDF needs no salt (RFC 5869, 3.1)."""
    hkdf = HKDF(algorithm=SHA256(), length=64, salt=None, info=b"mxax srs seal 1")
    derived = hkdf.derive(token.encode("ascii"))
    return derived[:32], derived[32:]
