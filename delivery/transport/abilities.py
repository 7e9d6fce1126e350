"""What a next hop offers in its reply to EHLO."""

from dataclasses import dataclass

from delivery.transport.replies import HopReply


@dataclass(frozen=True, slots=True)
class Abilities:
    """What the peer's EHLO offers."""

    pipelining: bool = False
    eight_bit: bool = False
    smtputf8: bool = False
    starttls: bool = False
    size: int | None = None
    """Its limit in octets; 0 for none told, None when SIZE is not offered (RFC 1870)."""


def abilities_of(reply: HopReply) -> Abilities:
    """The service extensions in a reply to EHLO (RFC 5321, 4.1.1.1)."""
    offered = {}
    for line in reply.lines()[1:]:
        keyword, _, rest = line.strip().partition(" ")
        offered[keyword.upper()] = rest.strip()
    size = offered.get("SIZE")
    return Abilities(
        pipelining="PIPELINING" in offered,
        eight_bit="8BITMIME" in offered,
        smtputf8="SMTPUTF8" in offered,
        starttls="STARTTLS" in offered,
        size=None if size is None else int(size) if size.isascii() and size.isdigit() else 0,
    )
