"""A DNS server of which large answers are bounded: their owner is a stranger.

dnspython reads what an answer says it has, in the event loop: 64 KiB of empty strings take it 170
ms, and one message can make us ask for 66 keys. What is longer than `MOST_OCTETS` is no answer, and
what is longer than a datagram is read in a thread.
"""

import asyncio
from typing import Any, Final

import dns.exception
import dns.message
import dns.nameserver
import dns.query

MOST_OCTETS: Final = 16_384
"""Above what anybody publishes: the longest lists of TXT records have half of it."""
_READ_AT_ONCE: Final = 2_048


class BoundedNameserver(dns.nameserver.Do53Nameserver):
    """UDP as ever; TCP where an answer is truncated."""

    async def async_query(
        self,
        request: dns.message.QueryMessage,
        timeout: float,  # noqa: ASYNC109 - dnspython's name for it
        *rest: Any,
        **more: Any,
    ) -> dns.message.Message:
        """Raises what dnspython's resolver takes for an answer that is none."""
        if not more.get("max_size"):
            return await super().async_query(request, timeout, *rest, **more)
        try:
            async with asyncio.timeout(timeout):
                octets = await self._asked(request.to_wire())
                response = await _read(octets)
        except TimeoutError:
            raise dns.exception.Timeout from None
        if not request.is_response(response):
            raise dns.query.BadResponse
        return response

    async def _asked(self, octets: bytes) -> bytes:
        """The answer over TCP (RFC 7766, 8). Raises `FormError` where it is too long."""
        reader, writer = await asyncio.open_connection(self.address, self.port)
        try:
            writer.write(len(octets).to_bytes(2, "big") + octets)
            size = int.from_bytes(await reader.readexactly(2), "big")
            if size > MOST_OCTETS:
                raise dns.exception.FormError(f"an answer of {size} octets")
            return await reader.readexactly(size)
        finally:
            writer.transport.abort()


async def _read(octets: bytes) -> dns.message.Message:
    if len(octets) <= _READ_AT_ONCE:
        return dns.message.from_wire(octets)
    return await asyncio.to_thread(dns.message.from_wire, octets)
