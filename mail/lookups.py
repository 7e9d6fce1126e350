"""What a look-up in the DNS comes to: an outcome and the records, never an exception.

Who needs the DNS is given a `Lookup`; delivery/lookups has the one that asks.
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
