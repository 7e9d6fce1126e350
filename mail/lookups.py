"""What a look-up in the DNS comes to: an outcome and the records, never an exception.

Who needs the DNS is given a `Lookup`; delivery/lookups has the one that asks. `BoundedLookup` asks
so many questions and no more, whatever a stranger's zone would like.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Generic, Literal, Protocol, TypeVar


class Outcome(Enum):
    """The four things that DNS says, which mail treats differently."""

    FOUND = "found"
    NO_DATA = "no data"
    """The name exists without records of this kind."""
    NO_NAME = "no such name"
    """NXDOMAIN; also a text that is no name at all."""
    FAILURE = "failure"
    """Nobody answered in time, SERVFAIL, a loop of CNAMEs: says nothing about the name."""


@dataclass(frozen=True, slots=True, order=True)
class MxRecord:
    """`exchange` is lower case without the last dot; "" is the null MX (RFC 7505)."""

    preference: int
    exchange: str


RecordT = TypeVar("RecordT")


@dataclass(frozen=True, slots=True)
class Answer(Generic[RecordT]):
    """Records of one kind at a name, as the resolver gave them.

    `canonical_name` is where CNAMEs led to. `authentic` is the AD flag: worth something only from a
    validating resolver on this machine.
    """

    outcome: Outcome
    records: tuple[RecordT, ...] = ()
    canonical_name: str = ""
    authentic: bool = False

    @property
    def is_void(self) -> bool:
        """Whether the name is known to have nothing of the kind (RFC 7208, 4.6.4)."""
        return self.outcome in (Outcome.NO_DATA, Outcome.NO_NAME)

    @property
    def failed(self) -> bool:
        return self.outcome is Outcome.FAILURE


class Lookup(Protocol):
    """What those who need DNS are given; tests give a zone in memory."""

    async def mx(self, name: str) -> Answer[MxRecord]: ...

    async def addresses(self, name: str, family: Literal["A", "AAAA"]) -> Answer[str]: ...

    async def txt(self, name: str) -> Answer[bytes]: ...

    async def ptr(self, name: str) -> Answer[str]: ...


class BoundedLookup:
    """A `Lookup` for one piece of work: behind its last question every answer is a failure."""

    __slots__ = ("_left", "_lookup", "is_spent")

    def __init__(self, lookup: Lookup, most: int) -> None:
        self._lookup, self._left = lookup, most
        self.is_spent = False
        """Whether a question was not asked."""

    async def mx(self, name: str) -> Answer[MxRecord]:
        return await self._lookup.mx(name) if self._may_ask() else Answer(Outcome.FAILURE)

    async def addresses(self, name: str, family: Literal["A", "AAAA"]) -> Answer[str]:
        if not self._may_ask():
            return Answer(Outcome.FAILURE)
        return await self._lookup.addresses(name, family)

    async def txt(self, name: str) -> Answer[bytes]:
        return await self._lookup.txt(name) if self._may_ask() else Answer(Outcome.FAILURE)

    async def ptr(self, name: str) -> Answer[str]:
        return await self._lookup.ptr(name) if self._may_ask() else Answer(Outcome.FAILURE)

    def _may_ask(self) -> bool:
        self.is_spent = self.is_spent or self._left == 0
        self._left -= not self.is_spent
        return not self.is_spent
