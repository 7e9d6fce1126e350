"""Public keys as DNS publishes them (RFC 6376, 3.6.1; RFC 8301; RFC 8463).

A record is read once: what it came to, good or bad, is kept by its text, so that the keys of the
large senders are loaded once a process and not once a message.
"""

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final, TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa, utils

from mail.authentication.findings import PASSED, Finding, Unusable
from mail.authentication.tags import Tags, decoded_base64, listed, read_tags
from mail.authentication.values import DkimResult

MIN_RSA_BITS: Final = 1024  # RFC 8301, 3.2: shorter ones are not valid
MAX_RSA_BITS: Final = 8192  # 0.3 ms each; RFC 8301 asks for 4096 at least
_MAX_EXPONENT_BITS: Final = 32  # larger ones make verifying as slow as signing
_MAX_RECORD_OCTETS: Final = 4096
_RECORDS_KEPT: Final = 1024
_PKCS1: Final = padding.PKCS1v15()
_DIGEST: Final = utils.Prehashed(hashes.SHA256())

PublicKey: TypeAlias = rsa.RSAPublicKey | ed25519.Ed25519PublicKey


class KeyType(Enum):
    """The values of k= that we know."""

    RSA = b"rsa"
    ED25519 = b"ed25519"


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What one TXT record says. Without a `public` key it is of no use, and `finding` says why."""

    key_type: KeyType | None = None
    public: PublicKey | None = None
    is_testing: bool = False
    is_exact: bool = False
    """t=s: the domain of i= must be d= itself."""
    finding: Finding = PASSED

    def verify(self, signature: bytes, digest: bytes) -> bool:
        """Whether the key's owner signed this SHA-256 digest."""
        try:
            if isinstance(self.public, rsa.RSAPublicKey):
                self.public.verify(signature, digest, _PKCS1, _DIGEST)
            elif self.public is not None:
                self.public.verify(signature, digest)
        except (InvalidSignature, ValueError, UnsupportedAlgorithm):
            return False
        return self.public is not None


@lru_cache(maxsize=_RECORDS_KEPT)
def read_key_record(text: bytes) -> KeyRecord:
    """The key in a TXT record; raises nothing."""
    if len(text) > _MAX_RECORD_OCTETS:
        return _refused("a key record of this size is not read")
    try:
        tags = read_tags(text)
        _check_record(tags)
        key_type = _key_type(tags)
        flags = listed(tags.get(b"t") or b"")
    except Unusable as refusal:
        return KeyRecord(finding=refusal.finding)
    try:
        public = _public_key(key_type, tags)
    except Unusable as refusal:
        return KeyRecord(key_type, None, b"y" in flags, b"s" in flags, refusal.finding)
    return KeyRecord(key_type, public, b"y" in flags, b"s" in flags)


def _refused(reason: str) -> KeyRecord:
    return KeyRecord(finding=Finding(DkimResult.PERMERROR, reason))


def _check_record(tags: Tags) -> None:
    version = tags.get(b"v")
    if version is not None and (version != b"DKIM1" or tags.names[0] != b"v"):
        raise Unusable("the record is no DKIM key")
    if b"p" not in tags:
        raise Unusable("the record has no p=")
    if b"h" in tags and b"sha256" not in listed(tags.get(b"h") or b""):
        raise Unusable("the key is not for SHA-256")
    services = listed(tags.get(b"s") or b"*")
    if b"*" not in services and b"email" not in services:
        raise Unusable("the key is not for email")


def _key_type(tags: Tags) -> KeyType:
    name = (tags.get(b"k") or b"rsa").lower()
    try:
        return KeyType(name)
    except ValueError:
        raise Unusable("the key is of an unknown kind") from None


def _public_key(key_type: KeyType, tags: Tags) -> PublicKey:
    octets = _key_octets(tags)
    try:
        if key_type is KeyType.ED25519:
            return ed25519.Ed25519PublicKey.from_public_bytes(octets)
        public = serialization.load_der_public_key(octets)
    except (ValueError, UnsupportedAlgorithm):
        raise Unusable("the key cannot be read") from None
    if not isinstance(public, rsa.RSAPublicKey):
        raise Unusable("the key is not of the kind that k= says")
    _check_rsa(public)
    return public


def _key_octets(tags: Tags) -> bytes:
    octets = decoded_base64(tags.get(b"p") or b"")
    if not octets:
        raise Unusable("the key is revoked")
    return octets


def _check_rsa(public: rsa.RSAPublicKey) -> None:
    bits = public.key_size
    if bits < MIN_RSA_BITS:
        raise Unusable(f"an RSA key of {bits} bits is too short", DkimResult.POLICY)
    if bits > MAX_RSA_BITS:
        raise Unusable(f"an RSA key of {bits} bits is too long")
    if public.public_numbers().e.bit_length() > _MAX_EXPONENT_BITS:
        raise Unusable("an RSA key with such an exponent is not used")
