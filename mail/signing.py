"""DKIM signatures of outgoing mail (RFC 6376, 8301, 8463): relaxed/relaxed, RSA and Ed25519.

    once a key        load_signing_key   PEM -> SigningKey          33 ms: never per message
    once a message    RelaxedBodyHash    chunks -> digest           shared by all signatures
    once an attempt   cover              fields -> Covered          what a signature says h= of
                      sign               header block -> fields     to be put before the octets

Signatures share one body hash and one hash of the header fields; only the last step differs. The
seal of authentication/seal.py begins with the same `Covered`.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Final, Protocol, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa, utils

from mail.errors import BadSigningKey
from mail.message import CRLF, Field, header_fields
from mail.search import holds

LIFETIME_SECONDS: Final = 7 * 24 * 3600  # bounds a replay of our signature
MIN_RSA_BITS: Final = 2048  # RFC 8301, 3.2 asks signers for it
_SIGNED: Final = (
    *(b"from", b"to", b"cc", b"subject", b"date", b"message-id", b"mime-version"),
    *(b"content-type", b"content-transfer-encoding", b"reply-to", b"in-reply-to", b"references"),
    *(b"sender", b"auto-submitted"),
    *(b"list-id", b"list-post", b"list-help", b"list-owner", b"list-archive", b"list-subscribe"),
    *(b"list-unsubscribe", b"list-unsubscribe-post"),
)
# Named once more than they occur: adding a second one breaks the signature (RFC 6376, 8.15).
_OVER_SIGNED: Final = frozenset({b"from", b"subject", b"to", b"date", b"reply-to"})
_SIGNED_SET: Final = frozenset(_SIGNED)
MAX_OF_A_NAME: Final = 10  # nobody reads more; keeps h= short
_MAX_ROW: Final = 72
_BLANK_LINES_AT_ONCE: Final = 32_768
_PKCS1: Final = padding.PKCS1v15()
_DIGEST: Final = utils.Prehashed(hashes.SHA256())

PrivateKey: TypeAlias = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


class Algorithm(StrEnum):
    """The a= values that we sign with."""

    RSA_SHA256 = "rsa-sha256"
    ED25519_SHA256 = "ed25519-sha256"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A loaded key and where its public half is published."""

    algorithm: Algorithm
    domain: str
    selector: str
    private: PrivateKey = field(repr=False, compare=False)

    def sign_digest(self, digest: bytes) -> bytes:
        """The signature of a SHA-256 digest (RFC 8463, 3 signs the digest itself)."""
        if isinstance(self.private, rsa.RSAPrivateKey):
            return self.private.sign(digest, _PKCS1, _DIGEST)
        return self.private.sign(digest)


def load_signing_key(
    pem: bytes, *, algorithm: Algorithm | str, domain: str, selector: str
) -> SigningKey:
    """The key in a PEM file, checked: 33 ms for RSA, so once a process. Raises `BadSigningKey`."""
    wanted = Algorithm(algorithm)
    try:
        private = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BadSigningKey("no readable private key") from None
    if isinstance(private, rsa.RSAPrivateKey) and wanted is Algorithm.RSA_SHA256:
        if private.key_size < MIN_RSA_BITS:
            raise BadSigningKey(f"an RSA key needs {MIN_RSA_BITS} bits")
        return SigningKey(wanted, domain, selector, private)
    if isinstance(private, ed25519.Ed25519PrivateKey) and wanted is Algorithm.ED25519_SHA256:
        return SigningKey(wanted, domain, selector, private)
    raise BadSigningKey(f"not a key for {wanted}")


@dataclass(frozen=True, slots=True)
class Covered:
    """The header fields under a signature: their names for h=, and their canonical form."""

    names: tuple[bytes, ...]
    canonical: bytes


def sign(
    header: bytes | Sequence[Field] | Covered,
    body_hash: bytes,
    keys: tuple[SigningKey, ...],
    *,
    now: int,
) -> bytes:
    """The DKIM-Signature fields of these keys, CRLF-ended, to be put before the message.

    `body_hash` is the digest of a `RelaxedBodyHash`, `now` seconds since 1970. All fields that are
    there are signed up to ten of a name, the lowest first (RFC 6376, 5.4.2).
    """
    covered = header if isinstance(header, Covered) else cover(header)
    common = hashlib.sha256(covered.canonical)
    tags = b"t=%d; x=%d" % (now, now + LIFETIME_SECONDS)
    tail = (tags, names_tag(covered.names), b"bh=" + base64.b64encode(body_hash))
    return b"".join([_signature_field(key, tail, common.copy()) for key in keys])


def cover(header: bytes | Sequence[Field]) -> Covered:
    """What a signature of ours covers in this header block (RFC 6376, 5.4)."""
    fields = header_fields(header) if isinstance(header, bytes) else header
    present: dict[bytes, list[Field]] = {}
    for one in fields:
        if one.name in _SIGNED_SET:
            present.setdefault(one.name, []).append(one)
    names: list[bytes] = []
    canonical: list[bytes] = []
    for name in _SIGNED:
        more = name in _OVER_SIGNED
        lowest_first = present.get(name, ())[::-1][: MAX_OF_A_NAME + more]
        names += [name] * min(len(lowest_first) + more, MAX_OF_A_NAME + more)
        canonical += [relaxed_field(name, one.body) for one in lowest_first]
    return Covered(tuple(names), b"".join(canonical))


def relaxed_field(name: bytes, body: bytes) -> bytes:
    """A header field in relaxed form, CRLF-ended (RFC 6376, 3.4.2)."""
    return b"%b:%b\r\n" % (name, _one_space(body.replace(CRLF, b"")).strip(b" "))


@lru_cache(maxsize=256)
def names_tag(names: tuple[bytes, ...]) -> bytes:
    """The h= tag, with a space where its line is full: there it is folded (RFC 6376, 3.5)."""
    rows = [b"h=" + names[0]]
    for name in names[1:]:
        if len(rows[-1]) + len(name) > _MAX_ROW:
            rows.append(name)
        else:
            rows[-1] += b":" + name
    return b": ".join(rows)


def _signature_field(key: SigningKey, tail: tuple[bytes, ...], digest: "hashlib._Hash") -> bytes:
    value = b"; ".join(
        (b"v=1; a=%b; c=relaxed/relaxed" % key.algorithm.encode(), place_tags(key), *tail, b"b=")
    )
    digest.update(b"dkim-signature:" + value)
    return b"DKIM-Signature: " + signed_value(value, key.sign_digest(digest.digest())) + CRLF


def place_tags(key: SigningKey) -> bytes:
    """The d= and s= tags: where the key is published."""
    return b"d=%b; s=%b" % (key.domain.encode(), key.selector.encode())


def signed_value(value: bytes, signature: bytes) -> bytes:
    """A field body in canonical form that ends in "b=", with its signature, folded for the wire.

    Folded only where the canonical form has a space, or within b=, which is not signed.
    """
    text = base64.b64encode(signature)
    rows = [text[start : start + _MAX_ROW] for start in range(0, len(text), _MAX_ROW)]
    folded = value.replace(b"; ", b";\r\n\t").replace(b": ", b":\r\n\t")
    return folded + b"\r\n\t".join(rows)


class Digest(Protocol):
    """What octets are hashed into: one of hashlib's, or something that counts them as well."""

    def update(self, octets: bytes, /) -> None: ...

    def copy(self) -> "Digest": ...

    def digest(self) -> bytes: ...


class RelaxedBodyHash:
    """SHA-256 of a body in relaxed form (RFC 6376, 3.4.4), fed in chunks cut anywhere.

    Lines end in CRLF. White space at the end of a chunk waits in a few octets and a counter,
    however much of it there is.
    """

    __slots__ = ("_blank_lines", "_empty", "_hash", "_tail")

    def __init__(self, into: Digest | None = None) -> None:
        self._hash: Digest = hashlib.sha256() if into is None else into
        self._tail = b""  # white space whose line has not ended, perhaps with its CR
        self._blank_lines = 0  # line ends after the last text, hashed only if more text comes
        self._empty = True

    def update(self, chunk: bytes) -> None:
        """Take the next octets of the body."""
        data = self._tail + chunk if self._tail else chunk
        text = data.rstrip(b" \t\r\n")
        if text:
            self._flush_blank_lines()
            self._hash.update(_relaxed_lines(text))
            self._empty = False
        self._keep(data[len(text) :])

    def digest(self) -> bytes:
        """The digest of everything so far; more may follow."""
        return self.finished().digest()

    def finished(self) -> Digest:
        """A copy of the hash, with what ends a body."""
        whole = self._hash.copy()
        if not self._empty:
            whole.update(CRLF)
        return whole

    def _flush_blank_lines(self) -> None:
        while self._blank_lines:
            now = min(self._blank_lines, _BLANK_LINES_AT_ONCE)
            self._hash.update(CRLF * now)
            self._blank_lines -= now

    def _keep(self, white: bytes) -> None:
        """Remember white space: whole lines of it are line ends, the rest is one space at most."""
        end = white.rfind(CRLF) + 2 if CRLF in white else 0
        self._blank_lines += white.count(CRLF)
        rest = white[end:]
        cr = b"\r" if rest.endswith(b"\r") else b""
        self._tail = (b" " if rest.strip(b"\r") else b"") + cr


def relaxed_body(body: bytes) -> bytes:
    """A whole body in relaxed form, for those who need its octets and not their hash."""
    text = body.rstrip(b" \t\r\n")
    return _relaxed_lines(text) + CRLF if text else b""


def relaxed_body_hash(body: bytes) -> bytes:
    """The digest of a whole body in relaxed form."""
    whole = RelaxedBodyHash()
    whole.update(body)
    return whole.digest()


def _relaxed_lines(text: bytes) -> bytes:
    """Text that does not end in white space, with runs reduced and line ends bare."""
    text = _one_space(text)
    return text.replace(b" \r\n", CRLF) if holds(text, b" \r\n") else text


def _one_space(octets: bytes) -> bytes:
    """Each run of spaces and tabs as one space; plain searches, because most text has none."""
    if b"\t" in octets:
        octets = octets.replace(b"\t", b" ")
    while holds(octets, b"  "):  # halves the longest run each time
        octets = octets.replace(b"  ", b" ")
    return octets


def generate_key_pair(algorithm: Algorithm | str) -> tuple[bytes, str]:
    """A new private key as PEM, and what its DNS record says of it: `k=...; p=...`."""
    if Algorithm(algorithm) is Algorithm.RSA_SHA256:
        private: PrivateKey = rsa.generate_private_key(65537, 2048)
    else:
        private = ed25519.Ed25519PrivateKey.generate()
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return pem, public_tags(private)


def public_tags(private: PrivateKey) -> str:
    """The tags of a key record (RFC 6376, 3.6.1; RFC 8463, 4: the bare 32 octets)."""
    public = private.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        der = public.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return "k=rsa; p=" + base64.b64encode(der).decode()
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return "k=ed25519; p=" + base64.b64encode(raw).decode()


def dkim_record(public: str) -> str:
    """The TXT record of a key, as quoted strings of at most 255 characters for a zone file."""
    return " ".join(f'"{part}"' for part in dkim_record_strings(public))


def dkim_record_strings(public: str) -> tuple[str, ...]:
    """The character strings of the TXT record of a key (RFC 1035, 3.3.14)."""
    text = "v=DKIM1; " + public
    return tuple(text[start : start + 255] for start in range(0, len(text), 255))
