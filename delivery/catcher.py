"""The catcher: takes all outgoing mail of an installation that has no smarthost, and keeps it.

    python -m delivery.catcher      listens on MXAX_CATCHER_LISTEN, stores in <data folder>/mail

Accepts everything. Each message is one file of a Maildir, written and synced in tmp/ before it
moves to new/ and before the 250. The octets are as received, CRLF and all, below one
X-Envelope-From field and an X-Envelope-To field for each recipient. The newest 10,000 are kept.

Neither Django nor asyncio: this process is there for convenience and should cost next to nothing;
threads and blocking sockets need a third of the memory.
"""

import io
import itertools
import os
import re
import signal
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

KEEP_NEWEST = 10_000
PRUNE_EVERY = 500
MAX_OCTETS = 100 * 1024 * 1024
MAX_LINE = 64 * 1024
MAX_CONNECTIONS = 200
IDLE_SECONDS = 300
_PATH = re.compile(rb"(?:FROM|TO):\s*<?([^>\s]*)>?", re.IGNORECASE)
_EHLO = (b"PIPELINING", b"SIZE %d" % MAX_OCTETS, b"8BITMIME", b"SMTPUTF8", b"ENHANCEDSTATUSCODES")
_numbers = itertools.count()


class Mailbox:
    """A Maildir that keeps the newest messages only."""

    def __init__(self, path: Path, keep: int = KEEP_NEWEST) -> None:
        self.path, self.keep = path, keep
        for part in ("tmp", "new", "cur"):
            (path / part).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._stored = 0
        self._pruning = threading.Lock()

    def store(self, lines: Iterator[bytes]) -> str:
        """Keep one message durably and give the name of its file. Raises OSError."""
        name = f"{time.time_ns() // 1000}.{os.getpid()}_{next(_numbers)}.mxax"
        written = self.path / "tmp" / name
        try:
            with open(written, "xb") as file:
                file.writelines(lines)
                file.flush()
                os.fsync(file.fileno())
            os.rename(written, self.path / "new" / name)
        except OSError:
            written.unlink(missing_ok=True)
            raise
        _sync_folder(self.path / "new")
        self._count_one()
        return name

    def _count_one(self) -> None:
        self._stored += 1
        if self._stored % PRUNE_EVERY == 0 and self._pruning.acquire(blocking=False):
            try:
                self.prune()
            finally:
                self._pruning.release()

    def prune(self) -> None:
        """Remove the oldest beyond what is kept; names begin with their time."""
        found = [
            (entry.name, part) for part in ("new", "cur") for entry in os.scandir(self.path / part)
        ]
        for name, part in sorted(found)[: max(0, len(found) - self.keep)]:
            (self.path / part / name).unlink(missing_ok=True)


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class _Wire(io.RawIOBase):
    """The client's octets; our replies go out together when we have to wait for more of them."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._replies: list[bytes] = []

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        self.send_replies()
        return self._connection.recv_into(buffer)

    def reply(self, *lines: bytes) -> None:
        self._replies += [line + b"\r\n" for line in lines]

    def send_replies(self) -> None:
        if self._replies:
            self._connection.sendall(b"".join(self._replies))
            self._replies.clear()


class Session(socketserver.BaseRequestHandler):
    """One client: says yes to everything."""

    server: "Catcher"

    def handle(self) -> None:
        with suppress(OSError):  # the client went away, or said nothing for five minutes
            self._converse()

    def _converse(self) -> None:
        self.request.settimeout(IDLE_SECONDS)
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.wire = _Wire(self.request)
        self.octets = io.BufferedReader(self.wire, MAX_LINE)  # type: ignore[type-var]
        self._forget()
        self.wire.reply(b"220 catcher ESMTP")
        while (line := self.octets.readline(MAX_LINE)) and self._obey(line.rstrip(b"\r\n")):
            pass
        self.wire.send_replies()

    def _forget(self) -> None:
        self.reverse_path: bytes | None = None
        self.recipients: list[bytes] = []

    def _obey(self, line: bytes) -> bool:
        """Answer one command; False after QUIT."""
        verb, _, rest = line.partition(b" ")
        answer = getattr(self, f"_{verb.decode('ascii', 'replace').lower()}_command", None)
        if answer is None:
            self.wire.reply(b"502 5.5.1 Not known here")
            return True
        answer(rest)
        return verb.upper() != b"QUIT"

    def _ehlo_command(self, rest: bytes) -> None:
        self._forget()
        lines = (b"catcher", *_EHLO)
        self.wire.reply(*(b"250-" + line for line in lines[:-1]), b"250 " + lines[-1])

    def _helo_command(self, rest: bytes) -> None:
        self._forget()
        self.wire.reply(b"250 catcher")

    def _mail_command(self, rest: bytes) -> None:
        self._forget()
        self.reverse_path = _path(rest)
        self.wire.reply(b"250 2.1.0 Ok")

    def _rcpt_command(self, rest: bytes) -> None:
        if self.reverse_path is None:
            self.wire.reply(b"503 5.5.1 MAIL first")
            return
        self.recipients.append(_path(rest))
        self.wire.reply(b"250 2.1.5 Ok")

    def _data_command(self, rest: bytes) -> None:
        if not self.recipients:
            self.wire.reply(b"503 5.5.1 RCPT first")
            return
        self.wire.reply(b"354 Go ahead")
        content = self._content()
        try:
            name = self.server.mailbox.store(itertools.chain(self._envelope(), content))
            self.wire.reply(b"250 2.0.0 Caught as " + name.encode())
        except ConnectionError:
            raise
        except TimeoutError:
            raise
        except OSError as error:
            for _ in content:  # the rest, up to the dot, is not commands
                pass
            why = os.strerror(error.errno or 0).encode()
            self.wire.reply(b"452 4.3.1 Cannot store it: " + why)
        self._forget()

    def _rset_command(self, rest: bytes) -> None:
        self._forget()
        self.wire.reply(b"250 2.0.0 Ok")

    def _noop_command(self, rest: bytes) -> None:
        self.wire.reply(b"250 2.0.0 Ok")

    def _vrfy_command(self, rest: bytes) -> None:
        self.wire.reply(b"252 2.5.2 Send it and see")

    def _quit_command(self, rest: bytes) -> None:
        self.wire.reply(b"221 2.0.0 Bye")

    def _envelope(self) -> Iterator[bytes]:
        yield b"X-Envelope-From: <%b>\r\n" % (self.reverse_path or b"")
        for recipient in self.recipients:
            yield b"X-Envelope-To: <%b>\r\n" % recipient

    def _content(self) -> Iterator[bytes]:
        """The octets up to the lone dot, with doubled dots undone (RFC 5321, 4.5.2)."""
        at_line_start = True
        while (piece := self.octets.readline(MAX_LINE)) != b".\r\n" or not at_line_start:
            if not piece:
                raise ConnectionResetError("the client went away inside DATA")
            yield piece[1:] if at_line_start and piece.startswith(b".") else piece
            at_line_start = piece.endswith(b"\r\n")


def _path(rest: bytes) -> bytes:
    found = _PATH.match(rest)
    return found[1] if found else b""


class Catcher(socketserver.ThreadingTCPServer):
    """Listens; one thread a client."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, host: str, port: int, mailbox: Mailbox) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.mailbox = mailbox
        self._room = threading.BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__((host, port), Session)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._room.acquire()  # others wait in the listen queue
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: object, client_address: object) -> None:
        sys.stderr.write(f"catcher: {sys.exc_info()[1]!r}\n")


def main() -> None:
    from mxax.env import environment

    chosen = environment()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    threading.stack_size(512 * 1024)
    listen = chosen.catcher_listen
    mailbox = Mailbox(chosen.data_dir / "mail")
    mailbox.prune()
    try:
        server = Catcher(listen.host, listen.port, mailbox)
    except OSError as error:
        sys.exit(f"catcher: {listen}: {error.strerror}: set MXAX_CATCHER_LISTEN to another port")
    with server:
        server.serve_forever(poll_interval=5)


if __name__ == "__main__":
    main()
