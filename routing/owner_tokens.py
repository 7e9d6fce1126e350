"""Links for the owner of a destination, who has no account with us.

    ask token     <tenant>-<destination>-<32 base32 characters>   160 random bits, stored as digest
    stop token    <tenant>-<destination>-<32 base32 characters>   160 bits of a MAC, stored nowhere

The ask token works once and for 72 hours. The stop token is the same for ever, so that the first
confirmation mail still stops the forwarding years later. The numbers in front only say where to
look; a token that fits nothing looks the same as one for a tenant that is not there.
"""

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Final

from tenants.lasting import lasting_key

SECRET_OCTETS: Final = 20
_TOKEN = re.compile(r"([1-9][0-9]{0,17})-([1-9][0-9]{0,17})-([a-z2-7]{32})", re.ASCII)


@dataclass(frozen=True, slots=True)
class OwnerToken:
    """A token taken apart; nothing says yet that it is a good one."""

    tenant_id: int
    destination_id: int
    secret: str

    def __str__(self) -> str:
        return f"{self.tenant_id}-{self.destination_id}-{self.secret}"


def parse_token(text: str) -> OwnerToken | None:
    """The parts of a token, None for what cannot be one."""
    found = _TOKEN.fullmatch(text)
    return OwnerToken(int(found[1]), int(found[2]), found[3]) if found else None


def new_ask_token(tenant_id: int, destination_id: int) -> OwnerToken:
    """A token that nobody can guess."""
    return OwnerToken(tenant_id, destination_id, _base32(secrets.token_bytes(SECRET_OCTETS)))


def ask_digest(token: OwnerToken) -> bytes:
    """What is stored of an ask token."""
    return hashlib.sha256(b"mxax ask\0" + str(token).encode()).digest()


def stop_token(tenant_id: int, destination_id: int, address: str) -> OwnerToken:
    """The token by which the address's owner stops the tenant's mail to him, now and later."""
    bound = f"{tenant_id}\0{destination_id}\0{address}".encode()
    mac = hmac.digest(lasting_key("stop links"), bound, hashlib.sha256)[:SECRET_OCTETS]
    return OwnerToken(tenant_id, destination_id, _base32(mac))


def is_stop_token(token: OwnerToken, address: str) -> bool:
    """Whether it is the one of this address."""
    wanted = stop_token(token.tenant_id, token.destination_id, address)
    return hmac.compare_digest(wanted.secret, token.secret)


def _base32(octets: bytes) -> str:
    return base64.b32encode(octets).decode("ascii").lower()
