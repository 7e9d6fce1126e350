"""Destinations whose domain is hosted here: taken in by the rules of the MX, without a wire.

    Sender.attempt  ->  HostedFirst.resolve  ->  Inside  ->  Reception.take_in  ->  TakenIn
                                                                      |
    settle: this delivery ends and the new messages begin, in one transaction

Nothing loops through the world, whatever the MX records say, and nothing depends on a listener that
can be reached. The reception is smtp_edge's (bound in mxax/wiring.py): the same transaction as on
the MX, with the same policies, so what is refused there is refused here with the same words. The
reverse-path stays the author's own; a return finds its way to him without us in between twice.
docs/decisions/0011 says why.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol

from delivery.acceptance import KeptMessage
from delivery.claim import ClaimedMessage
from delivery.next_hop import NextHop, NextHopResolver
from delivery.transport.values import Outcome, Stage, Transaction
from mail.plan import Direction
from mail.reply import Reply
from mail.retry import OutcomeClass


class Hosting(Enum):
    """Whether mail for a domain is ours to take."""

    ELSEWHERE = "elsewhere"
    HERE = "here"
    CLAIMED = "claimed"
    """Somebody says that it is his and has not proved it, or has lost the proof: nobody's yet."""


class ReceptionAway(Exception):
    """The database cannot be asked: the delivery waits."""


@dataclass(frozen=True, slots=True)
class TakenIn:
    """What the MX would have answered, and the messages to keep where it was 250."""

    reply: Reply
    messages: tuple[KeptMessage, ...] = ()


@dataclass(frozen=True, slots=True)
class Origin:
    """Where handed-on mail came from: the client that brought it, unless we wrote it ourselves."""

    client_ip: str
    helo: str
    authenticated: bool
    is_ours: bool


class Reception(Protocol):
    """The MX without a wire; belongs to one event loop. Both raise `ReceptionAway`."""

    async def hosting(self, domain: str) -> Hosting: ...

    async def take_in(self, mail: Transaction, origin: Origin) -> TakenIn: ...

    def close(self) -> None:
        """The loop has ended."""


@dataclass(frozen=True, slots=True)
class Inside:
    """The next hop is ourselves."""

    reception: Reception

    async def take_in(
        self, message: ClaimedMessage, mail: Transaction
    ) -> tuple[Outcome, tuple[KeptMessage, ...]]:
        """Hand the mail on; what is to be kept must be inserted when the delivery is settled.

        Raises `ReceptionAway`.
        """
        if message.direction is Direction.FORWARD:
            mail = replace(mail, reverse_path=message.reverse_path)
        origin = Origin(
            message.client_ip,
            message.helo,
            message.authenticated,
            message.direction is Direction.NOTICE,
        )
        taken = await self.reception.take_in(mail, origin)
        return _outcome(taken.reply), taken.messages


@dataclass(frozen=True, slots=True)
class HostedFirst:
    """What is hosted here stays here; everything else goes `outside`."""

    reception: Reception
    outside: NextHopResolver

    async def resolve(self, domain: str) -> NextHop | Outcome | Inside:
        """Raises `ReceptionAway`."""
        hosting = await self.reception.hosting(domain)
        if hosting is Hosting.HERE:
            return Inside(self.reception)
        found = await self.outside.resolve(domain)
        # Its MX records are set already and the proof is not seen yet: nothing to bounce for.
        if hosting is Hosting.CLAIMED and isinstance(found, Outcome) and found.enhanced == "5.4.6":
            return _later("4.7.1", f"{domain} is not proved to be hosted here yet")
        return found


_make_reception: Callable[[], Reception] | None = None


def bind_reception(make: Callable[[], Reception]) -> None:
    """Name the reception; it is made inside the sending loop."""
    global _make_reception
    _make_reception = make


def hosted_first(outside: NextHopResolver) -> HostedFirst:
    """A resolver for the running event loop. Raises RuntimeError when nothing is bound."""
    if _make_reception is None:
        raise RuntimeError("no reception is bound: see mxax/wiring.py")
    return HostedFirst(_make_reception(), outside)


def _outcome(reply: Reply) -> Outcome:
    return Outcome(
        OutcomeClass(reply.basic // 100),
        Stage.CONTENT,
        str(reply),
        reply.basic,
        reply.enhanced,
        host="inside",
    )


def _later(enhanced: str, text: str) -> Outcome:
    reply = f"451 {enhanced} {text}"
    return Outcome(OutcomeClass.TRANSIENT, Stage.LOCAL, reply, enhanced=enhanced)
