"""What all sessions of a process share: a name, limits, who is there, when it is time to go."""

import asyncio
import contextlib
import ssl
from collections.abc import Sequence
from typing import Protocol

import structlog

from mail.reply import Reply
from smtp_edge import metrics, replies
from smtp_edge.clients import Among, Clients, Network
from smtp_edge.doorkeeper import Doorkeeper
from smtp_edge.inbound import Inbound, Transaction
from smtp_edge.limits import Limits
from smtp_edge.patience import Patience
from smtp_edge.visit import Visit

log = structlog.get_logger()


class Session(Protocol):
    """A session as the listener sees it."""

    peer_ip: str
    visit: Visit
    patience: Patience
    transaction: Transaction | None

    def say_farewell(self, reply: Reply) -> None: ...


class Listener:
    """Lives in the event loop; `sweep` runs as a task of its own."""

    def __init__(
        self,
        *,
        hostname: str,
        inbound: Inbound,
        limits: Limits,
        tls: ssl.SSLContext | None,
        loop: asyncio.AbstractEventLoop,
        doorkeeper: Doorkeeper | None = None,
        proxies: Sequence[Network] = (),
    ) -> None:
        self.hostname = hostname
        self.inbound = inbound
        self.limits = limits
        self.tls = tls
        self.loop = loop
        self.clients = Clients(limits)
        self.doorkeeper = doorkeeper or Doorkeeper(limits)
        self.proxies = Among(proxies)
        """Peers that begin with a PROXY header, and are never the client themselves."""
        self.is_draining = False
        self._sessions: set[Session] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._ehlo = {encrypted: self._keywords(encrypted) for encrypted in (False, True)}

    def ehlo(self, *, encrypted: bool) -> bytes:
        """The whole reply to EHLO, so that it leaves in one write."""
        return self._ehlo[encrypted]

    def _keywords(self, encrypted: bool) -> bytes:
        keywords = [
            self.hostname,
            "PIPELINING",
            f"SIZE {self.limits.message_octets}",
            *(["STARTTLS"] if self.tls is not None and not encrypted else []),
            "ENHANCEDSTATUSCODES",
            "8BITMIME",
            "SMTPUTF8",
        ]
        lines = [f"250-{keyword}\r\n" for keyword in keywords[:-1]]
        return "".join([*lines, f"250 {keywords[-1]}\r\n"]).encode()

    def enter(self, session: Session) -> Reply | None:
        """Count a session in, or the reply that turns it away."""
        if self.is_draining:
            return replies.SHUTTING_DOWN
        if len(self._sessions) >= self.limits.connections:
            return replies.SERVER_FULL
        visit = session.visit = self.doorkeeper.visit(session.peer_ip)
        refusal = self.doorkeeper.refusal(visit)
        if refusal is not None:
            return refusal
        if not self.clients.enter(visit.key):
            return self.doorkeeper.crowd(visit)
        visit.begin()
        self._sessions.add(session)
        self._empty.clear()
        return None

    def leave(self, session: Session) -> None:
        if session in self._sessions:
            self._sessions.remove(session)
            if not self._sessions:
                self._empty.set()
            self.clients.leave(session.visit.key)
            session.visit.end()

    async def sweep(self) -> None:
        """End sessions that take too long, and while draining those with nothing to finish."""
        while True:
            await asyncio.sleep(self.limits.sweep_seconds)
            metrics.publish(len(self._sessions))
            self.doorkeeper.look_after()
            now = self.loop.time()
            for session in list(self._sessions):
                farewell = session.patience.is_over(now)
                if farewell is not None:
                    session.say_farewell(farewell)
            if self.is_draining:
                self._dismiss_idle()

    async def drain(self) -> None:
        """Take nothing new; returns when the last transaction has ended, or time is up."""
        self.is_draining = True
        self._dismiss_idle()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.limits.drain_seconds):
                await self._empty.wait()
        for session in list(self._sessions):
            session.say_farewell(replies.SHUTTING_DOWN)
        metrics.publish(0)

    def _dismiss_idle(self) -> None:
        for session in list(self._sessions):
            if session.transaction is None and session.patience.waiting:
                session.say_farewell(replies.SHUTTING_DOWN)
