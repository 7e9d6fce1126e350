"""A next hop to test against: does as it is told, and remembers everything it heard."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

EXTENSIONS = ("PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE 10485760", "ENHANCEDSTATUSCODES")


@dataclass
class Arrival:
    """One message that was answered 250 (or would have been: see `Sink.silent_after_dot`)."""

    mail: str
    recipient: str
    octets: bytes
    connection: int
    tls: bool


@dataclass
class Sink:
    """Runs in a thread of its own; `script` gives replies by verb or recipient, in order."""

    extensions: tuple[str, ...] = EXTENSIONS
    greeting: str = "220 sink.example ESMTP"
    context: ssl.SSLContext | None = None
    answer_delay: float = 0.0
    silent_after_dot: bool = False
    close_after_dot: bool = False
    speak_after_starttls: bytes = b""
    close_when_idle: bool = False
    hang_in_content: bool = False
    replies_after: str = ""
    """Replies to MAIL, RCPT and DATA are kept back until this verb has come."""
    opens_data_always: bool = False
    after_answer: Callable[[], object] | None = None
    """Called when the 250 to the final dot has gone out."""

    script: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    arrivals: list[Arrival] = field(default_factory=list)
    commands: list[tuple[int, str]] = field(default_factory=list)
    largest_write: int = 0
    connections: int = 0
    open_now: int = 0
    most_open: int = 0
    host: str = "127.0.0.1"
    port: int = 0

    def start(self) -> Sink:
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join(60)

    def hang_up(self) -> None:
        """Close every connection, now."""
        self._loop.call_soon_threadsafe(lambda: [writer.close() for writer in self._writers])

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        server = await asyncio.start_server(
            self._session, self.host, self.port, limit=2**20, backlog=200
        )
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._over.wait()
        server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        self._writers.add(writer)
        try:
            await _Dialogue(self, reader, writer, self.connections).run()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            self.open_now -= 1
            self._writers.discard(writer)
            writer.close()


class _Dialogue:
    def __init__(self, sink, reader, writer, number) -> None:
        self.sink, self.reader, self.writer, self.number = sink, reader, writer, number
        self.mail = self.recipient = ""
        self.tls = False
        self.verb = ""
        self._kept_back = b""

    async def run(self) -> None:
        self.say(self.sink.greeting)
        while line := await self.reader.readline():
            command = line.decode().rstrip("\r\n")
            self.sink.commands.append((self.number, command))
            verb = self.verb = command[:4].upper()
            if verb == "QUIT":
                self.say("221 bye")
                return
            if verb == "STAR":
                await self.starttls()
                continue
            if verb in ("EHLO", "HELO"):
                self.hello(verb)
                continue
            if not await self.reply(verb, command):
                return

    def say(self, reply: str) -> None:
        octets = self._kept_back + reply.replace("\n", "\r\n").encode() + b"\r\n"
        waits = self.sink.replies_after not in ("", self.verb) and self.verb in ("MAIL", "RCPT")
        self._kept_back = octets if waits else b""
        self.writer.write(b"" if waits else octets)

    def scripted(self, *keys: str) -> str | None:
        for key in keys:
            if self.sink.script[key]:
                return self.sink.script[key].pop(0)
        return None

    def hello(self, verb: str) -> None:
        scripted = self.scripted(verb)
        offered = [*self.sink.extensions]
        if self.sink.context is not None and not self.tls:
            offered.append("STARTTLS")
        lines = ["sink.example", *(offered if verb == "EHLO" else ())]
        text = [f"250-{line}" for line in lines[:-1]] + [f"250 {lines[-1]}"]
        self.say(scripted or "\n".join(text))

    async def starttls(self) -> None:
        scripted = self.scripted("STAR")
        if scripted:
            self.say(scripted)
            return
        self.writer.write(b"220 go\r\n" + self.sink.speak_after_starttls)
        if self.sink.speak_after_starttls:
            return
        await self.writer.start_tls(self.sink.context)
        self.tls = True

    async def reply(self, verb: str, command: str) -> bool:
        if verb == "MAIL":
            answer = self.scripted("MAIL") or "250 2.1.0 ok"
            self.mail, self.recipient = command if answer.startswith("2") else "", ""
        elif verb == "RCPT":
            recipient = command.partition("<")[2].rpartition(">")[0]
            answer = self.scripted(f"RCPT {recipient}", "RCPT") or "250 2.1.5 ok"
            if not self.mail:
                answer = "503 5.5.1 MAIL first"
            self.recipient = recipient if answer.startswith("2") else ""
        elif verb == "DATA":
            return await self.data()
        else:
            answer = self.scripted(verb) or "250 2.0.0 ok"
        self.say(answer)
        return not answer.startswith("421")

    async def data(self) -> bool:
        answer = self.scripted("DATA") or "354 go"
        if not self.recipient and not self.sink.opens_data_always:
            answer = "503 5.5.1 RCPT first"
        self.say(answer)
        if not answer.startswith("354"):
            return not answer.startswith("421")
        lines = []
        while (line := await self.reader.readline()) != b".\r\n":
            if not line:
                return False
            if self.sink.hang_in_content:
                await asyncio.sleep(3600)
            lines.append(line[1:] if line.startswith(b".") else line)
        octets = b"".join(lines)
        if self.sink.answer_delay:
            await asyncio.sleep(self.sink.answer_delay)
        answer = self.scripted(f"DOT {self.recipient}", "DOT") or "250 2.0.0 taken"
        if not self.recipient:
            answer = "554 5.5.1 no valid recipients"
        if answer.startswith("250"):
            arrival = Arrival(self.mail, self.recipient, octets, self.number, self.tls)
            self.sink.arrivals.append(arrival)
        if self.sink.silent_after_dot:
            await asyncio.sleep(3600)
        if self.sink.close_after_dot:
            return False
        self.say(answer)
        if self.sink.after_answer is not None:
            self.sink.after_answer()  # at once: it is in the socket
        return not (answer.startswith("421") or self.sink.close_when_idle)
