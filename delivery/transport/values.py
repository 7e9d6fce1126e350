"""What goes into the transport and what comes out: a transaction and its outcome.

Transaction  ->  Pool.transmit  ->  Outcome
"""

from dataclasses import dataclass
from enum import StrEnum

from mail.retry import OutcomeClass


class Stage(StrEnum):
    """Where in the dialogue the outcome was decided."""

    LOCAL = "local"
    """Before anything was said: we know that it cannot go there."""
    CONNECT = "connect"
    """Connection, greeting, EHLO and TLS: says nothing about the message."""
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    """DATA itself was refused."""
    CONTENT = "content"
    """After the first octet of content; the reply to the final dot."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """One message to one recipient: a delivery has its own header fields, so it goes alone.

    `pieces` are the octets of the message, CRLF lines, not dot-stuffed; paths are the wire form.
    """

    reverse_path: str
    recipient: str
    pieces: tuple[bytes, ...]
    needs_smtputf8: bool = False

    @property
    def size_octets(self) -> int:
        return sum(map(len, self.pieces))

    @property
    def is_eight_bit(self) -> bool:
        return not all(piece.isascii() for piece in self.pieces)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a transaction.

    `reply` is verbatim what the next hop said, lines joined by LF, or our own words where it said
    nothing; then `code` is 0. `blames_hop`: the trouble is the next hop's, not the message's.
    """

    result: OutcomeClass
    stage: Stage
    reply: str
    code: int = 0
    enhanced: str = ""
    blames_hop: bool = False
    host: str = ""
    tls: str = ""

    @property
    def is_uncertain(self) -> bool:
        """The content went out and no reply came: it may have been delivered."""
        return self.stage is Stage.CONTENT and not self.code
