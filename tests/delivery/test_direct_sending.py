"""Direct delivery on the wire: real DNS questions, next hops on several loopback addresses."""

from __future__ import annotations

import socket
from datetime import timedelta

import pytest
from django.utils import timezone

from delivery.direct import Direct, Rules
from delivery.lookups import Limits, Resolver
from delivery.models import Delivery
from delivery.transport.connection import Timeouts
from tests.delivery.conftest import eventually
from tests.delivery.dns_zone import Zone, serve
from tests.delivery.sink import EXTENSIONS, Sink
from tests.ports import free_port

QUEUED, FAILED = Delivery.State.QUEUED, Delivery.State.FAILED
FIRST, SECOND, THIRD = "127.0.0.11", "127.0.0.12", "127.0.0.13"


class World:
    """A zone, and next hops that all listen on one port of different addresses."""

    def __init__(self, start) -> None:
        self.port, self._start, self._sinks = free_port(), start, []
        self.zone = Zone({})
        self.servers: list[tuple[str, int]] | None = None

    def host(self, name: str, address: str, *, up: bool = True, **more) -> Sink:
        self.zone.names[name] = [("A", address)]
        sink = Sink(host=address, port=self.port, **more)
        if up:
            self._sinks.append(sink.start())
        return sink

    def domain(self, name: str, *hosts: str | tuple[int, str]) -> None:
        records = [host if isinstance(host, tuple) else (10, host) for host in hosts]
        self.zone.names[name] = [("MX", record) for record in records]

    def send(self, *, allow_private: bool = True, **more):
        rules = Rules(port=self.port, allow_private=allow_private, own_names=("mxax.test",))
        limits = Limits(seconds_per_lookup=1.0, seconds_per_try=0.4, failure_life=0.2)
        servers = self.servers or [self.zone.address]
        more.setdefault("timeouts", Timeouts(connect=2, greeting=2, command=2, data=2, end=2))
        return self._start(
            self.port, resolver=lambda: Direct(Resolver(servers, limits=limits), rules), **more
        )

    def close(self) -> None:
        for sink in self._sinks:
            sink.stop()


@pytest.fixture
def world(sending):
    one = World(sending)
    with serve(one.zone):
        yield one
        one.close()


def attempted(queue, count: int):
    return lambda: len(queue.events()) >= count


def test_mail_goes_to_the_most_preferred_host(queue, world):
    world.domain("ben.example", (20, "b.mx.example"), (10, "a.mx.example"))
    first, second = world.host("a.mx.example", FIRST), world.host("b.mx.example", SECOND)
    queue.accept("ben@ben.example")

    world.send()

    eventually(queue.is_empty)
    assert (len(first.arrivals), len(second.arrivals)) == (1, 0)
    assert queue.events()[0]["next_hop"] == "a.mx.example"


def test_equal_hosts_share_the_mail(queue, world):
    names = ("a.mx.example", "b.mx.example")
    world.domain("ben.example", *names)
    sinks = [world.host(name, to) for name, to in zip(names, (FIRST, SECOND), strict=True)]
    for sink in sinks:
        sink.close_when_idle = True  # so that each message asks for a connection
    for _ in range(40):
        queue.accept("ben@ben.example")

    world.send()

    eventually(queue.is_empty)
    assert all(len(sink.arrivals) > 5 for sink in sinks)


def test_a_host_that_is_away_is_passed_by_in_the_same_attempt(queue, world):
    world.domain("ben.example", (10, "a.mx.example"), (20, "b.mx.example"))
    world.host("a.mx.example", FIRST, up=False)
    second = world.host("b.mx.example", SECOND)
    for _ in range(10):
        queue.accept("ben@ben.example")

    world.send()

    eventually(queue.is_empty)
    assert len(second.arrivals) == 10
    assert {event["attempt"] for event in queue.events()} == {1}


@pytest.mark.parametrize("stage", ["greeting", "MAIL", "RCPT", "DOT"])
def test_a_host_that_says_421_is_passed_by_in_the_same_attempt(queue, world, stage):
    world.domain("ben.example", (10, "a.mx.example"), (20, "b.mx.example"))
    first, second = world.host("a.mx.example", FIRST), world.host("b.mx.example", SECOND)
    if stage == "greeting":
        first.greeting = "421 4.3.2 too busy"
    else:
        first.script[stage] = ["421 4.3.2 too busy"]
    queue.accept("ben@ben.example")

    world.send()

    eventually(queue.is_empty)
    assert (len(first.arrivals), len(second.arrivals)) == (0, 1)


def test_a_refusal_of_the_first_host_is_final_and_not_asked_of_the_second(queue, world):
    world.domain("ben.example", (10, "a.mx.example"), (20, "b.mx.example"))
    first, second = world.host("a.mx.example", FIRST), world.host("b.mx.example", SECOND)
    first.script["RCPT"] = ["550 5.1.1 no such user"]
    queue.accept("ben@ben.example")

    world.send()
    eventually(attempted(queue, 1))

    assert queue.deliveries()[0].state == FAILED
    assert second.connections == 0


def test_when_all_hosts_are_away_the_set_rests(queue, world):
    names = ("a.mx.example", "b.mx.example")
    world.domain("ben.example", *names)
    for name, address in zip(names, (FIRST, SECOND), strict=True):
        world.host(name, address, up=False)
    queue.accept("ben@ben.example")
    loop = world.send().loop
    eventually(attempted(queue, 1))
    third = world.host("c.mx.example", THIRD)
    world.domain("eve.example", "c.mx.example")

    queue.accept("ben@ben.example", "eve@eve.example")
    loop.wake()
    eventually(attempted(queue, 3))

    assert len(third.arrivals) == 1
    replies = [one.last_reply for one in queue.deliveries()]
    assert "refused" in replies[0]
    assert replies[1].startswith("the next hop rests")
    wait = queue.deliveries()[1].next_attempt_at - timezone.now()
    assert timedelta(minutes=4) < wait < timedelta(minutes=6)


def test_several_addresses_of_a_host_are_tried(queue, world):
    world.domain("ben.example", "a.mx.example")
    sink = world.host("a.mx.example", SECOND)
    world.zone.names["a.mx.example"] = [("A", FIRST), ("A", SECOND), ("AAAA", "::1")]
    queue.accept("ben@ben.example")

    world.send()

    eventually(queue.is_empty)
    assert len(sink.arrivals) == 1


def test_an_mx_that_is_an_alias_is_followed(queue, world):
    """RFC 5321, 5.1 forbids it, and many have it."""
    world.domain("ben.example", "alias.example")
    sink = world.host("real.example", FIRST)
    world.zone.names["alias.example"] = [("CNAME", "real.example")]
    queue.accept("ben@ben.example")

    world.send()

    eventually(queue.is_empty)
    assert len(sink.arrivals) == 1


def test_a_domain_without_mx_records_is_its_own_host(queue, world):
    sink = world.host("ben.example", FIRST)
    queue.accept("ben@ben.example")

    world.send()

    eventually(queue.is_empty)
    assert len(sink.arrivals) == 1


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        ([("MX", (0, ""))], "5.1.10"),
        (None, "5.1.2"),
        ([("TXT", "only this")], "5.4.4"),
        ([("MX", (10, "inside.example"))], "5.4.4"),
        ([("A", "127.0.0.1")], "5.4.4"),
        ([("A", "169.254.169.254")], "5.4.4"),
        ([("MX", (10, "mxax.test"))], "5.4.6"),
    ],
)
def test_what_dns_forbids_fails_without_a_connection(queue, world, records, reason):
    inside = world.host("inside.example", "127.0.0.1")
    world.zone.names.pop("ben.example", None)
    if records is not None:
        world.zone.names["ben.example"] = records
    queue.accept("ben@ben.example")

    world.send(allow_private=False)
    eventually(attempted(queue, 1))

    assert queue.deliveries()[0].state == FAILED
    assert queue.events()[0]["reason"] == reason
    assert inside.connections == 0


def test_while_no_resolver_answers_mail_waits_and_nothing_fails(queue, world):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))  # takes questions and never answers
        world.servers = [silent.getsockname()]
        for number in range(20):
            queue.accept(f"ben@d{number}.example")

        world.send()
        eventually(attempted(queue, 20))

    assert {one.state for one in queue.deliveries()} == {QUEUED}
    assert {event["reason"] for event in queue.events()} == {"4.4.3"}


def test_servfail_defers(queue, world):
    world.zone.names["ben.example"] = ["FAIL"]
    queue.accept("ben@ben.example")

    world.send()
    eventually(attempted(queue, 1))

    assert queue.deliveries()[0].state == QUEUED


WITHOUT_SMTPUTF8 = tuple(one for one in EXTENSIONS if one != "SMTPUTF8")
PLAIN = ("PIPELINING", "SIZE 10485760")


@pytest.mark.parametrize(
    ("lacks", "mail", "reason"),
    [
        (WITHOUT_SMTPUTF8, {"destination": "bén@ben.example", "smtputf8": True}, "5.6.7"),
        (PLAIN, {"body": b"\xc3\xa9\r\n"}, "5.6.3"),
        (("SIZE 100",), {"body": b"x" * 900 + b"\r\n"}, "5.3.4"),
    ],
)
def test_what_one_host_cannot_take_goes_to_another_of_the_set(queue, world, lacks, mail, reason):
    destination = (
        mail.pop("destination", "ben@ben.example") if "destination" in mail else "ben@ben.example"
    )
    world.domain("ben.example", (10, "a.mx.example"), (20, "b.mx.example"))
    first = world.host("a.mx.example", FIRST, extensions=lacks)
    second = world.host("b.mx.example", SECOND)
    queue.accept(destination, **mail)

    world.send()

    eventually(queue.is_empty)
    assert (len(first.arrivals), len(second.arrivals)) == (0, 1)
    assert second.arrivals[0].recipient == destination


@pytest.mark.parametrize(
    ("lacks", "mail", "reason"),
    [
        (WITHOUT_SMTPUTF8, {"destination": "bén@ben.example", "smtputf8": True}, "5.6.7"),
        (PLAIN, {"body": b"\xc3\xa9\r\n"}, "5.6.3"),
    ],
)
def test_what_no_host_of_the_set_can_take_fails(queue, world, lacks, mail, reason):
    destination = mail.get("destination", "ben@ben.example")
    more = {key: value for key, value in mail.items() if key != "destination"}
    world.domain("ben.example", (10, "a.mx.example"), (20, "b.mx.example"))
    sinks = [
        world.host("a.mx.example", FIRST, extensions=lacks),
        world.host("b.mx.example", SECOND, extensions=lacks),
    ]
    queue.accept(destination, **more)

    world.send()
    eventually(attempted(queue, 1))

    assert queue.deliveries()[0].state == FAILED
    assert queue.events()[0]["reason"] == reason
    assert all(sink.connections for sink in sinks)
    assert not any(c.startswith("MAIL") for sink in sinks for _, c in sink.commands)


def test_a_host_that_might_take_it_but_is_away_is_waited_for(queue, world):
    world.domain("ben.example", (10, "a.mx.example"), (20, "b.mx.example"))
    world.host("a.mx.example", FIRST, extensions=WITHOUT_SMTPUTF8)
    world.host("b.mx.example", SECOND, up=False)
    queue.accept("bén@ben.example", smtputf8=True)

    world.send()
    eventually(attempted(queue, 1))

    assert queue.deliveries()[0].state == QUEUED


def test_domains_of_one_provider_share_its_twenty_connections(queue, world):
    world.host("a.mx.example", FIRST)
    second = world.host("b.mx.example", SECOND)
    first = world._sinks[0]
    for sink in (first, second):
        sink.answer_delay = 0.05
    for number in range(60):
        world.domain(f"d{number}.example", "a.mx.example", "b.mx.example")
        queue.accept(f"ben@d{number}.example", f"eve@d{number}.example")

    world.send()

    eventually(queue.is_empty)
    assert len(first.arrivals) + len(second.arrivals) == 120
    assert first.most_open + second.most_open <= 20


def test_a_host_that_says_451_for_a_while_gets_everything_at_last(queue, world):
    """A11, reduced: few connections however much waits, and each message on its own schedule."""
    world.domain("ben.example", "a.mx.example")
    sink = world.host("a.mx.example", FIRST)
    sink.script["RCPT"] = ["451 4.7.1 come back later"] * 300
    for _ in range(150):
        queue.accept("ben@ben.example")
    loop = world.send().loop
    for round_ in (1, 2):
        eventually(attempted(queue, 150 * round_))
        waits = [one.next_attempt_at - timezone.now() for one in queue.deliveries()]
        minutes = 5 if round_ == 1 else 15
        assert all(minutes * 0.85 < wait / timedelta(minutes=1) < minutes * 1.15 for wait in waits)
        queue.make_due()
        loop.wake()

    eventually(queue.is_empty)
    assert len(sink.arrivals) == 150
    assert sink.most_open <= 20


def test_addresses_that_have_moved_are_followed(queue, world):
    world.domain("ben.example", "a.mx.example")
    world.zone.ttl = 1
    first = world.host("a.mx.example", FIRST)
    first.close_when_idle = True
    queue.accept("ben@ben.example")
    loop = world.send().loop
    eventually(queue.is_empty)

    second = world.host("a.mx.example", SECOND)
    import time

    time.sleep(1.1)
    queue.accept("ben@ben.example")
    loop.wake()

    eventually(queue.is_empty)
    assert (len(first.arrivals), len(second.arrivals)) == (1, 1)
