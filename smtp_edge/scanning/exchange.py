"""One question to one address: connect, send the message, read the answer.

The answer is read while we still send: clamd says that a message is too large long before its end,
and what it said is lost when we look for it only after sending failed.
"""

import asyncio
import contextlib
from pathlib import Path

from mail.scanning import ScanResult
from mxax.setting_values import HostPort
from smtp_edge.scanning.dialect import Dialect, ScanRequest, Unusable
from smtp_edge.scanning.spool import Spool

_LONGEST_LINE = 64 * 1024


class Unreachable(Unusable):
    """Nobody listens there, or does not take connections."""


async def ask(
    address: HostPort | Path,
    dialect: Dialect,
    request: ScanRequest,
    spool: Spool,
    connect_seconds: float,
) -> ScanResult:
    """What the scanner says of the message. Raises `Unusable`, or `SpoolLost`.

    The caller limits the time.
    """
    reader, writer = await _connected(address, connect_seconds)
    sending = asyncio.ensure_future(_send(writer, dialect, request, spool))
    answering = asyncio.ensure_future(_answer(reader, dialect))
    try:
        await asyncio.wait((sending, answering), return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            sending.result()
        return await answering
    finally:
        sending.cancel()
        answering.cancel()
        writer.transport.abort()
        await asyncio.gather(sending, answering, return_exceptions=True)


async def _connected(
    address: HostPort | Path, seconds: float
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        async with asyncio.timeout(seconds):
            if isinstance(address, Path):
                return await asyncio.open_unix_connection(str(address), limit=_LONGEST_LINE)
            return await asyncio.open_connection(address.host, address.port, limit=_LONGEST_LINE)
    except TimeoutError:
        raise Unreachable("took no connection in time") from None
    except OSError as error:
        raise Unreachable(f"cannot be reached: {error.strerror or 'unknown host'}") from None


async def _send(
    writer: asyncio.StreamWriter, dialect: Dialect, request: ScanRequest, spool: Spool
) -> None:
    """All of the message. A connection that breaks is no error here: the answer may be in it."""
    with contextlib.suppress(OSError):
        writer.write(dialect.opening(request, spool.size_octets))
        async for octets in spool.pieces():
            writer.write(dialect.framed(octets))
            await writer.drain()
        writer.write(dialect.ending())
        await writer.drain()


async def _answer(reader: asyncio.StreamReader, dialect: Dialect) -> ScanResult:
    try:
        return await dialect.answer(reader)
    except asyncio.IncompleteReadError:
        raise Unusable("closed the connection without an answer") from None
    except asyncio.LimitOverrunError:
        raise Unusable("its answer has no end") from None
    except OSError:
        raise Unusable("broke the connection") from None
