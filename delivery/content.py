"""Message content at rest: sealed pieces of at most 256 KiB of clear octets.

A piece is bound to its tenant, message and place, so that rows which were moved do not open.
"""

from uuid import UUID

from tenants.vault import vault

CHUNK_OCTETS = 256 * 1024


def seal_chunk(octets: bytes, *, tenant_id: int | None, message_id: UUID, number: int) -> bytes:
    """The stored form of a piece."""
    return vault().seal(octets, context=content_context(tenant_id, message_id, number))


def unseal_chunk(sealed: bytes, *, tenant_id: int | None, message_id: UUID, number: int) -> bytes:
    """The clear octets; raises `VaultError` where no key opens them or the row is another's."""
    return vault().unseal(sealed, context=content_context(tenant_id, message_id, number))


def content_context(tenant_id: int | None, message_id: UUID, number: int) -> bytes:
    """What a piece is bound to."""
    return b"content %d %b %d" % (tenant_id or 0, message_id.bytes, number)
