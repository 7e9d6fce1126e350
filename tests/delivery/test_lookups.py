"""DNS look-ups: outcomes as values, kept as long as they are good, never more than is allowed."""

from __future__ import annotations

import asyncio
import socket
import threading
import time

import pytest
from dnslib import QTYPE, RR, A, DNSHeader, DNSQuestion, DNSRecord

from delivery.lookups import Limits, MxRecord, Outcome, Resolver
from delivery.lookups.cache import TimedCache
from tests.delivery.dns_zone import Zone, serve


class Clock:
    """A clock that moves when told."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def ask(zone, question, *, clock=None):
    """What a coroutine of a resolver over this zone comes to."""

    async def run():
        extra = {"clock": clock} if clock else {}
        return await question(Resolver([zone.address], **extra))

    with serve(zone):
        return asyncio.run(run())


def test_mx_records_come_in_order_and_lower_case():
    zone = Zone({"a.example": [("MX", (20, "Second.Example")), ("MX", (10, "first.example"))]})

    answer = ask(zone, lambda resolver: resolver.mx("A.Example."))

    assert answer.outcome is Outcome.FOUND
    assert answer.records == (MxRecord(10, "first.example"), MxRecord(20, "second.example"))


def test_the_null_mx_has_an_empty_exchange():
    zone = Zone({"a.example": [("MX", (0, ""))]})

    assert ask(zone, lambda resolver: resolver.mx("a.example")).records == (MxRecord(0, ""),)


def test_addresses_of_both_families_texts_and_pointers():
    zone = Zone({
        "a.example": [("A", "192.0.2.1"), ("AAAA", "2001:db8::1"), ("TXT", ["one ", "text"])],
        "1.2.0.192.in-addr.arpa": [("PTR", "A.Example")],
    })  # fmt: skip

    async def all_kinds(resolver):
        return [
            (await resolver.addresses("a.example", "A")).records,
            (await resolver.addresses("a.example", "AAAA")).records,
            (await resolver.txt("a.example")).records,
            (await resolver.ptr("1.2.0.192.in-addr.arpa")).records,
        ]

    assert ask(zone, all_kinds) == [
        ("192.0.2.1",),
        ("2001:db8::1",),
        (b"one text",),
        ("a.example",),
    ]


@pytest.mark.parametrize(
    ("name", "outcome"),
    [("a.example", Outcome.NO_DATA), ("missing.example", Outcome.NO_NAME), ("broken.example", Outcome.FAILURE),
     ("a..example", Outcome.NO_NAME), ("x" * 64 + ".example", Outcome.NO_NAME), ("", Outcome.NO_NAME),
     ("münchen.example", Outcome.NO_NAME), (".".join(["a" * 60] * 5), Outcome.NO_NAME)],
)  # fmt: skip
def test_what_is_not_there_is_told_apart(name, outcome):
    zone = Zone({"a.example": [("A", "192.0.2.1")], "broken.example": ["FAIL"]})

    answer = ask(zone, lambda resolver: resolver.mx(name))

    assert answer.outcome is outcome
    assert answer.records == ()


def test_a_cname_is_followed_to_its_end():
    zone = Zone({"a.example": [("CNAME", "b.example")], "b.example": [("A", "192.0.2.7")]})

    answer = ask(zone, lambda resolver: resolver.addresses("a.example", "A"))

    assert (answer.records, answer.canonical_name) == (("192.0.2.7",), "b.example")


def test_a_loop_of_cnames_is_a_failure():
    zone = Zone({"a.example": [("CNAME", "b.example")], "b.example": [("CNAME", "a.example")]})

    assert ask(zone, lambda resolver: resolver.mx("a.example")).failed


def test_answers_live_as_long_as_their_ttl():
    zone, clock = Zone({"a.example": [("A", "192.0.2.1")]}, ttl=300), Clock()

    async def thrice(resolver):
        await resolver.addresses("a.example", "A")
        clock.now += 299
        await resolver.addresses("a.example", "A")
        within = len(zone.asked)
        clock.now += 2
        await resolver.addresses("a.example", "A")
        return within, len(zone.asked)

    assert ask(zone, thrice, clock=clock) == (1, 2)


def test_negative_answers_live_fifteen_minutes_at_most():
    zone, clock = Zone({"a.example": []}, negative_ttl=86_400), Clock()

    async def times_asked(resolver):
        counts = []
        for seconds in (0, 899, 2):
            clock.now += seconds
            await resolver.mx("a.example")
            await resolver.mx("missing.example")
            counts.append(len(zone.asked))
        return counts

    assert ask(zone, times_asked, clock=clock) == [2, 2, 4]


def test_a_failure_is_remembered_for_a_moment_only():
    zone, clock = Zone({"broken.example": ["FAIL"]}), Clock()

    async def times_asked(resolver):
        await resolver.mx("broken.example")
        first = len(zone.asked)
        clock.now += 14
        await resolver.mx("broken.example")
        second = len(zone.asked)
        clock.now += 2
        zone.names["broken.example"] = [("MX", (1, "mx.example"))]
        return first == second, await resolver.mx("broken.example")

    remembered, answer = ask(zone, times_asked, clock=clock)

    assert remembered
    assert answer.outcome is Outcome.FOUND


def test_many_who_ask_the_same_share_one_question():
    zone = Zone({"a.example": [("A", "192.0.2.1")]})

    async def many(resolver):
        return await asyncio.gather(*(resolver.addresses("a.example", "A") for _ in range(50)))

    answers = ask(zone, many)

    assert {answer.records for answer in answers} == {("192.0.2.1",)}
    assert len(zone.asked) == 1


def test_one_who_gives_up_does_not_take_the_answer_from_others():
    zone = Zone({"a.example": [("A", "192.0.2.1")]})

    async def one_cancelled(resolver):
        first = asyncio.ensure_future(resolver.addresses("a.example", "A"))
        second = asyncio.ensure_future(resolver.addresses("a.example", "A"))
        await asyncio.sleep(0)
        first.cancel()
        return await second

    assert ask(zone, one_cancelled).records == ("192.0.2.1",)


def test_no_more_questions_are_open_than_allowed():
    async def most_open():
        resolver, open_now, most = Resolver([("127.0.0.1", 9)], limits=Limits(concurrent=5)), 0, 0

        async def slow(name, kind):
            nonlocal open_now, most
            open_now += 1
            most = max(most, open_now)
            await asyncio.sleep(0.01)
            open_now -= 1
            raise OSError

        resolver._dns.resolve = lambda name, kind, **_: slow(name, kind)
        await asyncio.gather(*(resolver.mx(f"a{n}.example") for n in range(40)))
        return most

    assert asyncio.run(most_open()) == 5


def test_a_long_answer_comes_over_tcp():
    zone = Zone({"a.example": [("TXT", ["x" * 250] * 40)]})

    assert len(ask(zone, lambda resolver: resolver.txt("a.example")).records[0]) == 10_000


@pytest.mark.parametrize(
    "records",
    [
        [("TXT", ["x" * 250] * 120)],
        [("TXT", [str(number)]) for number in range(1500)],
        [("A", f"192.0.{number // 256}.{number % 256}") for number in range(1500)],
    ],
)
def test_an_answer_that_takes_long_to_read_is_none(records):
    """Sixty-six keys of a message, 64 KiB each, would hold the event loop for ten seconds."""
    zone = Zone({"a.example": records})

    kind = records[0][0]

    def asked(resolver):
        return resolver.txt("a.example") if kind == "TXT" else resolver.addresses("a.example", "A")

    assert ask(zone, asked).failed


def test_an_answer_as_long_as_people_publish_is_read():
    zone = Zone({"a.example": [("TXT", [f"verification={'x' * 60}-{n}"]) for n in range(130)]})

    assert len(ask(zone, lambda resolver: resolver.txt("a.example")).records) == 130


class Liar(threading.Thread):
    """Answers another question, then with another id, each time before the truth."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.address = self.socket.getsockname()

    def run(self):
        while True:
            try:
                octets, client = self.socket.recvfrom(4096)
            except OSError:
                return
            question = DNSRecord.parse(octets)
            asked = question.q.qname
            for identity, about, ip in (
                (question.header.id, "other.example", "203.0.113.1"),
                (question.header.id ^ 1, asked, "203.0.113.2"),
                (question.header.id, asked, "192.0.2.1"),
            ):
                lie = DNSRecord(DNSHeader(id=identity, qr=1, ra=1), q=DNSQuestion(about))
                lie.add_answer(RR(asked, QTYPE.A, rdata=A(ip), ttl=60))
                lie.add_ar(RR("bank.example", QTYPE.A, rdata=A("203.0.113.9"), ttl=60))
                self.socket.sendto(lie.pack(), client)


def test_answers_to_other_questions_are_not_believed():
    liar = Liar()
    liar.start()

    async def both():
        resolver = Resolver([liar.address], limits=Limits(seconds_per_lookup=3, seconds_per_try=1))
        return await resolver.addresses("a.example", "A"), resolver._cache.get(
            ("bank.example", "A")
        )

    answer, poisoned = asyncio.run(both())
    liar.socket.close()

    assert answer.records == ("192.0.2.1",)
    assert poisoned is None


def test_the_cache_stays_within_its_bounds():
    cache = TimedCache(max_entries=3, max_octets=100, clock=Clock())

    for number in range(5):
        cache.put(number, number, seconds=60, octets=10)
    cache.get(2)
    cache.put(9, 9, seconds=60, octets=75)

    assert [cache.get(key) for key in (0, 1, 2, 3, 4, 9)] == [None, None, 2, None, 4, 9]
    cache.put(10, 10, seconds=60, octets=101)
    assert cache.get(10) is None


def test_a_lookup_that_is_too_slow_fails_within_its_limit():
    async def one():
        resolver = Resolver(
            [("127.0.0.1", 9)], limits=Limits(seconds_per_lookup=0.5, seconds_per_try=0.2)
        )
        return await resolver.txt("a.example")

    started = time.monotonic()
    answer = asyncio.run(one())

    assert answer.failed
    assert time.monotonic() - started < 8
