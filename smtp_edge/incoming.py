"""DATA of one session as something to await: the protocol feeds it, the transaction reads it.

Holds back the client (stops reading its socket) as soon as a piece waits to be taken, so that a
connection never costs more than a few pieces of memory however fast the client sends.
"""

import asyncio

from smtp_edge.dotted import DottedOctets
from smtp_edge.patience import Patience
from smtp_edge.planning import PIECE_OCTETS


class IncomingData:
    """Ends when the final dot was seen; a client that leaves cancels who waits for it."""

    def __init__(
        self,
        transport: asyncio.Transport,
        patience: Patience,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._dotted = DottedOctets()
        self._transport = transport
        self._patience = patience
        self._loop = loop
        self._paused = False
        self._skipping = False
        self._waiter: asyncio.Future[None] | None = None
        self.fed_octets = 0

    @property
    def ended(self) -> bool:
        """The end of data was seen; what was not taken yet is still there."""
        return self._dotted.ended

    @property
    def all_taken(self) -> bool:
        return self._dotted.ended and self._dotted.waiting_octets <= 0

    @property
    def broken(self) -> bool:
        """CR, LF or NUL on its own was among what was taken."""
        return self._dotted.broken

    @property
    def taken_octets(self) -> int:
        return self._dotted.taken_octets

    def feed(self, octets: bytes) -> bytes:
        """What arrived; gives what follows the end of data."""
        self.fed_octets += len(octets)
        self._patience.received(len(octets), self._loop.time())
        rest = self._dotted.feed(octets)
        if self._is_ready():
            self._hold_back()
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)
        return rest

    def _hold_back(self) -> None:
        wanted = not (self._dotted.ended or self._skipping)
        if wanted and not self._paused:
            self._transport.pause_reading()
        elif self._paused and not wanted:
            self._transport.resume_reading()
        self._paused = wanted

    async def piece(self) -> bytes:
        """The next clear octets: the whole rest if it is not more than a piece."""
        while not self._is_ready():
            await self._wait()
        return self._dotted.take(PIECE_OCTETS)

    async def skip(self, most_octets: int) -> bool:
        """Let the rest pass by; False when the client sends more than we care to read."""
        self._skipping = True
        self._dotted.discard()
        until = self.fed_octets + most_octets
        while not self._dotted.ended:
            if self.fed_octets > until:
                return False
            await self._wait()
        return True

    def _is_ready(self) -> bool:
        dotted = self._dotted
        # More than a piece and the longest unfinished end, so that none is cut.
        return dotted.ended or self._skipping or dotted.waiting_octets >= PIECE_OCTETS + 8

    async def _wait(self) -> None:
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        self._waiter = self._loop.create_future()
        self._patience.waiting = True
        try:
            await self._waiter
        finally:
            self._waiter, self._patience.waiting = None, False
