"""What is stored of a message: our trace field, then the octets as they came.

Nothing is parsed and written again. One thing goes: Authentication-Results fields that claim to be
ours (RFC 8601, 5). A large message is stored piece by piece while it comes in, the same pieces for
each tenant that has a share in it; they become a message with the last commit, or are swept.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from delivery.acceptance import KeptMessage
from mail.message import CRLF, cut_authentication_results, split_header_block, without_ranges
from mail.plan import PlannedMessage
from mail.scan_fields import cut_scan_fields
from smtp_edge.headers import ReceivedHeader
from smtp_edge.planning import Share, chunks_of
from smtp_edge.ports import Keeper, PieceOfMessage


@dataclass(frozen=True, slots=True)
class Opening:
    """The first octets of a message, cleaned; `header_octets` without the blank line."""

    octets: bytes
    header_octets: int

    @classmethod
    def of(cls, received: bytes, authserv_id: str) -> "Opening":
        forged = cut_authentication_results(received, authserv_id) + cut_scan_fields(received)
        octets = without_ranges(received, sorted(forged))
        return cls(octets, _header_octets(octets))


@dataclass(frozen=True, slots=True)
class Plan:
    """How the message is going to be kept."""

    shares: tuple[Share, ...]
    header: ReceivedHeader
    opening: Opening
    trail: tuple[str, ...]

    @property
    def trace(self) -> bytes:
        """The Received field of the first share, for scanners that look for it."""
        return self.shares[0].trace if self.shares else b""


def _header_octets(octets: bytes) -> int:
    end = split_header_block(octets)
    if octets.startswith(CRLF):
        return 0
    return end - len(CRLF) if octets.endswith(CRLF + CRLF, 0, end) else end


def whole(plan: PlannedMessage, share: Share, octets: bytes) -> KeptMessage:
    """A message that is all there."""
    chunks = chunks_of(share.trace + octets)
    return KeptMessage(plan, chunks, first_chunk_number=0, chunk_count=len(chunks))


class LargeContent:
    """Pieces of one received message, stored for all its shares."""

    def __init__(self, keeper: Keeper, shares: Sequence[Share]) -> None:
        self._keeper = keeper
        self._shares = shares
        self._pieces = 0
        self.octets = 0

    async def add(self, octets: bytes) -> None:
        """Returns when the piece is stored: until then no more is read from the client."""
        await self._keeper.store(
            [
                PieceOfMessage(
                    share.trace_id,
                    share.tenant_id,
                    self._pieces,
                    octets if self._pieces else share.trace + octets,
                )
                for share in self._shares
            ]
        )
        self._pieces += 1
        self.octets += len(octets)

    def finish(self, plan: PlannedMessage, last_octets: bytes) -> KeptMessage:
        """The message of one share, with the octets that were not stored yet."""
        chunks = chunks_of(last_octets) if last_octets else ()
        return KeptMessage(
            plan, chunks, first_chunk_number=self._pieces, chunk_count=self._pieces + len(chunks)
        )

    def discard(self) -> None:
        self._keeper.discard([share.trace_id for share in self._shares])
