"""What a session needs of the rest, in its own words; threads and databases are behind it.

Everything that awaits may raise `ServiceAway`: the client is told 451 4.3.0 and keeps his mail.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from delivery.acceptance import KeptMessage
from delivery.refusals import RefusedAt
from mail.facts import DomainSnapshot
from mail.opaque import OpaqueRow


class ServiceAway(Exception):
    """The database cannot be asked, or does not answer in time."""


class NoSpace(ServiceAway):
    """The database's disk is full: the client is told 452 4.3.1."""


@dataclass(frozen=True, slots=True)
class PieceOfMessage:
    """A piece of a large message, stored while DATA still runs."""

    trace_id: UUID
    tenant_id: int | None
    number: int
    octets: bytes


class DomainLookup(Protocol):
    async def get(self, name: str) -> DomainSnapshot | None:
        """The hosted domain of this A-label, or None."""


class ReturnPathLookup(Protocol):
    async def find(self, row_id: bytes) -> OpaqueRow | None:
        """The row of an opaque SRS address, or None for a token that we never gave."""


class Keeper(Protocol):
    async def keep(self, messages: Sequence[KeptMessage]) -> None:
        """Returns when all of them are committed."""

    async def store(self, pieces: Sequence[PieceOfMessage]) -> None:
        """Returns when the pieces are stored; they are nothing until `keep`."""

    def discard(self, trace_ids: Sequence[UUID]) -> None:
        """Forget stored pieces, some time."""


class Reporter(Protocol):
    def refused(self, refusal: RefusedAt) -> None:
        """Note a refusal; never waits."""

    def accepted(self, tenant_id: int, deliveries: int) -> None:
        """Count accepted deliveries; never waits."""

    def accepted_today(self, tenant_id: int) -> int:
        """Deliveries accepted for the tenant today, as far as known here."""


class Room(Protocol):
    async def lacks(self, tenant_ids: Collection[int]) -> bool:
        """Whether one of these tenants may not have more mail held."""


class Incoming(Protocol):
    """The octets of one message as they come in; dot-stuffing is gone already."""

    @property
    def ended(self) -> bool:
        """The end was seen; what was not taken yet is still there."""

    @property
    def all_taken(self) -> bool: ...

    @property
    def broken(self) -> bool:
        """CR, LF or NUL on its own was among what was taken."""

    @property
    def taken_octets(self) -> int: ...

    async def piece(self) -> bytes:
        """The next octets: the whole rest if it is not more than a piece."""

    async def skip(self, most_octets: int) -> bool:
        """Let the rest pass by; False when it is far more than that."""
