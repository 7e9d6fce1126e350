"""What each command of the dialog does: the order of commands, and nothing about sockets.

Each method gives its reply, or None where it was said already. What MAIL, RCPT and DATA mean is
decided in inbound.py.
"""

from mail.envelope import Client
from mail.reply import Reply
from mail.trace import printable
from smtp_edge import replies
from smtp_edge.commands import read_mail, read_rcpt
from smtp_edge.inbound import Transaction
from smtp_edge.incoming import IncomingData
from smtp_edge.listener import Listener
from smtp_edge.patience import Patience
from smtp_edge.visit import Visit

_LONGEST_HELO = 255


class Disconnected(Exception):
    """The session ends here; what had to be said was said."""


class Dialog:
    """The state of one session between its commands; sockets are in the subclass."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.peer_ip, self.peer_port = "unknown", 0
        self.visit: Visit
        self.helo = ""
        self.is_extended = False
        self.tls_name = ""
        self.transaction: Transaction | None = None
        self.errors = 0
        self.junk = 0
        self.refused_recipients = 0
        self.patience = Patience(listener.limits, listener.loop.time())

    # What the subclass does

    def say(self, reply: Reply) -> None:
        raise NotImplementedError

    def say_octets(self, octets: bytes) -> None:
        raise NotImplementedError

    def begin_data(self) -> IncomingData:
        raise NotImplementedError

    async def pause(self, seconds: float) -> None:
        """Let the client wait, with what was said so far."""
        raise NotImplementedError

    def leave(self, reply: Reply) -> None:
        """Say a last word."""
        self.say(reply)
        raise Disconnected

    def forget_transaction(self) -> None:
        self.transaction = None
        self.patience.transaction_ended()

    def forget_session(self) -> None:
        """As if nothing had been said (RFC 3207, 4.2)."""
        self.helo, self.is_extended = "", False
        self.forget_transaction()

    # Commands

    async def smtp_EHLO(self, argument: str) -> Reply | None:
        if not argument:
            return replies.HELO_SYNTAX
        self._greet(argument, extended=True)
        self.say_octets(self.listener.ehlo(encrypted=bool(self.tls_name)))
        return None

    async def smtp_HELO(self, argument: str) -> Reply:
        if not argument:
            return replies.HELO_SYNTAX
        self._greet(argument, extended=False)
        return Reply(250, None, self.listener.hostname)

    def _greet(self, name: str, *, extended: bool) -> None:
        self.forget_transaction()
        self.helo = printable(name, _LONGEST_HELO)
        self.is_extended = extended

    async def smtp_MAIL(self, argument: str) -> Reply:
        if not self.helo:
            return replies.HELO_FIRST
        if self.transaction is not None:
            return replies.NESTED_MAIL
        command = read_mail(argument, extended=self.is_extended)
        if isinstance(command, Reply):
            return command
        client = self._client(command.smtputf8)
        too_much = self.visit.at_mail(client)
        if too_much is not None:
            self.leave(too_much)
        begun = self.listener.inbound.begin(client, command)
        if isinstance(begun, Reply):
            return begun
        begun.screen = self.visit
        self.transaction = begun
        self.patience.transaction_began(self.listener.loop.time())
        return replies.REVERSE_PATH_OK

    def _client(self, smtputf8: bool) -> Client:
        protocol = "SMTP"
        if self.is_extended:
            protocol = ("UTF8SMTP" if smtputf8 else "ESMTP") + ("S" if self.tls_name else "")
        return Client(self.peer_ip, self.peer_port, self.helo, protocol, self.tls_name)

    async def smtp_RCPT(self, argument: str) -> Reply:
        transaction = self.transaction
        if transaction is None:
            return replies.MAIL_FIRST if self.helo else replies.HELO_FIRST
        command = read_rcpt(argument, smtputf8=transaction.envelope.smtputf8)
        if isinstance(command, Reply):
            return command
        guesses = transaction.bad_returns
        reply = await transaction.recipient(command)
        if reply.is_permanent:
            await self._refused(transaction, is_guess=transaction.bad_returns > guesses)
        return reply

    async def _refused(self, transaction: Transaction, *, is_guess: bool) -> None:
        """Who tries recipients that do not exist is slowed down, and at last sent away."""
        client = transaction.envelope.client
        too_many = self.visit.guessed(client) if is_guess else self.visit.refused(client)
        if too_many is not None:
            self.leave(too_many)
        self.refused_recipients += 1
        limits = self.listener.limits
        is_slowed_down = self.errors >= limits.errors_before_delay  # by the errors of his session
        if self.refused_recipients > limits.refused_before_delay and not is_slowed_down:
            await self.pause(limits.refused_delay_seconds)

    async def smtp_DATA(self, argument: str) -> Reply:
        transaction = self.transaction
        if argument:
            return replies.NO_ARGUMENT
        if transaction is None:
            return replies.MAIL_FIRST if self.helo else replies.HELO_FIRST
        if not transaction.recipients:
            return replies.NO_RECIPIENTS if transaction.tried else replies.RCPT_FIRST
        self.say(replies.GO_AHEAD)
        data = self.begin_data()
        try:
            reply = await transaction.receive(data)
        finally:
            self.forget_transaction()
        if not data.ended:
            self.leave(reply)  # far too much came, and more would
        if reply.is_positive:
            self.errors = self.junk = self.refused_recipients = 0
            self.visit.delivered(transaction.envelope, transaction.recipients)
        return reply

    async def smtp_RSET(self, argument: str) -> Reply:
        if argument:
            return replies.NO_ARGUMENT
        self.forget_transaction()
        return replies.OK

    async def smtp_NOOP(self, argument: str) -> Reply:
        return replies.OK

    async def smtp_QUIT(self, argument: str) -> Reply:
        if not argument:
            self.leave(replies.GOODBYE)
        return replies.NO_ARGUMENT

    async def smtp_VRFY(self, argument: str) -> Reply:
        return replies.NOT_VERIFIED

    async def smtp_EXPN(self, argument: str) -> Reply:
        return replies.NOT_EXPANDED

    async def smtp_HELP(self, argument: str) -> Reply:
        return replies.HELP

    async def smtp_AUTH(self, argument: str) -> Reply:
        return replies.NO_AUTH_HERE
