"""dkimpy as the judge of what we send: whether a signature is valid, and nothing else.

Production has a verifier of its own (mail/authentication); tests of whole deliveries ask this one,
so that no code of ours says that our own signatures are good.
"""

import binascii
from collections.abc import Callable

import dkim

# What dkimpy raises for broken input; the last two are its oversights (base64, continuations).
_BROKEN = (dkim.DKIMException, dkim.UnparsableKeyError, binascii.Error, IndexError)

Lookup = Callable[[bytes], bytes | None]
"""The TXT record of a name, or None."""


def verify(octets: bytes, *, lookup: Lookup, index: int = 0) -> bool:
    """Whether the signature at this index (0 is the topmost) is valid; broken ones are not."""

    def answer(name: bytes, timeout: int = 5) -> bytes | None:
        return lookup(name)

    try:
        return bool(dkim.DKIM(octets).verify(idx=index, dnsfunc=answer))
    except _BROKEN:
        return False
