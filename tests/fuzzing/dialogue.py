"""Sessions of nonsense with a real listener: valid and broken commands in any order, cut anywhere.

What must hold, whatever was said: each reply is a well-formed line, nothing unexpected was raised
anywhere, the session comes to an end, and what was kept is exactly what was answered 250.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import select
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_network

import uvloop
from hypothesis import strategies as st

from mail.trace import format_trace_id
from smtp_edge import metrics
from smtp_edge.limits import Limits
from smtp_edge.verification import DnsVerifier
from tests.fuzzing.messages import TOKENS, messages
from tests.fuzzing.parsers import RECORDS, Names
from tests.smtp_edge.listening import Mx, World, hosted, listening, route
from tests.smtp_edge.test_proxy import BAD, GOOD, OWN

# Small, so that sessions meet the limits of sizes; none of rates, and nobody is made to wait.
LIMITS = Limits(
    message_octets=400_000,
    recipients=5,
    error_delay_seconds=0,
    refused_delay_seconds=0,
    proxy_seconds=0.3,
    client_connections=10_000,
    connections_per_minute=0,
    messages_per_minute=0,
    refused_per_minute=0,
    bad_returns_per_minute=0,
    route_messages_per_minute=0,
    route_messages_per_hour=0,
    tenant_messages_per_minute=0,
    tenant_messages_per_hour=0,
)
RECIPIENTS = (b"hi@example.org", b"team@example.org", b"hi@other.example", b"nobody@example.org")
COMMANDS = (
    *(b"EHLO client.example", b"HELO client.example", b"RSET", b"NOOP", b"QUIT", b"DATA", b"HELP"),
    *(b"MAIL FROM:<bob@sender.example>", b"MAIL FROM:<>", b"MAIL FROM:<a@b.example> SIZE=999"),
    *(b"MAIL FROM:<a@b.example> BODY=8BITMIME SMTPUTF8", b"mail from: <a@b.example>"),
    *(b"RCPT TO:<%b>" % one for one in RECIPIENTS),
    *(b"RCPT TO:<postmaster>", b"RCPT TO:<SRS0=abcd=xy=b.example=a@fwd.mxax.test>"),
    *(b"VRFY x", b"EXPN x", b"AUTH PLAIN AGEAYg==", b"STARTTLS", b"BDAT 10 LAST", b"GET / HTTP/1.1"),
)  # fmt: skip
REPLY = re.compile(rb"[2-5][0-9][0-9][ -][ -~]*").fullmatch
TAKEN = re.compile(rb"250 .*queued as ([0-9a-z]+)").fullmatch


@dataclass(frozen=True)
class Step:
    """Octets to send in pieces; `waits`: until something is answered, or a moment."""

    octets: bytes
    cuts: tuple[int, ...] = ()
    waits: bool = True

    def pieces(self) -> Iterator[bytes]:
        places = sorted({cut % (len(self.octets) + 1) for cut in self.cuts})
        for start, end in zip([0, *places], [*places, len(self.octets)], strict=True):
            yield self.octets[start:end]


@dataclass(frozen=True)
class Talk:
    """One session; `proxied` is what comes before the banner at the listener behind a proxy."""

    steps: tuple[Step, ...]
    proxied: bytes | None = None
    waits_for_banner: bool = True
    leaves: str = "half"
    """How it ends: closes its half, all of it, or with a reset."""


_cuts = st.lists(st.integers(0, 500_000), max_size=4).map(tuple)


@st.composite
def _line(draw: st.DrawFn) -> bytes:
    line = draw(st.sampled_from(COMMANDS))
    for place, what in draw(
        st.lists(
            st.tuples(st.integers(0, 80), st.sampled_from(TOKENS) | st.binary(max_size=8)),
            max_size=draw(st.sampled_from([0, 0, 0, 0, 3])),
        )
    ):
        at = place % (len(line) + 1)
        line = line[:at] + what + line[at:]
    return line + draw(st.sampled_from([b"\r\n"] * 9 + [b"\n", b"\r", b"", b"x" * 600 + b"\r\n"]))


@st.composite
def _body(draw: st.DrawFn) -> bytes:
    octets = draw(messages(500_000))
    if draw(st.booleans()):
        octets = re.sub(rb"(?m)^\.", b"..", octets)
    if draw(st.integers(0, 4)):
        octets = octets.replace(b"\r\n", b"\n").replace(b"\r", b"").replace(b"\0", b"")
        octets = octets.replace(b"\n", b"\r\n")
    end = draw(
        st.sampled_from([b"\r\n.\r\n"] * 12 + [b"\n.\n", b"\r.\r", b"\r\n.\n", b"\r\n", b""])
    )
    return octets.removesuffix(b"\r\n") + end


def _noise(seed: int) -> bytes:
    return random.Random(seed).randbytes(64_000) + b"\r\n"


_GREETING = st.just(b"EHLO client.example\r\n")
_ENVELOPE = st.tuples(
    st.sampled_from([one for one in COMMANDS if one.startswith(b"MAIL")]),
    st.lists(st.sampled_from(RECIPIENTS), min_size=1, max_size=7),
).map(lambda it: it[0] + b"\r\n" + b"".join(b"RCPT TO:<%b>\r\n" % one for one in it[1]))


@st.composite
def _step(draw: st.DrawFn) -> list[Step]:
    kind = draw(st.sampled_from(["line", "lines", "letter", "letter", "letter", "body", "noise"]))
    cuts = draw(_cuts)
    if kind == "line":
        return [Step(draw(_line()), cuts, draw(st.integers(0, 3)) > 0)]
    if kind == "lines":
        return [Step(b"".join(draw(st.lists(_line(), min_size=2, max_size=12))), cuts)]
    if kind == "letter":
        envelope = draw(_ENVELOPE) + b"DATA\r\n"
        if draw(st.integers(0, 3)):
            return [Step(envelope), Step(draw(_body()), cuts)]
        return [Step(envelope + draw(_body()), cuts)]
    if kind == "body":
        return [Step(draw(_body()), cuts)]
    return [Step(_noise(draw(st.integers(0, 2**32))), cuts)]


@st.composite
def talks(draw: st.DrawFn) -> Talk:
    begins = [[Step(draw(_GREETING))]] if draw(st.integers(0, 9)) else []
    steps = begins + draw(st.lists(_step(), max_size=6))
    proxied = None
    if draw(st.integers(0, 3)) == 0:
        proxied = draw(st.sampled_from([*(one[0] for one in GOOD), *OWN]))
        if draw(st.integers(0, 4)) == 0:
            proxied = draw(st.sampled_from(BAD) | st.binary(max_size=300))
    return Talk(
        tuple(one for some in steps for one in some),
        proxied,
        draw(st.integers(0, 9)) > 0,
        draw(st.sampled_from(["half"] * 8 + ["close", "reset"])),
    )


class Remembering(World):
    """A world that verifies, and remembers what was kept in one transaction."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[str]] = []
        self.unexpected: list[str] = []
        self._verifier: DnsVerifier | None = None
        self.host(
            hosted(
                "example.org",
                route(1, "hi", "friend@there.example"),
                route(2, "team", "one@there.example", "two@there.example"),
            ),
            hosted("other.example", route(7, "hi", "mallory@away.example"), tenant_id=2),
        )

    def begin(self, envelope):
        if self._verifier is None:
            self._verifier = DnsVerifier(Names(RECORDS), receiver="mxax.test")
        return self._verifier.begin(envelope)

    async def keep(self, kept) -> None:
        await asyncio.sleep(0)
        self.batches.append([format_trace_id(one.plan.trace_id) for one in kept])

    async def store(self, pieces) -> None:
        await asyncio.sleep(0)

    def refused(self, refusal) -> None:
        return None

    def new_loop(self) -> asyncio.AbstractEventLoop:
        loop = uvloop.new_event_loop()
        loop.set_exception_handler(lambda _, said: self.unexpected.append(str(said)))
        return loop


@dataclass
class Arena:
    """Two listeners, one of them behind a trusted proxy."""

    world: Remembering
    plain: Mx
    proxied: Mx
    heard: int = 0
    accepted: int = 0
    codes: dict[str, int] = field(default_factory=dict)

    def check(self, talk: Talk) -> None:
        """One session, and everything that must hold after it."""
        world, mx = self.world, self.plain if talk.proxied is None else self.proxied
        world.batches.clear()
        exceptions = metrics.EXCEPTIONS._value.get()
        lines, is_whole = _spoken(mx.port, talk)
        self._check_end(mx)
        assert metrics.EXCEPTIONS._value.get() == exceptions, "an unexpected error"
        assert world.unexpected == []
        self._check_lines(lines)
        taken = [found[1].decode() for one in lines if (found := TAKEN(one))]
        kept = [set(batch) for batch in world.batches]
        for name in taken:
            assert sum(name in batch for batch in kept) == 1, f"250 for {name}, kept: {kept}"
        if is_whole:
            assert len(taken) == len(kept), f"kept {kept}, answered {taken}"
        self.accepted += len(taken)

    def _check_end(self, mx: Mx) -> None:
        """Nobody is left; who is left is told of, and gone before the next session."""
        until = time.monotonic() + 5
        while mx.listener._sessions and time.monotonic() < until:
            time.sleep(0.0002)
        left = [_state(one) for one in list(mx.listener._sessions)]
        for session in list(mx.listener._sessions):
            mx.loop.call_soon_threadsafe(session.transport.abort)
        assert left == [], f"the client has gone, the session has not: {left}"

    def _check_lines(self, lines: list[bytes]) -> None:
        for one in lines:
            assert REPLY(one), f"no reply line: {one!r}"
            assert len(one) <= 510, one
        self.heard += len(lines)
        for one in lines:
            code = one[:3].decode()
            self.codes[code] = self.codes.get(code, 0) + 1


def _spoken(port: int, talk: Talk) -> tuple[list[bytes], bool]:
    """All reply lines, and whether everything that was said was heard."""
    client = socket.create_connection(("127.0.0.1", port), timeout=10)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    heard = bytearray()
    try:
        if talk.proxied is not None:
            client.sendall(talk.proxied)
        if talk.waits_for_banner:
            _hear(client, heard, 1.0 if talk.proxied is None else 0.05)
        for step in talk.steps:
            before = len(heard)
            for piece in step.pieces():
                client.sendall(piece)
                if step.cuts:
                    time.sleep(0)
            if step.waits:
                _hear(client, heard, 0.02, before)
        if talk.leaves == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if talk.leaves != "half":
            return _lines(heard), False
        client.shutdown(socket.SHUT_WR)
        while received := client.recv(65536):
            heard += received
    except TimeoutError:
        raise AssertionError(f"no answer and no end after {bytes(heard)[-200:]!r}") from None
    except OSError:
        return _lines(heard), False  # it was closed on us while we still spoke
    finally:
        client.close()
    return _lines(heard, whole=True), True


def _hear(client: socket.socket, heard: bytearray, seconds: float, since: int = 0) -> None:
    """Until a whole reply came behind `since`, nothing did for so long, or the end."""
    while select.select([client], [], [], seconds)[0]:
        received = client.recv(65536)
        heard += received
        if not received or re.search(rb"(?m)^\d{3} .*\r\n", heard[since:]):
            return


def _lines(heard: bytes, *, whole: bool = False) -> list[bytes]:
    *lines, rest = bytes(heard).split(b"\r\n")
    assert not (whole and rest), f"half a line: {rest!r}"
    return lines


def _state(session) -> str:
    """Where a session stands that should be over."""
    parts = {
        "waits": session.patience.waiting,
        "in data": session._data is not None,
        "reading": session.transport.is_reading(),
        "closing": session.transport.is_closing(),
        "unread": len(session._lines),
        "unsent": session.transport.get_write_buffer_size(),
        "at": [str(one) for one in session._handler_coroutine.get_stack()],
    }
    return ", ".join(f"{name}: {value}" for name, value in parts.items())


@contextlib.contextmanager
def arena() -> Iterator[Arena]:
    world = Remembering()
    proxies = (ip_network("127.0.0.0/8"),)
    with (
        listening(world, limits=LIMITS, loop_factory=world.new_loop) as plain,
        listening(world, limits=LIMITS, loop_factory=world.new_loop, proxies=proxies) as proxied,
    ):
        yield Arena(world, plain, proxied)
