"""One SMTP connection to a next hop (RFC 5321), with STARTTLS where it is offered (RFC 3207).

Each question to the peer waits for a known number of replies; what comes unasked breaks the
connection. Questions never raise: they give the replies that came, and `broken` says why there are
fewer. Timeouts are those of RFC 5321, 4.5.3.2, but for a shorter one to connect.
"""

import asyncio
import ssl
from dataclasses import dataclass, replace
from typing import Any

from delivery.transport.abilities import Abilities, abilities_of
from delivery.transport.octets import wire_pieces
from delivery.transport.replies import BadReply, HopReply, ReplyReader
from delivery.transport.targets import Target
from delivery.transport.values import Outcome, Stage, Transaction
from mail.retry import OutcomeClass

_SMALL_OCTETS = 512 * 1024
_SERVICE_ENDS = 421
_GO_AHEAD = 354


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait for each answer."""

    connect: float = 30
    greeting: float = 300
    command: float = 300
    data: float = 120
    block: float = 180
    end: float = 600
    slowest_octets: float = 10_000
    """A second, of content, beyond the first block: 50 MB take an hour and a half at most."""


class HopTrouble(Exception):
    """No session came about; the text is the peer's reply or our own words."""

    def __init__(self, text: str, *, code: int = 0, tls: bool = False) -> None:
        super().__init__(text)
        self.text, self.code, self.is_tls = text, code, tls


class SpokeUnasked(HopTrouble):
    """Octets came in clear after the reply to STARTTLS: somebody between us puts words in."""


class SmtpConnection(asyncio.Protocol):
    """A connection after `open_connection`: `transmit` any number of times, then `quit`."""

    def __init__(self, target: Target, timeouts: Timeouts) -> None:
        self.target, self.timeouts = target, timeouts
        self.abilities = Abilities()
        self.tls = ""
        self.broken = ""
        self.sent = 0
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._reader = ReplyReader()
        self._replies: list[HopReply] = []
        self._wanted = 1  # the greeting comes unasked
        self._stops_for_tls = False
        self._waiter: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            self._replies += self._reader.feed(data)
        except BadReply as error:
            self._break(str(error))
            return
        if len(self._replies) > self._wanted:
            self._break(f"spoke unasked: {self._replies[-1].text}")
        elif self._replies and self._replies[-1].code == _SERVICE_ENDS:
            self._break(self._replies[-1].text)
        elif self._wanted and len(self._replies) == self._wanted:
            if self._stops_for_tls:
                self._transport.pause_reading()
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._break("the next hop closed the connection" if exc is None else _words(exc))

    def pause_writing(self) -> None:
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # Questions and answers.

    async def ask(self, octets: bytes, wanted: int, timeout: float) -> list[HopReply]:  # noqa: ASYNC109
        """Write, and wait for this many replies; fewer come back when the connection breaks."""
        self._expect(wanted)
        if not self.broken:
            self._transport.write(octets)
        return await self._answers(timeout)

    def _expect(self, wanted: int) -> None:
        self._replies, self._wanted = [], wanted

    async def _answers(self, seconds: float) -> list[HopReply]:
        if len(self._replies) < self._wanted and not self.broken:
            self._waiter = self._loop.create_future()
            timer = self._loop.call_later(seconds, self._break, "the next hop did not answer")
            try:
                await self._waiter
            finally:
                timer.cancel()
                self._waiter = None
        replies, self._replies, self._wanted = self._replies, [], 0
        return replies

    def _break(self, why: str) -> None:
        self.broken = self.broken or why
        if self._transport is not None:
            self._transport.abort()
        self.resume_writing()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # A session's life.

    async def start(self, helo: str, context: ssl.SSLContext | None) -> None:
        """Greeting, EHLO, and TLS where a context is given and it is offered. `HopTrouble`."""
        greeting = self._only(await self._answers(self.timeouts.greeting))
        if greeting.code != 220:
            raise HopTrouble(greeting.text, code=greeting.code)
        await self._hello(helo)
        if context is not None and self.abilities.starttls:
            await self._start_tls(helo, context)

    async def _hello(self, helo: str) -> None:
        reply = await self._one(b"EHLO %b\r\n" % helo.encode(), self.timeouts.command)
        if reply.code // 100 == 5:
            reply = await self._one(b"HELO %b\r\n" % helo.encode(), self.timeouts.command)
            self.abilities = Abilities()
        else:
            self.abilities = abilities_of(reply)
        if not reply.is_positive:
            raise HopTrouble(reply.text, code=reply.code)

    async def _start_tls(self, helo: str, context: ssl.SSLContext) -> None:
        self._stops_for_tls = True
        reply = await self._one(b"STARTTLS\r\n", self.timeouts.command)
        self._stops_for_tls = False
        if self._reader.has_more:
            raise SpokeUnasked("octets in clear after the reply to STARTTLS")
        if reply.code != 220:
            self._transport.resume_reading()
            return
        try:
            self._transport = await self._loop.start_tls(
                self._transport,
                self,
                context,
                server_hostname=self.target.host,
                ssl_handshake_timeout=self.timeouts.connect,
            )
        except (TimeoutError, OSError, ssl.SSLError) as error:
            raise HopTrouble(f"TLS: {_words(error)}", tls=True) from None
        if self._transport is None:
            raise HopTrouble("TLS: the connection ended", tls=True)
        session = self._transport.get_extra_info("ssl_object")
        self.tls = f"{session.version()} {session.cipher()[0]}"
        await self._hello(helo)

    async def _one(self, octets: bytes, seconds: float) -> HopReply:
        return self._only(await self.ask(octets, 1, seconds))

    def _only(self, replies: list[HopReply]) -> HopReply:
        if replies and not self.broken:
            return replies[0]
        if self.broken.startswith("spoke unasked") and self._stops_for_tls:
            raise SpokeUnasked(self.broken)
        code = replies[-1].code if replies else 0
        raise HopTrouble(replies[-1].text if replies else self.broken, code=code)

    async def transmit(self, mail: Transaction) -> Outcome:
        """Send one transaction; afterwards the connection is ready for the next, or broken."""
        refusal = self._unsuitable(mail)
        if refusal is not None:
            return refusal
        self.sent += 1
        try:
            outcome = await self._envelope(mail) or await self._content(mail)
        except BaseException:
            self._break("we gave up")  # cancelled in the middle: nothing more can be said here
            raise
        return replace(outcome, host=self.target.host, tls=self.tls)

    def _unsuitable(self, mail: Transaction) -> Outcome | None:
        """Why this message cannot go to this host, known before it is offered."""
        able = self.abilities
        if mail.needs_smtputf8 and not able.smtputf8:
            return _local("5.6.7", "the next hop does not offer SMTPUTF8")
        if not able.eight_bit and mail.is_eight_bit:
            # Converting would break the author's signature.
            return _local("5.6.3", "the next hop does not offer 8BITMIME")
        if able.size and mail.size_octets > able.size:
            return _local("5.3.4", f"the next hop takes {able.size} octets at most")
        if not (mail.reverse_path + mail.recipient).isprintable():
            return _local("5.1.3", "the address cannot be written in SMTP")
        return None

    async def _envelope(self, mail: Transaction) -> Outcome | None:
        """MAIL, RCPT and DATA; None when the content may follow."""
        commands = (
            (Stage.MAIL, self._mail_command(mail), self.timeouts.command),
            (Stage.RCPT, b"RCPT TO:<%b>\r\n" % mail.recipient.encode(), self.timeouts.command),
            (Stage.DATA, b"DATA\r\n", self.timeouts.data),
        )
        if self.abilities.pipelining:
            together = b"".join(octets for _, octets, _ in commands)
            replies = await self.ask(together, 3, self.timeouts.command)
        else:
            replies = []
            for _, octets, seconds in commands:
                replies += await self.ask(octets, 1, seconds)
                if self.broken or replies[-1].code >= 400:
                    break
        for (stage, _, _), reply in zip(commands, replies, strict=False):
            good = reply.code == _GO_AHEAD if stage is Stage.DATA else reply.is_positive
            if not good:
                await self._recover(replies)
                return _replied(stage, reply)
        if len(replies) > 3 and replies[3].code >= 400:
            return _replied(Stage.CONTENT, replies[3])  # it did not wait for the content
        return self._lost(commands[min(len(replies), 2)][0]) if self.broken else None

    def _mail_command(self, mail: Transaction) -> bytes:
        parameters = b""
        if self.abilities.size is not None:
            parameters += b" SIZE=%d" % mail.size_octets
        if self.abilities.eight_bit and mail.is_eight_bit:
            parameters += b" BODY=8BITMIME"
        if mail.needs_smtputf8:
            parameters += b" SMTPUTF8"
        return b"MAIL FROM:<%b>%b\r\n" % (mail.reverse_path.encode(), parameters)

    async def _recover(self, replies: list[HopReply]) -> None:
        """After a refusal: end data that was opened all the same, and forget the transaction."""
        if len(replies) == 3 and replies[2].code == _GO_AHEAD:
            await self.ask(b".\r\n", 1, self.timeouts.end)
        await self.ask(b"RSET\r\n", 1, self.timeouts.command)

    async def _content(self, mail: Transaction) -> Outcome:
        self._expect(1)
        if sum(map(len, mail.pieces)) <= _SMALL_OCTETS:
            self._transport.write(b"".join(wire_pieces(mail.pieces)))
        elif not await self._write_slowly(mail):
            early = self._replies
            self._break("the next hop answered before the end of the message")
            refused = early and early[0].code >= 400
            return _replied(Stage.CONTENT, early[0]) if refused else self._lost(Stage.DATA)
        replies = await self._answers(self.timeouts.end)
        return _replied(Stage.CONTENT, replies[0]) if replies else self._lost(Stage.CONTENT)

    async def _write_slowly(self, mail: Transaction) -> bool:
        """Write as fast as the peer reads; False when it ended, or answered, in the middle."""
        slowest = self.timeouts.slowest_octets
        ends_at = self._loop.time() + self.timeouts.block + mail.size_octets / slowest
        for octets in wire_pieces(mail.pieces):
            if self.broken or self._replies:
                return False
            self._transport.write(octets)
            await self._until_writable(ends_at)
        return True

    async def _until_writable(self, ends_at: float) -> None:
        if self._writable is None:
            return
        seconds = ends_at - self._loop.time()
        try:
            async with asyncio.timeout(min(seconds, self.timeouts.block)):
                await self._writable
        except TimeoutError:
            is_slow = seconds < self.timeouts.block
            self._break(f"the next hop took {'octets too slowly' if is_slow else 'no more octets'}")

    def _lost(self, stage: Stage) -> Outcome:
        return Outcome(OutcomeClass.TRANSIENT, stage, self.broken)

    def quit(self) -> None:
        """Say good-bye without waiting for the answer."""
        if not self.broken:
            self._expect(1)
            self._transport.write(b"QUIT\r\n")
            self._transport.close()
            self.broken = "closed by us"


async def open_connection(
    target: Target,
    *,
    helo: str,
    context: ssl.SSLContext | None,
    timeouts: Timeouts,
    patience: float,
) -> SmtpConnection:
    """A connection ready for mail; `patience` seconds for TCP's part. Raises `HopTrouble`."""
    loop = asyncio.get_running_loop()
    where = target.where
    try:
        async with asyncio.timeout(patience):
            _, connection = await loop.create_connection(
                lambda: SmtpConnection(target, timeouts), where.host, where.port
            )
    except (TimeoutError, OSError) as error:
        raise HopTrouble(_words(error)) from None
    try:
        await connection.start(helo, context)
    except BaseException:
        connection._break("no session")
        raise
    return connection


def _replied(stage: Stage, reply: HopReply) -> Outcome:
    result = reply.result
    if result is OutcomeClass.SUCCESS and stage is not Stage.CONTENT:
        result = OutcomeClass.TRANSIENT  # 250 to DATA: whatever it means, nothing was delivered
    ends = reply.code == _SERVICE_ENDS
    return Outcome(result, stage, reply.text, reply.code, reply.enhanced, blames_hop=ends)


def _local(enhanced: str, text: str) -> Outcome:
    return Outcome(OutcomeClass.PERMANENT, Stage.LOCAL, text, enhanced=enhanced)


def _words(error: BaseException) -> str:
    if isinstance(error, asyncio.TimeoutError):
        return "the next hop did not answer"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
