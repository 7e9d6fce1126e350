"""dkimpy with its slow parts done by OpenSSL: the verifier, and the judge of our own signer.

dkimpy signs and verifies RSA in pure Python and takes three passes of a regular expression over
each body. `install` puts `cryptography` and mail/signing.py's body form in their place; nothing
else of it changes. It acts on the whole process, so it is called once, at start.
docs/decisions/0003-own-signer.md says why outgoing mail is not signed with it.
"""

import binascii
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import dkim
import dkim.canonicalization
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils

from mail.signing import relaxed_body

_PREHASHED = {
    "sha1": utils.Prehashed(hashes.SHA1()),  # noqa: S303  only to say "valid, but by SHA-1"
    "sha256": utils.Prehashed(hashes.SHA256()),
}
_PKCS1 = padding.PKCS1v15()
_PRIVATE_KEYS = 64
# What dkimpy raises for broken input; the last two are its oversights (base64, continuations).
_BROKEN = (dkim.DKIMException, dkim.UnparsableKeyError, binascii.Error, IndexError)

Lookup = Callable[[bytes], bytes | None]
"""The TXT record of a name, or None."""


class _LoadedKeys:
    """Private keys by their PEM: dkimpy loads at each signature, which costs 33 ms."""

    def __init__(self) -> None:
        self._keys: dict[bytes, rsa.RSAPrivateKey] = {}

    def load(self, pem: bytes) -> rsa.RSAPrivateKey:
        digest = hashlib.sha256(pem).digest()
        if digest not in self._keys:
            if len(self._keys) >= _PRIVATE_KEYS:
                self._keys.clear()
            self._keys[digest] = _private_key(pem)
        return self._keys[digest]


def _private_key(pem: bytes) -> rsa.RSAPrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise dkim.UnparsableKeyError(str(error)) from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise dkim.UnparsableKeyError("not an RSA key")
    return key


def _sign(digest: Any, private: rsa.RSAPrivateKey) -> bytes:
    return private.sign(digest.digest(), _PKCS1, _PREHASHED[digest.name.lower()])


def _verify(digest: Any, signature: bytes, public: Mapping[str, int]) -> bool:
    try:
        numbers = rsa.RSAPublicNumbers(public["publicExponent"], public["modulus"])
        scheme = _PREHASHED[digest.name.lower()]
        numbers.public_key().verify(signature, digest.digest(), _PKCS1, scheme)
    except (InvalidSignature, ValueError):  # ValueError: numbers that are no RSA key
        return False
    return True


def install() -> None:
    """Replace dkimpy's RSA, key loading and relaxed body form in this process. Idempotent."""
    dkim.RSASSA_PKCS1_v1_5_sign = _sign
    dkim.RSASSA_PKCS1_v1_5_verify = _verify
    dkim.parse_pem_private_key = _LoadedKeys().load
    dkim.canonicalization.Relaxed.canonicalize_body = staticmethod(relaxed_body)


def verify(octets: bytes, *, lookup: Lookup, index: int = 0, min_key_bits: int = 1024) -> bool:
    """Whether the signature at this index (0 is the topmost) is valid; broken ones are not.

    `lookup` may raise what it likes for a resolver in trouble: that passes through.
    """

    def answer(name: bytes, timeout: int = 5) -> bytes | None:
        return lookup(name)

    try:
        return bool(dkim.DKIM(octets, minkey=min_key_bits).verify(idx=index, dnsfunc=answer))
    except _BROKEN:
        return False
