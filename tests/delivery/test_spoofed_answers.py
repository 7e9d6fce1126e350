"""Answers that somebody else sends, or that say more than was asked (E4)."""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from dnslib import (
    CLASS,
    CNAME,
    MX,
    QTYPE,
    RCODE,
    RR,
    SOA,
    TXT,
    A,
    DNSHeader,
    DNSQuestion,
    DNSRecord,
)

from delivery.lookups import Limits, Outcome, Resolver

HASTY = Limits(seconds_per_lookup=0.5, seconds_per_try=0.3)
TRUE, FALSE = "192.0.2.1", "203.0.113.66"
NAME = "bank.example"
MONTH = 30 * 86_400


def reply(
    asked: DNSRecord, *records: RR, identity=None, question=None, also=(), authority=(), **bits
) -> DNSRecord:
    """What answers `asked` as it should, but for what is said otherwise."""
    header = DNSHeader(
        id=asked.header.id if identity is None else identity, **{"qr": 1, "ra": 1, **bits}
    )
    made = DNSRecord(header, q=asked.q if question is None else question)
    made.add_answer(*records)
    made.add_ar(*also)
    made.add_auth(*authority)
    return made


def address(name: str, ip: str, ttl: int = 60) -> RR:
    return RR(name, QTYPE.A, rdata=A(ip), ttl=ttl)


def lie(asked: DNSRecord, **changes) -> bytes:
    return reply(asked, address(str(asked.q.qname), FALSE), **changes).pack()


def truth(asked: DNSRecord) -> bytes:
    return reply(asked, address(str(asked.q.qname), TRUE)).pack()


@dataclass
class Server:
    """Says for each question what `speak` sends, from wherever it likes."""

    speak: Callable[[Server, DNSRecord, tuple[str, int]], None]
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]

    def run(self) -> None:
        while True:
            try:
                octets, client = self.socket.recvfrom(4096)
            except OSError:
                return
            asked = DNSRecord.parse(octets)
            self.asked.append(str(asked.q.qname).removesuffix("."))
            self.speak(self, asked, client)


@contextmanager
def answering(speak) -> Iterator[Server]:
    server = Server(speak)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.socket.close()


def asked_of(server: Server, story, *, limits: Limits = HASTY, clock=time.monotonic):
    async def run():
        return await story(Resolver([("127.0.0.1", server.port)], limits=limits, clock=clock))

    return asyncio.run(run())


def for_address(resolver: Resolver):
    return resolver.addresses(NAME, "A")


def from_elsewhere(octets: bytes, client: tuple[str, int], place: tuple[str, int]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(place)
        other.sendto(octets, client)


def other_port(server: Server, asked: DNSRecord, client: tuple[str, int]) -> None:
    from_elsewhere(lie(asked), client, ("127.0.0.1", 0))


def other_address(server: Server, asked: DNSRecord, client: tuple[str, int]) -> None:
    from_elsewhere(lie(asked), client, ("127.0.0.66", server.port))


def sent(make: Callable[[DNSRecord], bytes]):
    def speak(server: Server, asked: DNSRecord, client: tuple[str, int]) -> None:
        server.socket.sendto(make(asked), client)

    return speak


def other_ids(server: Server, asked: DNSRecord, client: tuple[str, int]) -> None:
    for distance in range(1, 200):
        octets = lie(asked, identity=(asked.header.id + distance) % 65_536)
        server.socket.sendto(octets, client)


LIES = {
    "two hundred guesses of the id": other_ids,
    "another port": other_port,
    "another address": other_address,
    "another name": sent(lambda asked: lie(asked, question=DNSQuestion("other.example"))),
    "a name below": sent(lambda asked: lie(asked, question=DNSQuestion(f"x.{NAME}"))),
    "another type": sent(lambda asked: lie(asked, question=DNSQuestion(NAME, QTYPE.TXT))),
    "another class": sent(lambda asked: lie(asked, question=DNSQuestion(NAME, 1, CLASS.CH))),
    "no question": sent(lambda asked: DNSRecord(DNSHeader(id=asked.header.id, qr=1)).pack()),
    "a question of its own": sent(lambda asked: lie(asked, qr=0)),
    "truncated, with another id": sent(lambda asked: lie(asked, identity=1, tc=1)),
    "no such name, with another id": sent(lambda asked: lie(asked, identity=1, rcode=RCODE.NXDOMAIN)),
    "a piece of a header": sent(lambda asked: truth(asked)[:7]),
    "a piece of an answer": sent(lambda asked: lie(asked)[:-3]),
    "noise": sent(lambda asked: asked.header.id.to_bytes(2) + b"\xff" * 60),
    "nothing": sent(lambda asked: b""),
}  # fmt: skip


@pytest.mark.parametrize("deceive", LIES.values(), ids=LIES)
def test_the_truth_is_waited_for(deceive):
    def speak(server, asked, client):
        deceive(server, asked, client)
        server.socket.sendto(truth(asked), client)

    with answering(speak) as server:
        answer = asked_of(server, for_address)

    assert answer.records == (TRUE,)


@pytest.mark.parametrize("deceive", LIES.values(), ids=LIES)
def test_where_no_truth_comes_nothing_is_known(deceive):
    with answering(deceive) as server:
        began = time.monotonic()
        answer = asked_of(server, for_address)

    assert answer.failed
    assert answer.records == ()
    assert time.monotonic() - began < 8


def test_neither_ids_nor_ports_can_be_foreseen():
    seen: list[tuple[int, int]] = []

    def speak(server, asked, client):
        seen.append((asked.header.id, client[1]))
        server.socket.sendto(truth(asked), client)

    async def many(resolver):
        for number in range(40):
            await resolver.addresses(f"a{number}.example", "A")

    with answering(speak) as server:
        asked_of(server, many)

    assert len({one[0] for one in seen}) > 35
    assert len({one[1] for one in seen}) > 35
    steps = {later[0] - earlier[0] for earlier, later in itertools.pairwise(seen)}
    assert len(steps) > 35


def beside(**more):
    """Answers as it should, with records that nobody asked for."""

    def speak(server, asked, client):
        name = str(asked.q.qname).removesuffix(".")
        if name == NAME and asked.q.qtype == QTYPE.A:
            made = reply(asked, address(NAME, TRUE), *more.get("records", ()),
                         also=more.get("also", ()), authority=more.get("authority", ()))  # fmt: skip
        else:
            made = reply(asked, address(name, "192.0.2.77"))
        server.socket.sendto(made.pack(), client)

    return speak


STRANGERS = [
    {"records": [address("victim.example", FALSE)]},
    {"also": [address("victim.example", FALSE)]},
    {"also": [address(NAME, FALSE)]},
    {"authority": [address("victim.example", FALSE), address(NAME, FALSE)]},
]


@pytest.mark.parametrize("more", STRANGERS)
def test_records_that_nobody_asked_for_are_neither_used_nor_kept(more):
    async def both(resolver):
        mine = await resolver.addresses(NAME, "A")
        return mine, await resolver.addresses("victim.example", "A")

    with answering(beside(**more)) as server:
        mine, victim = asked_of(server, both)

    assert mine.records == (TRUE,)
    assert victim.records == ("192.0.2.77",)
    assert server.asked == [NAME, "victim.example"]


def only(*records: Callable[[str], RR]):
    def speak(server, asked, client):
        made = [record(str(asked.q.qname)) for record in records]
        server.socket.sendto(reply(asked, *made).pack(), client)

    return speak


@pytest.mark.parametrize(
    "record",
    [
        lambda name: address("victim.example", FALSE),
        lambda name: address(f"www.{name}", FALSE),
        lambda name: address(name.partition(".")[2], FALSE),
        lambda name: RR(name, QTYPE.TXT, rdata=TXT("v=spf1 +all"), ttl=60),
    ],
)
def test_an_answer_about_something_else_is_no_answer(record):
    with answering(only(record)) as server:
        answer = asked_of(server, for_address)

    assert answer.outcome is Outcome.NO_DATA
    assert answer.records == ()


def test_an_alias_lends_its_records_to_the_name_asked_and_to_no_other():
    """Whoever owns one name can point it elsewhere, and say what he likes of what is there."""

    def speak(server, asked, client):
        name = str(asked.q.qname).removesuffix(".")
        if name == "mallory.example":
            made = reply(asked, RR(name, QTYPE.CNAME, rdata=CNAME("victim.example"), ttl=60),
                         address("victim.example", FALSE))  # fmt: skip
        else:
            made = reply(asked, address(name, TRUE))
        server.socket.sendto(made.pack(), client)

    async def both(resolver):
        his = await resolver.addresses("mallory.example", "A")
        return his, await resolver.addresses("victim.example", "A")

    with answering(speak) as server:
        his, victim = asked_of(server, both)

    assert his.records == (FALSE,)
    assert victim.records == (TRUE,)


def test_the_address_that_comes_with_an_mx_is_asked_for_all_the_same():
    def speak(server, asked, client):
        if asked.q.qtype == QTYPE.MX:
            made = reply(asked, RR(NAME, QTYPE.MX, rdata=MX("mx.victim.example", 10), ttl=60),
                         also=[address("mx.victim.example", FALSE)])  # fmt: skip
        else:
            made = reply(asked, address(str(asked.q.qname), TRUE))
        server.socket.sendto(made.pack(), client)

    async def both(resolver):
        (record,) = (await resolver.mx(NAME)).records
        return await resolver.addresses(record.exchange, "A")

    with answering(speak) as server:
        answer = asked_of(server, both)

    assert answer.records == (TRUE,)
    assert server.asked == [NAME, "mx.victim.example"]


@pytest.mark.parametrize(
    "authority",
    [
        [],
        [RR("example", QTYPE.SOA, rdata=SOA("ns.example", "a.example", (1, 1, 1, 1, MONTH)), ttl=MONTH)],
        [RR(".", QTYPE.SOA, rdata=SOA("ns.example", "a.example", (1, 1, 1, 1, 2**31 - 1)), ttl=2**31 - 1)],
    ],
    ids=["no SOA", "a month", "for ever"],
)  # fmt: skip
@pytest.mark.parametrize("rcode", [RCODE.NOERROR, RCODE.NXDOMAIN], ids=["no data", "no name"])
def test_that_there_is_nothing_is_believed_for_fifteen_minutes_at_most(authority, rcode):
    now = [1000.0]

    def speak(server, asked, client):
        made = reply(asked, rcode=rcode, authority=authority)
        server.socket.sendto(made.pack(), client)

    async def later(resolver):
        answer = await for_address(resolver)
        now[0] += 901
        await for_address(resolver)
        return answer

    with answering(speak) as server:
        answer = asked_of(server, later, clock=lambda: now[0])

    assert answer.outcome in (Outcome.NO_DATA, Outcome.NO_NAME)
    assert len(server.asked) == 2


def test_what_there_is_is_believed_for_a_day_at_most():
    now = [1000.0]

    def speak(server, asked, client):
        made = reply(asked, address(NAME, TRUE, ttl=MONTH))
        server.socket.sendto(made.pack(), client)

    async def later(resolver):
        counts = []
        for seconds in (0, 86_399, 2):
            now[0] += seconds
            await for_address(resolver)
            counts.append(len(server.asked))
        return counts

    with answering(speak) as server:
        assert asked_of(server, later, clock=lambda: now[0]) == [1, 1, 2]
