"""A real listener on a free port, and a client that says exactly what it is told to.

The listener's collaborators are small objects that remember: no database, no mocks of modules.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

import uvloop

from delivery.acceptance import KeptMessage
from delivery.refusals import RefusedAt
from mail.authentication.values import (
    ArcResult,
    ArcVerdict,
    Authentication,
    ClientName,
    ClientNameResult,
    DmarcResult,
    DmarcVerdict,
    SpfCheck,
    SpfResult,
    SpfVerdict,
)
from mail.facts import (
    DomainSnapshot,
    DomainStanding,
    LogLevel,
    RouteMode,
    RouteTarget,
    TenantStanding,
)
from mail.opaque import OpaqueRow
from mail.routes import RouteTable
from routing.own_names import OwnNames
from smtp_edge.inbound import Inbound
from smtp_edge.inspection import Inspector
from smtp_edge.limits import Limits
from smtp_edge.listener import Listener
from smtp_edge.ports import PieceOfMessage, ServiceAway
from smtp_edge.protocol import MxSession
from smtp_edge.recipients import RecipientDesk
from smtp_edge.refusals import Refusals

SRS_SECRET = b"a secret of sixteen octets or more"
MARKER_KEY = b"this key seals marks of the edge"
NAMES = OwnNames("mxax.test", "fwd.mxax.test", "operator@elsewhere.example", above=())


def route(number: int, pattern: str, *destinations: str, mode: RouteMode = RouteMode.ON):
    return pattern, RouteTarget(number, pattern, mode, destinations)


def hosted(name: str, *routes, tenant_id: int = 1, **changes) -> DomainSnapshot:
    """A verified domain of Ada's unless `changes` say otherwise."""
    values = {
        "name": name,
        "standing": DomainStanding.SERVED,
        "tenant_id": tenant_id,
        "tenant_standing": TenantStanding.ACTIVE,
        "owner_addresses": ("ada@ada.example",),
        "routes": RouteTable.build(routes),
        "forward_cap": 5000,
        "log_level": LogLevel.METADATA,
        **changes,
    }
    return DomainSnapshot(**values)


@dataclass(frozen=True)
class Checked:
    """A verification that is over; None: nothing was found out."""

    result: Authentication | None

    def header(self, fields) -> None:
        return None

    def body(self, octets: bytes) -> None:
        return None

    async def found(self) -> Authentication | None:
        return self.result


def spf_alone(reverse_path: str) -> Authentication:
    """What is found of a message whose reverse-path SPF passes, and which has nothing else."""
    check = SpfCheck(SpfResult.PASS, reverse_path.rpartition("@")[2])
    return Authentication(
        client_ip="127.0.0.1",
        helo="client.example",
        reverse_path=reverse_path,
        client_name=ClientName(ClientNameResult.PERMERROR),
        spf=SpfVerdict(check, check),
        dkim=(),
        arc=ArcVerdict(ArcResult.NONE),
        dmarc=DmarcVerdict(DmarcResult.NONE),
    )


@dataclass
class World:
    """What the edge sees of the rest, and what the rest got from it."""

    domains: dict[str, DomainSnapshot] = field(default_factory=dict)
    opaque: dict[bytes, OpaqueRow] = field(default_factory=dict)
    kept: list[KeptMessage] = field(default_factory=list)
    pieces: list[PieceOfMessage] = field(default_factory=list)
    discarded: list[UUID] = field(default_factory=list)
    refusals: list[RefusedAt] = field(default_factory=list)
    usage: dict[int, int] = field(default_factory=dict)
    checked: list[str] = field(default_factory=list)
    is_away: bool = False
    keep_delay: float = 0.0
    store_delay: float = 0.0

    def host(self, *snapshots: DomainSnapshot) -> None:
        self.domains.update({one.name: one for one in snapshots})

    def content(self, number: int = -1) -> bytes:
        """What is stored of a message, put together."""
        message = self.kept[number]
        stored = [piece for piece in self.pieces if piece.trace_id == message.plan.trace_id]
        early = [one.octets for one in sorted(stored, key=lambda one: one.number)]
        assert len(early) == message.first_chunk_number
        assert len(early) + len(message.chunks) == message.chunk_count
        return b"".join([*early, *message.chunks])

    authentic: frozenset[str] = frozenset()
    """Reverse-paths that SPF passes."""

    # The ports

    def begin(self, envelope) -> Checked:
        """The verifier's."""
        path = envelope.reverse_path
        self.checked.append(path)
        return Checked(spf_alone(path) if path in self.authentic else None)

    def close(self) -> None:
        return None

    async def get(self, name: str) -> DomainSnapshot | None:
        if self.is_away:
            raise ServiceAway("away")
        return self.domains.get(name)

    async def find(self, row_id: bytes) -> OpaqueRow | None:
        return self.opaque.get(row_id)

    async def keep(self, messages: Sequence[KeptMessage]) -> None:
        if self.keep_delay:
            await asyncio.sleep(self.keep_delay)
        if self.is_away:
            raise ServiceAway("away")
        self.kept += messages

    async def store(self, pieces: Sequence[PieceOfMessage]) -> None:
        if self.store_delay:
            await asyncio.sleep(self.store_delay)
        if self.is_away:
            raise ServiceAway("away")
        self.pieces += pieces

    def discard(self, trace_ids: Sequence[UUID]) -> None:
        self.discarded += trace_ids

    def refused(self, refusal: RefusedAt) -> None:
        self.refusals.append(refusal)

    def accepted(self, tenant_id: int, deliveries: int) -> None:
        self.usage[tenant_id] = self.usage.get(tenant_id, 0) + deliveries

    def accepted_today(self, tenant_id: int) -> int:
        return self.usage.get(tenant_id, 0)


@dataclass
class Mx:
    """A listener that runs."""

    world: World
    listener: Listener
    loop: asyncio.AbstractEventLoop
    port: int

    def connect(self, *, greet: bool = True) -> Client:
        client = Client(self.port)
        client.reply()
        if greet:
            client.say("EHLO client.example")
        return client

    def drain(self):
        return asyncio.run_coroutine_threadsafe(self.listener.drain(), self.loop)


@contextmanager
def listening(
    world: World,
    *,
    tls=None,
    limits: Limits | None = None,
    loop_factory=None,
    doorkeeper=None,
    proxies=(),
    **more,
):
    """Run a listener in a thread of its own; `doorkeeper(limits, world)` is called inside."""
    loop = (loop_factory or uvloop.new_event_loop)()
    started: list[Mx] = []
    ready, ends = threading.Event(), asyncio.Event()

    async def main() -> None:
        desk = RecipientDesk(NAMES, world, world, world, (SRS_SECRET,))
        chosen = limits or Limits()
        inbound = Inbound(
            desk,
            world,
            Refusals(world),
            chosen,
            lambda: (MARKER_KEY,),
            Inspector(world),
            **more,
        )
        made = doorkeeper(chosen, world) if doorkeeper is not None else None
        listener = Listener(
            hostname=NAMES.service,
            inbound=inbound,
            limits=chosen,
            tls=tls,
            loop=loop,
            doorkeeper=made,
            proxies=proxies,
        )
        server = await loop.create_server(lambda: MxSession(listener), "127.0.0.1", 0)
        sweeper = asyncio.create_task(listener.sweep())
        started.append(Mx(world, listener, loop, server.sockets[0].getsockname()[1]))
        ready.set()
        await ends.wait()
        server.close()
        sweeper.cancel()
        await asyncio.gather(sweeper, return_exceptions=True)
        for session in list(listener._sessions):
            session.transport.close()
        await asyncio.sleep(0.01)

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()), daemon=True)
    thread.start()
    assert ready.wait(60)
    try:
        yield started[0]
    finally:
        loop.call_soon_threadsafe(ends.set)
        thread.join(60)
        loop.close()


class Client:
    """Says what it is told, octet by octet; `say` gives the last line of the reply."""

    def __init__(self, port: int, host: str = "127.0.0.1", source: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection((host, port), timeout=60, source_address=(source, 0))
        self._unread = b""

    def send(self, octets: bytes) -> None:
        self.socket.sendall(octets)

    def say(self, line: str | bytes) -> str:
        self.send((line.encode() if isinstance(line, str) else line) + b"\r\n")
        return self.reply()

    def reply(self) -> str:
        """The last line of the next reply."""
        return self.lines()[-1]

    def lines(self) -> list[str]:
        """All lines of the next reply."""
        lines = []
        while True:
            line = self._line()
            lines.append(line)
            if line[3:4] != "-":
                return lines

    def _line(self) -> str:
        while b"\r\n" not in self._unread:
            received = self.socket.recv(65536)
            if not received:
                raise ConnectionError(f"closed after {self._unread!r}")
            self._unread += received
        line, self._unread = self._unread.split(b"\r\n", 1)
        return line.decode()

    def is_closed(self) -> bool:
        """Whether the other side closed, and nothing more was said."""
        try:
            return self._unread == b"" and self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def mail(self, reverse_path: str = "bob@sender.example", *rcpts: str) -> str:
        """MAIL and RCPTs; the last reply."""
        reply = self.say(f"MAIL FROM:<{reverse_path}>")
        for rcpt in rcpts:
            reply = self.say(f"RCPT TO:<{rcpt}>")
        return reply

    def data(self, octets: bytes) -> str:
        """A message whose dots are already as they are on the wire; the reply to its dot."""
        assert self.say("DATA").startswith("354")
        self.send(octets + b".\r\n")
        return self.reply()

    def deliver(self, octets: bytes, rcpt: str, reverse_path: str = "bob@sender.example") -> str:
        assert self.mail(reverse_path, rcpt).startswith("250"), rcpt
        return self.data(octets)

    def close(self) -> None:
        self.socket.close()
