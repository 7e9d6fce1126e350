"""Secrets and content at rest: AES-GCM under a key that lives outside the database.

    value = version (1 octet) | key id (4) | nonce (12) | ciphertext and tag

The key id names the key, so that several may be in force while a command re-encrypts. `context` is
the additional data (what the value belongs to): a value moved to another row does not open.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

VERSION = b"\x01"
OVERHEAD_OCTETS = 1 + 4 + 12 + 16
PROOF_TEXT = b"mxax data key proof"


class VaultError(Exception):
    """The data key is missing, or not the one this installation's database was written with."""


@dataclass(frozen=True, slots=True)
class Vault:
    """Seals with the first key, opens with any."""

    ciphers: tuple[tuple[bytes, AESGCM], ...]

    @classmethod
    def of(cls, keys: Sequence[bytes]) -> "Vault":
        if not keys or any(len(key) != 32 for key in keys):
            raise VaultError("MXAX_DATA_KEY must be one or more base64 keys of 32 octets.")
        return cls(tuple((key_id(key), AESGCM(key)) for key in keys))

    def seal(self, octets: bytes, *, context: bytes) -> bytes:
        identity, cipher = self.ciphers[0]
        nonce = os.urandom(12)
        return VERSION + identity + nonce + cipher.encrypt(nonce, octets, context)

    def unseal(self, value: bytes, *, context: bytes) -> bytes:
        """The clear octets; raises VaultError where no key opens them."""
        value = bytes(value)
        for identity, cipher in self.ciphers:
            if value[1:5] == identity and value[:1] == VERSION:
                try:
                    return cipher.decrypt(value[5:17], value[17:], context)
                except InvalidTag:
                    raise VaultError(
                        "A stored value does not open: wrong context or damaged."
                    ) from None
        raise VaultError(
            f"No data key opens this value: add the key {value[1:5].hex()} to MXAX_DATA_KEY."
        )


def key_id(key: bytes) -> bytes:
    """Four octets that name a key without telling it."""
    return hashlib.sha256(b"mxax data key\0" + key).digest()[:4]


def derived_key(purpose: str, data_key: bytes | None = None) -> bytes:
    """A 32-octet key of its own for one purpose (pepper, marks), from the first data key.

    `data_key` another of them, for what was made before the key was changed.
    """
    return hashlib.blake2b(
        purpose.encode(),
        key=data_key or settings.ENV.data_keys[0],
        digest_size=32,
        person=b"mxax derived",
    ).digest()


@lru_cache(maxsize=1)
def vault() -> Vault:
    """The vault of this process; raises VaultError when the key is missing."""
    return Vault.of(settings.ENV.data_keys)


def prove_data_key(*, create: bool = False) -> None:
    """Check that the data key is the one this database was written with.

    Raises VaultError otherwise: mail is deferred, never bounced, over a wrong key. `create` writes
    the proof, and the root of lasting keys, into a database that has none (the first start).
    """
    from tenants.lasting import ensure_root
    from tenants.models import DataKeyProof

    proofs = list(DataKeyProof.objects.all())
    if not proofs:
        if create:
            DataKeyProof.objects.create(
                key_id=vault().ciphers[0][0].hex(),
                sealed=vault().seal(PROOF_TEXT, context=b"proof"),
            )
            ensure_root()
            return
        raise VaultError("The database is not set up yet: run `manage.py prepare`.")
    for proof in proofs:
        vault().unseal(bytes(proof.sealed), context=b"proof")
    if create:
        ensure_root()
