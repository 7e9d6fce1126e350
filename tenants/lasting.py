"""Keys that stay the same when the data key changes: for digests that must be found for good.

`vault.derived_key` follows the first data key, and what was written under the one before is not
recognised any more. Here the root is random, made once, and itself sealed under the data key, so
that a re-encryption keeps it.
"""

import hashlib
import os
from functools import lru_cache
from typing import Final

from tenants.context import public_schema
from tenants.models import SealedSecret
from tenants.vault import VaultError, vault

ROOT: Final = "root"


def lasting_key(purpose: str) -> bytes:
    """A 32-octet key of its own for one purpose. Raises VaultError where there is no root."""
    return hashlib.blake2b(
        purpose.encode(), key=_root(), digest_size=32, person=b"mxax lasting"
    ).digest()


def secret_context(name: str) -> bytes:
    """What a sealed secret is bound to."""
    return b"secret " + name.encode()


def ensure_root() -> None:
    """Make the root where there is none: by `manage.py prepare`, never inside other work.

    A root whose transaction is rolled back would live on in the cache of one process.
    """
    with public_schema():
        if not SealedSecret.objects.filter(name=ROOT).exists():
            sealed = vault().seal(os.urandom(32), context=secret_context(ROOT))
            row = SealedSecret(name=ROOT, sealed=sealed)
            SealedSecret.objects.bulk_create([row], ignore_conflicts=True)


@lru_cache(maxsize=1)
def _root() -> bytes:
    with public_schema():
        row = SealedSecret.objects.filter(name=ROOT).first()
    if row is None:
        raise VaultError("The database is not set up yet: run `manage.py prepare`.")
    return vault().unseal(bytes(row.sealed), context=secret_context(ROOT))


def forget_lasting_keys() -> None:
    """Read the root again at the next use: after the database was replaced."""
    _root.cache_clear()
