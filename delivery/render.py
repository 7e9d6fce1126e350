"""The octets of one attempt: our fields above, and everything below as it came.

    DKIM-Signature (RSA, Ed25519)      made fresh, by the forward or service domain
    X-Mxax-Route                       the sealed mark, against loops and for returns
    the stored content                 our Received field and the octets received, untouched

Pure: keys, mark and time are arguments.
"""

from dataclasses import dataclass

from delivery.claim import ClaimedMessage, Content
from mail.signing import SigningKey, sign


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
) -> Rendered:
    """Sign and mark; `mark` is a whole field or b"", `now` in seconds since 1970."""
    header = header_block(message, content)
    ours = sign(header, content.body_hash, keys, now=now) if keys else b""
    signed_by = tuple(f"{key.selector}._domainkey.{key.domain}" for key in keys)
    return Rendered((ours + mark, *content.pieces), signed_by)


def header_block(message: ClaimedMessage, content: Content) -> bytes:
    """The header fields of the stored content, without the blank line."""
    first = content.pieces[0]
    if len(first) < message.header_octets:
        first = b"".join(content.pieces)
    return first[: message.header_octets]
