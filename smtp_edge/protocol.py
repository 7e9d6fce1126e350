"""One SMTP connection: aiosmtpd's server with its own way of reading and writing.

aiosmtpd gives the connection's life and the commands' names; what is different here:

- commands and DATA come from one buffer that `data_received` fills (the library's reader goes line
  by line, which costs 30 ms for 2 MB);
- replies to pipelined commands leave in one write (RFC 2920, 3.2);
- `__dir__` is empty, because the constructor inspects all members for each connection, and the
  table of commands is made once;
- command lengths are limited for each session (the library has one dictionary for all of them);
- every reply has an enhanced code, the banner no version, lines end in CRLF and nothing else;
- STARTTLS goes through the event loop, and nothing that came before it counts (RFC 3207, 4.2);
- no stream reader and writer, and one sweeper for all sessions instead of a timer for each;
- behind a trusted proxy the client is whom its PROXY header names;
- a client waits for the banner, and pipelines only behind our reply to EHLO (RFC 2920, 3.1).
"""

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import cast

import structlog
from aiosmtpd.smtp import SMTP

from mail.reply import SERVICE_AWAY, Reply
from smtp_edge import metrics, replies
from smtp_edge.dialog import Disconnected
from smtp_edge.incoming import IncomingData
from smtp_edge.lines import OVERLONG
from smtp_edge.listener import Listener
from smtp_edge.proxy import ProxyReader, plain_ip
from smtp_edge.welcome import Welcome

log = structlog.get_logger()

_COMMANDS = (
    *("AUTH", "DATA", "EHLO", "EXPN", "HELO", "HELP", "MAIL"),
    *("NOOP", "QUIT", "RCPT", "RSET", "STARTTLS", "VRFY"),
)
_GREETINGS = frozenset(["EHLO", "HELO"])
_JUNK = frozenset(["EHLO", "EXPN", "HELO", "HELP", "NOOP", "RSET", "VRFY"])
# What extensions add to the 512 octets (RFC 1870, 4; 6152, 2; 6531, 3.4).
_ADDED_OCTETS = {"MAIL": 26 + 17 + 10, "RCPT": 10, "VRFY": 10}
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]").search
_TLS_HANDSHAKE_SECONDS = 30.0
_LAST_WORDS_SECONDS = 30.0


class _NoHandler:
    """aiosmtpd looks for hooks on its handler; we have none."""

    def __dir__(self) -> list[str]:
        return []


_HANDLER = _NoHandler()


@lru_cache(maxsize=256)
def _wire(reply: Reply) -> bytes:
    return str(reply).encode("ascii", "replace") + b"\r\n"


class MxSession(Welcome, SMTP):
    """The protocol object of one connection; `_handle_client` is its task."""

    def __init__(self, listener: Listener) -> None:
        Welcome.__init__(self, listener)
        SMTP.__init__(self, _HANDLER, hostname=listener.hostname, loop=listener.loop)
        self._data: IncomingData | None = None
        self._out: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None
        self._is_paused = False
        self._is_clogged = False
        """The client does not read our replies."""

    def __dir__(self) -> list[str]:
        return []

    # The connection's life

    # The library's part would make a stream reader and writer that nobody reads and writes.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)
        peer, self.peer_port = (transport.get_extra_info("peername") or ("unknown", 0))[:2]
        self.peer_ip = plain_ip(peer)
        if self.peer_ip in self.listener.proxies:
            self._proxy = ProxyReader()
        else:
            refusal = self.listener.enter(self)
            if refusal is not None:
                transport.write(_wire(refusal))
                transport.close()
                return
        self.transport = transport
        self._handler_coroutine = self.loop.create_task(self._handle_client())

    def connection_lost(self, error: Exception | None) -> None:
        self.listener.leave(self)
        self.transport = None
        self._client_connected_cb = None  # a reference to ourselves: work for the collector
        if self._handler_coroutine is not None:  # else it was turned away at the door
            self._handler_coroutine.cancel()

    def eof_received(self) -> bool:
        """A client may close his half and still wait for our answers."""
        self._has_ended = True
        if self._data is not None:
            self._open_transport.close()  # the rest of the message will never come
        self._wake()
        return not self.tls_name

    def data_received(self, data: bytes) -> None:
        if self._data is not None:
            rest = self._data.feed(data)
            if not self._data.ended:
                return
            self._data, data = None, rest
        self._lines.feed(data)
        if len(self._lines) > self.listener.limits.unread_octets and not self._is_paused:
            self._is_paused = True
            self._open_transport.pause_reading()
        self._wake()

    @property
    def _open_transport(self) -> asyncio.Transport:
        transport = self.transport
        if transport is None:
            raise Disconnected
        return cast(asyncio.Transport, transport)

    def say_farewell(self, reply: Reply) -> None:
        """End the session from outside, wherever it is."""
        if self.transport is not None and not self.transport.is_closing():
            self.say(reply)
            self._flush()
            self._close()

    def _close(self) -> None:
        """Close behind our last words; who does not read them is cut off later."""
        transport = self._open_transport
        transport.close()
        if transport.get_write_buffer_size():
            self.loop.call_later(_LAST_WORDS_SECONDS, transport.abort)

    # Reading and writing

    def say(self, reply: Reply) -> None:
        self._out.append(_wire(reply))

    def say_octets(self, octets: bytes) -> None:
        self._out.append(octets)

    def _flush(self) -> None:
        if self._out and self.transport is not None:
            self._open_transport.write(b"".join(self._out))
        self._out.clear()

    def pause_writing(self) -> None:
        self._is_clogged = True

    def resume_writing(self) -> None:
        self._is_clogged = False
        self._wake()

    async def _line(self) -> bytes:
        """The next command line; replies leave before we wait for it.

        A client that does not read them gets no further: they must not pile up here.
        """
        while True:
            line = None if self._is_clogged else self._lines.take()
            if line is not None:
                return line
            self._flush()
            if self._is_clogged:
                await self._more()
                continue
            if self._has_ended:
                raise Disconnected
            if self._is_paused:
                self._is_paused = False
                self._open_transport.resume_reading()
            await self._more()

    async def _more(self) -> None:
        self._waiter = self.loop.create_future()
        self.patience.waiting = True
        try:
            await self._waiter
        finally:
            self._waiter, self.patience.waiting = None, False

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def begin_data(self) -> IncomingData:
        """From now on what arrives is the message; some of it may be here already."""
        self._flush()
        transport = self._open_transport
        if self._is_paused:  # before the message pauses it again, if it has to
            self._is_paused = False
            transport.resume_reading()
        data = IncomingData(transport, self.patience, self.loop)
        rest = data.feed(self._lines.take_all())
        if data.ended:
            self._lines.feed(rest)
        elif self._has_ended:
            raise Disconnected  # the rest of the message will never come
        else:
            self._data = data
        return data

    # The task

    async def _handle_client(self) -> None:
        try:
            await self.welcome()
            while True:
                await self._command(await self._line())
        except Disconnected:
            self._flush()
        if self.transport is not None:
            self._close()

    async def _command(self, line: bytes) -> None:
        self.patience.moved(self.loop.time())
        if self.listener.is_draining and self.transaction is None:
            self.leave(replies.SHUTTING_DOWN)
        command = self._read(line)
        if isinstance(command, Reply):
            await self._answer(command)
            return
        name, argument = command
        self._count_junk(name)
        try:
            reply = await self._run(name, argument)
        except Disconnected:
            raise
        except Exception:
            # The one place where the unexpected becomes a reply: the client keeps his mail.
            log.exception("edge.session_failed", command=name)
            metrics.EXCEPTIONS.inc()
            self.forget_transaction()
            reply = SERVICE_AWAY
        if reply is not None:
            await self._answer(reply)

    def _read(self, line: bytes) -> tuple[str, str] | Reply:
        """Command name and argument, or the reply to what is no command."""
        if line is OVERLONG:
            return replies.LINE_TOO_LONG
        try:
            text = line.removesuffix(b"\r\n").decode()
        except UnicodeDecodeError:
            return replies.BAD_LINE
        # A lone CR or LF, NUL, a tab, an escape sequence: no command has any of them.
        if not text or _CONTROLS(text):
            return replies.BAD_LINE
        name, _, argument = text.partition(" ")
        name = name.upper()
        added = _ADDED_OCTETS.get(name, 0) if self.is_extended else 0
        if len(line) > self.listener.limits.command_octets + added:
            return replies.LINE_TOO_LONG
        return name, argument.strip(" ")

    async def _run(self, name: str, argument: str) -> Reply | None:
        is_greeting = name in _GREETINGS
        if len(self._lines) and (is_greeting or not self.is_extended):
            self.leave_hasty("EHLO" if is_greeting else "dialog", replies.UNSYNCHRONIZED)
        method = _METHODS.get(name)
        if method is None:
            return replies.UNKNOWN_COMMAND
        return await method(self, argument)

    def _count_junk(self, name: str) -> None:
        if name in _JUNK:
            self.junk += 1
            if self.junk > self.listener.limits.junk_commands:
                self.leave(replies.TOO_MUCH_JUNK)

    async def _answer(self, reply: Reply) -> None:
        """Say it; errors are counted, slowed down, and at last end the session."""
        if reply.is_permanent:
            limits = self.listener.limits
            self.errors += 1
            if self.errors >= limits.errors:
                self.say(reply)
                self.leave(replies.TOO_MANY_ERRORS)
            if self.errors > limits.errors_before_delay:
                await self.pause(limits.error_delay_seconds)
        self.say(reply)

    async def pause(self, seconds: float) -> None:
        self._flush()
        await asyncio.sleep(seconds)

    async def smtp_STARTTLS(self, argument: str) -> Reply | None:
        """What was smuggled in behind it ends the session (CVE-2021-33515 and its relatives)."""
        if argument:
            return replies.NO_ARGUMENT
        if self.tls_name:
            return replies.TLS_ACTIVE
        if self.listener.tls is None:
            return replies.TLS_AWAY
        if len(self._lines):
            self._lines.clear()
            self.leave(replies.TLS_PIPELINED)
        self.say(replies.START_TLS)
        self._flush()
        await self._encrypt(self.listener.tls)
        return None

    async def _encrypt(self, context: ssl.SSLContext) -> None:
        try:
            transport = await self.loop.start_tls(
                self._open_transport,
                self,
                context,
                server_side=True,
                ssl_handshake_timeout=_TLS_HANDSHAKE_SECONDS,
            )
        except OSError:  # of TLS, of the connection, or because it took too long
            transport = None
        if transport is None:
            # A connection that is lost within the handshake is lost for the loop's part of TLS
            # alone: `connection_lost` may never be called.
            self.listener.leave(self)
            raise Disconnected
        self.transport = transport  # what came through it meanwhile, with the handshake, counts
        self._is_clogged = False  # the one below it tells nobody any more
        cipher = transport.get_extra_info("cipher") or ("unknown", "TLS", 0)
        self.tls_name = f"{cipher[1]} {cipher[0]}"
        self.forget_session()


_METHODS: dict[str, Callable[[MxSession, str], Awaitable[Reply | None]]] = {
    name: getattr(MxSession, f"smtp_{name}") for name in _COMMANDS
}
