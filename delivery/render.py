"""The octets of one attempt: our fields above, and everything below as it came.

    ARC-Seal and what belongs to it    made once a message, by the forward domain
    DKIM-Signature (RSA, Ed25519)      made fresh, by the forward or service domain
    Authentication-Results, X-Spam-…   written when the message came in
    X-Mxax-Route                       the sealed mark, against loops and for returns
    the stored content                 our Received field and the octets received, untouched

Pure: keys, mark and time are arguments.
"""

from dataclasses import dataclass

from delivery.claim import ClaimedMessage, Content
from delivery.sealing import NO_SEALS, Sealer
from mail.message import header_fields
from mail.signing import SigningKey, cover, sign


@dataclass(frozen=True, slots=True)
class Rendered:
    """What goes over the wire, not dot-stuffed, and the names of the keys that signed it."""

    pieces: tuple[bytes, ...]
    signed_by: tuple[str, ...]


def render(
    message: ClaimedMessage,
    content: Content,
    *,
    keys: tuple[SigningKey, ...],
    mark: bytes,
    now: int,
    sealer: Sealer = NO_SEALS,
) -> Rendered:
    """Sign, seal and mark; `mark` is a whole field or b"", `now` in seconds since 1970."""
    if not keys:
        return Rendered((message.our_fields + mark, *content.pieces), ())
    fields = header_fields(header_block(message, content))
    covered = cover(fields)
    ours = sign(covered, content.body_hash, keys, now=now)
    sealed = sealer.fields(message, content, fields, covered, keys, now)
    signed_by = tuple(f"{key.selector}._domainkey.{key.domain}" for key in keys)
    return Rendered((sealed + ours + message.our_fields + mark, *content.pieces), signed_by)


def handed_on(content: Content, *, mark: bytes) -> Rendered:
    """For a domain hosted here: nothing of ours but the mark, for it is looked at there again."""
    return Rendered((mark, *content.pieces), ())


def header_block(message: ClaimedMessage, content: Content) -> bytes:
    """The header fields of the stored content, without the blank line."""
    first = content.pieces[0]
    if len(first) < message.header_octets:
        first = b"".join(content.pieces)
    return first[: message.header_octets]
