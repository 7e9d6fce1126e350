"""Who was told what, and what came out: the two ledgers that are compared at the end.

| word | meaning |
|---|---|
| lost | answered 250, and neither arrived nor in the queue any more |
| ghost | answered anything but 250, and arrived all the same |
| cut | the final dot was sent and no reply came: may arrive or not (RFC 1047) |
| dup | arrived more than once for the same message and recipient |
"""

from __future__ import annotations

import random
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.delivery.sink import Sink

ID_FIELD = b"X-Ledger-Id"
_ID = re.compile(rb"^X-Ledger-Id: (\S+)\r$", re.MULTILINE)


@dataclass(frozen=True)
class Sent:
    """One message as its client knows it; `reply` is "" where the connection broke."""

    id: str
    recipients: tuple[str, ...]
    reply: str
    dot_sent: bool
    seconds: float
    began: float

    @property
    def accepted(self) -> bool:
        return self.dot_sent and self.reply.startswith("250")

    @property
    def cut(self) -> bool:
        return self.dot_sent and not self.reply

    @property
    def trace_id(self) -> str:
        return self.reply.split()[-1]


class Client:
    """One SMTP connection that says what it is told to, and notes how far it came."""

    def __init__(self, port: int, source: str = "127.0.0.1", timeout: float = 60.0) -> None:
        self.socket = socket.create_connection(
            ("127.0.0.1", port), timeout=timeout, source_address=(source, 0)
        )
        self._file = self.socket.makefile("rb")

    def reply(self) -> str:
        """The last line of the next reply; raises ConnectionError when there is none."""
        while True:
            line = self._file.readline()
            if not line.endswith(b"\n"):
                raise ConnectionResetError("no whole reply")
            if line[3:4] != b"-":
                return line.decode().rstrip()

    def say(self, line: str) -> str:
        self.socket.sendall(line.encode() + b"\r\n")
        return self.reply()

    def send(self, octets: bytes) -> None:
        self.socket.sendall(octets)

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def letter(identity: str, size: int = 1000, author: str = "bob@author.example") -> bytes:
    head = (
        f"From: Bob <{author}>\r\nTo: somebody@author.example\r\nSubject: ledger\r\n"
        f"Message-ID: <{identity}@author.example>\r\nX-Ledger-Id: {identity}\r\n\r\n"
    ).encode()
    return head + b"all work and no play makes a dull message, line after line\r\n" * (size // 60)


class ClientLedger:
    """Sends messages with ids of their own and writes down every final reply."""

    def __init__(self, port: int, name: str) -> None:
        self.port, self.name = port, name
        self.sent: list[Sent] = []
        self._lock = threading.Lock()
        self._count = 0

    def next_id(self) -> str:
        with self._lock:
            self._count += 1
            return f"{self.name}-{self._count:06d}"

    def send(self, *recipients: str, size: int = 1000, source: str = "127.0.0.1") -> Sent:
        """Try once to send one message; never raises for what the network does."""
        identity, began = self.next_id(), time.monotonic()
        reply, dot_sent = "", False
        try:
            with Client(self.port, source) as client:
                reply = client.reply()
                steps = ["EHLO author.example", "MAIL FROM:<bob@author.example>"]
                steps += [f"RCPT TO:<{one}>" for one in recipients] + ["DATA"]
                for step in steps:
                    if not reply.startswith("2"):
                        break
                    reply = ""
                    reply = client.say(step)
                if reply.startswith("354"):
                    reply = ""
                    client.send(letter(identity, size))
                    dot_sent = True  # it may go out even when the call fails
                    client.send(b".\r\n")
                    reply = client.reply()
                    client.send(b"QUIT\r\n")
        except OSError:
            pass
        one = Sent(identity, recipients, reply, dot_sent, time.monotonic() - began, began)
        with self._lock:
            self.sent.append(one)
        return one

    def accepted(self) -> list[Sent]:
        with self._lock:
            return [one for one in self.sent if one.accepted]

    def replies(self) -> Counter[str]:
        """How often each kind of reply was heard: its two codes, or where it broke."""
        found: Counter[str] = Counter()
        for one in self.sent:
            words = one.reply.split()
            found[" ".join(words[:2]) if words else "cut" if one.dot_sent else "broken"] += 1
        return found

    @contextmanager
    def load(self, threads: int, send: Callable[[ClientLedger], object], pause: float = 0.0):
        """`send` again and again in this many threads, until the block ends."""
        over = threading.Event()

        def work() -> None:
            while not over.is_set():
                send(self)
                over.wait(pause)

        running = [threading.Thread(target=work, daemon=True) for _ in range(threads)]
        for thread in running:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in running:
                thread.join(70)

    def crowd(self, count: int, send: Callable[[ClientLedger], object], patience: float = 90):
        """`send` once in each of `count` threads, at the same time."""
        running = [threading.Thread(target=send, args=(self,), daemon=True) for _ in range(count)]
        for thread in running:
            thread.start()
        until = time.monotonic() + patience
        for thread in running:
            thread.join(max(0.0, until - time.monotonic()))


class SinkLedger:
    """The next hop of the whole service, and every arrival by the id of its message."""

    def __init__(self) -> None:
        self.sink = Sink().start()
        self._read = 0
        self._by_id: dict[str, list[tuple[str, bytes]]] = {}
        self.seen_at: dict[str, float] = {}
        """When we first looked and the message was there (monotonic)."""

        self._lock = threading.Lock()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.sink.port}"

    def arrivals(self, identity: str) -> list[tuple[str, bytes]]:
        """(recipient, octets) of each arrival of this message."""
        self._take()
        return list(self._by_id.get(identity, ()))

    def counts(self, name: str) -> Counter[tuple[str, str]]:
        """Arrivals by (id, recipient) of one client ledger."""
        self._take()
        found: Counter[tuple[str, str]] = Counter()
        for identity, arrived in list(self._by_id.items()):
            if identity.startswith(f"{name}-"):
                found.update((identity, recipient) for recipient, _ in arrived)
        return found

    def _take(self) -> None:
        with self._lock:
            while self._read < len(self.sink.arrivals):
                arrival = self.sink.arrivals[self._read]
                match = _ID.search(arrival.octets)
                identity = match[1].decode() if match else ""
                self._by_id.setdefault(identity, []).append((arrival.recipient, arrival.octets))
                self.seen_at.setdefault(identity, time.monotonic())
                self._read += 1


@dataclass(frozen=True)
class Balance:
    """What the two ledgers say when they are laid side by side."""

    accepted: int
    expected: int
    """Deliveries that 250 promised."""
    lost: tuple[tuple[str, str], ...]
    ghosts: tuple[str, ...]
    cut_and_arrived: tuple[str, ...]
    dups: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def dup_count(self) -> int:
        return sum(count - 1 for count in self.dups.values())

    def __str__(self) -> str:
        return (
            f"accepted {self.accepted}, deliveries {self.expected}, lost {len(self.lost)}, "
            f"ghosts {len(self.ghosts)}, dup {self.dup_count}, cut {len(self.cut_and_arrived)}"
        )


def balance(
    client: ClientLedger, sink: SinkLedger, destination_of: Callable[[str], str]
) -> Balance:
    """Compare; the queue must be empty, so that what did not arrive is lost."""
    counts = sink.counts(client.name)
    arrived = {identity for identity, _ in counts}
    promised = [
        (one.id, destination_of(address)) for one in client.accepted() for address in one.recipients
    ]
    return Balance(
        accepted=len(client.accepted()),
        expected=len(promised),
        lost=tuple(one for one in promised if counts[one] == 0),
        ghosts=tuple(
            one.id for one in client.sent if one.id in arrived and not one.accepted and not one.cut
        ),
        cut_and_arrived=tuple(one.id for one in client.sent if one.cut and one.id in arrived),
        dups={one: count for one, count in counts.items() if count > 1},
    )


def sizes(chance: random.Random, largest: int) -> Iterator[int]:
    """Sizes from 1 kB to `largest`: most are small, each fiftieth is large."""
    while True:
        yield largest if chance.random() < 0.02 else chance.randint(1000, 20_000)


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0
