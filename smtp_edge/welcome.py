"""How a session begins: who connects, whether he is let in, when he hears the banner.

| comes first | what is done |
|---|---|
| a peer that is a trusted proxy | its PROXY header names the client; without one it is left |
| a client that is listed, or whose address has no name | waits for the banner where that is set |
| octets before the banner | 554 5.5.0 (RFC 5321, 4.3.1: the client waits) |
"""

import asyncio
import contextlib

import structlog

from mail.reply import Reply
from smtp_edge import metrics, replies
from smtp_edge.dialog import Dialog, Disconnected
from smtp_edge.lines import LineBuffer
from smtp_edge.listener import Listener
from smtp_edge.proxy import ProxyBad, ProxyHeader, ProxyReader, Said

log = structlog.get_logger()


class Welcome(Dialog):
    """What of a session comes before its first command; octets come from the subclass."""

    def __init__(self, listener: Listener) -> None:
        super().__init__(listener)
        self._lines = LineBuffer()
        self._has_ended = False
        self._proxy: ProxyReader | None = None

    async def _more(self) -> None:
        """Returns when something came, or the client closed his half."""
        raise NotImplementedError

    def _wake(self) -> None:
        raise NotImplementedError

    async def welcome(self) -> None:
        """Up to the banner. Raises `Disconnected` where it does not come to that."""
        if self._proxy is not None:
            reader, self._proxy = self._proxy, None
            self._meet(await self._header(reader))
            self._lines.feed(reader.rest)
        seconds = self.listener.limits.greeting_seconds
        if seconds and not self.visit.is_unlimited:
            await self._hold_banner(seconds)
        if len(self._lines):
            self.leave_hasty("banner", replies.EARLY_TALKER)
        self.say_octets(b"220 %b ESMTP\r\n" % self.listener.hostname.encode())

    async def _header(self, reader: ProxyReader) -> Said | None:
        said = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.listener.limits.proxy_seconds):
                while said is None and not self._has_ended:
                    if not len(self._lines):
                        await self._more()
                    said = reader.feed(self._lines.take_all())
        return said

    def _meet(self, said: Said | None) -> None:
        """Let the client in that the proxy named; the proxy itself where it speaks for itself."""
        if said is None or isinstance(said, ProxyBad):
            metrics.PROXY_HEADERS.labels("refused").inc()
            if not self._has_ended:  # else it only looked whether somebody listens
                reason = said.reason if said is not None else "no header in time"
                log.warning("edge.proxy_refused", peer=self.peer_ip, reason=reason)
            raise Disconnected
        is_client = isinstance(said, ProxyHeader)
        metrics.PROXY_HEADERS.labels("client" if is_client else "local").inc()
        if isinstance(said, ProxyHeader):
            self.peer_ip, self.peer_port = said.ip, said.port
        refusal = self.listener.enter(self)
        if refusal is not None:
            self.leave(refusal)

    async def _hold_banner(self, seconds: float) -> None:
        """Wait, until there is no reason to let the client wait, or he speaks."""
        suspicion = asyncio.create_task(self.visit.suspicion())
        suspicion.add_done_callback(lambda _: self._wake())
        try:
            async with asyncio.timeout(seconds):
                while not (len(self._lines) or self._has_ended or _is_cleared(suspicion)):
                    await self._more()
        except TimeoutError:
            pass  # he waited well
        finally:
            suspicion.cancel()
        if self._has_ended:
            raise Disconnected

    def leave_hasty(self, where: str, reply: Reply) -> None:
        """Send a client away who does not wait for his turn."""
        metrics.EARLY_TALKERS.labels(where).inc()
        client = self._client(smtputf8=False)
        self.listener.doorkeeper.note("connect", client, "early_talker", reply)
        self._lines.clear()
        self.leave(reply)

    def say_farewell(self, reply: Reply) -> None:
        raise NotImplementedError


def _is_cleared(suspicion: "asyncio.Task[bool]") -> bool:
    """Whether there is no reason to let the client wait; a look-up that failed is none."""
    if not suspicion.done():
        return False
    return suspicion.cancelled() or suspicion.exception() is not None or not suspicion.result()
