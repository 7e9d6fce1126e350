"""C3, C4: loops over systems outside, and forged senders, make us send next to nothing.

In a loop the system outside adds a Received field like any other and sends each copy on to our
address again, with the reverse-path that it got. At the end it does what it must: it returns what
we refuse.
"""

from __future__ import annotations

import random
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.delivery.dns_zone import Zone, serve
from tests.delivery.sink import Arrival, Sink
from tests.installation import Installation, installed

pytestmark = [pytest.mark.journey, pytest.mark.slow]

BOUNCE = Path(__file__).parents[1] / "fixtures" / "bounces" / "postfix.eml"
OUR_MARK = re.compile(rb"^X-Mxax-Route:.*\r\n(?:[ \t].*\r\n)*", re.IGNORECASE | re.MULTILINE)
HOP = b"Received: from mx.mxax.test by outside.example; Sun, 22 Nov 2026 08:00:00 +0000\r\n"
ROUNDS = 30
FORGED, A_SESSION, VICTIMS = 1_000, 8, 40
SPAM = b"From: victim@victim.example\r\nSubject: buy\r\n\r\nnow\r\n"


@pytest.fixture(scope="module")
def outside():
    one = Sink().start()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def service(tmp_path_factory, outside):
    """Carol's domain lets us use its addresses; half of the victims' forbid it, half say nothing."""
    names = {f"author{n}.example": [("TXT", ["v=spf1 ip4:127.0.0.1 -all"])] for n in range(2)}
    nobody = [("TXT", ["v=spf1 -all"])]
    names |= {f"victim{n}.example": nobody if n % 2 else [] for n in range(VICTIMS)}
    with serve(Zone(names)) as zone:
        host, port = zone.address
        extra = {
            "MXAX_DNS_SERVERS": f"{host}:{port}",
            "MXAX_SMARTHOST": f"127.0.0.1:{outside.port}",
        }
        with installed(tmp_path_factory.mktemp("service"), **extra) as running:
            yield running


def rest(service: Installation) -> None:
    def is_empty() -> bool:
        now = service.manage_json("queue", "status")
        return now["queued"] + now["in_flight"] + now["deferred"] == 0

    service.wait_for(is_empty, 60, "the queue to be empty")


class Looping:
    """The system outside, for one address of ours."""

    def __init__(self, service: Installation, outside: Sink, name: str, *, strips: bool) -> None:
        self.service, self.outside, self.strips = service, outside, strips
        self.ours, self.theirs = f"hi@{name}.example", f"round@{name}-outside.example"
        service.tenant(name, f"{name}.example", (self.ours, self.theirs))
        self.refusal = ""

    def copies(self) -> list[Arrival]:
        return [one for one in list(self.outside.arrivals) if one.recipient == self.theirs]

    def told(self, author: str) -> list[Arrival]:
        return [one for one in list(self.outside.arrivals) if one.recipient == author]

    def go_round(self, author: str) -> None:
        """Until it is refused or has gone round often enough."""
        self.service.send(self.ours, reverse_path=author)
        for number in range(1, ROUNDS + 1):
            self.service.wait_for(lambda n=number: len(self.copies()) >= n, 20, f"copy {number}")
            if self.refused(self.copies()[-1]):
                return

    def refused(self, copy: Arrival) -> bool:
        """Send a copy back to us."""
        octets = OUR_MARK.sub(b"", copy.octets) if self.strips else copy.octets
        code, text = self.offer(HOP + octets, self.ours, path_of(copy))
        self.refusal = f"{code} {text}" if code != 250 else ""
        return code != 250

    def returns(self, copy: Arrival) -> tuple[int, str]:
        """The return that it makes of a refused copy, as it had come from us."""
        octets = BOUNCE.read_bytes().replace(b"kim@corp.example", self.theirs.encode())
        start, end = octets.index(b"Return-Path:"), octets.index(b"\r\n--B1--")
        return self.offer(octets[:start] + copy.octets + octets[end:], path_of(copy), "")

    def offer(self, octets: bytes, recipient: str, reverse_path: str) -> tuple[int, str]:
        with self.service.smtp() as client:
            client.ehlo()
            client.mail(reverse_path)
            code, text = client.rcpt(recipient)
            if code == 250:
                code, text = client.data(octets)
            return code, text.decode()


def path_of(copy: Arrival) -> str:
    return copy.mail.removeprefix("MAIL FROM:<").partition(">")[0]


def test_mail_sent_back_thirty_times_is_refused_thirty_times_and_told_once(service, outside):
    loop = Looping(service, outside, "quin", strips=False)

    loop.go_round("carol@author0.example")
    refusals = [loop.refusal]
    for _ in range(ROUNDS - 1):
        assert loop.refused(loop.copies()[0])
        refusals.append(loop.refusal)
        assert loop.returns(loop.copies()[0])[0] == 250
    rest(service)

    # Twelve returns in a day pause a route, as soon as its counters are looked at: then it is shut.
    assert [text[:9] for text in refusals[:12]] == ["554 5.4.6"] * 12
    assert {text[:9] for text in refusals[12:]} <= {"554 5.4.6", "550 5.1.1"}
    assert len(refusals) == ROUNDS
    assert len(loop.copies()) == 1
    assert len(loop.told("carol@author0.example")) == 1


def test_a_system_that_strips_our_mark_is_stopped_by_the_hops(service, outside):
    """What it returns of later rounds proves nothing: they came with an address of ours, not his."""
    loop = Looping(service, outside, "rosa", strips=True)

    loop.go_round("carol@author1.example")
    copies = loop.copies()
    for copy in reversed(copies):
        assert loop.returns(copy)[0] == 250
    rest(service)

    assert loop.refusal.startswith("554 5.4.6")
    assert len(loop.copies()) == len(copies) <= 50
    assert len(loop.told("carol@author1.example")) == 1
    assert {one.recipient for one in outside.arrivals} <= {
        *(f"round@{name}-outside.example" for name in ("quin", "rosa")),
        *(f"carol@author{number}.example" for number in range(2)),
    }


def forge(service: Installation, numbers: range, recipient: str) -> list[tuple[int, str]]:
    """One session with so many transactions; the replies that decided."""
    heard = []
    with service.smtp() as client:
        client.ehlo()
        for number in numbers:
            client.mail(f"someone{number}@victim{number % VICTIMS}.example")
            code, text = client.rcpt(recipient.format(number))
            if code == 250:
                code, text = client.data(SPAM)
            heard.append((code, text.decode()))
            client.rset()
    return heard


def flood(service: Installation, count: int, recipient: str) -> list[tuple[int, str]]:
    sessions = [range(at, min(at + A_SESSION, count)) for at in range(0, count, A_SESSION)]
    random.Random(1).shuffle(sessions)
    with ThreadPoolExecutor(10) as pool:
        heard = pool.map(lambda numbers: forge(service, numbers, recipient), sessions)
        return [one for some in heard for one in some]


def test_unknown_users_are_refused_at_rcpt_and_nobody_hears_of_it(service, outside):
    service.tenant("uma", "uma.example", ("hi@uma.example", "uma@far.example"))
    before = len(outside.arrivals)

    heard = flood(service, FORGED, "nobody{}@uma.example")

    assert len(heard) == FORGED
    assert {(code, text[:5]) for code, text in heard} == {(550, "5.1.1")}
    rest(service)
    assert len(outside.arrivals) == before


def test_what_a_next_hop_refuses_is_not_told_to_forged_senders(service, outside):
    """The user is unknown behind us: we took the mail, and keep the failure to ourselves."""
    # Ten failures each: two more would pause a route, and its owner would be told.
    routes = [f"gone{number}@vera.example" for number in range(10)]
    service.tenant("vera", "vera.example", *((route, "gone@far.example") for route in routes))
    outside.script["RCPT gone@far.example"] = ["550 5.1.1 unknown"] * 100
    before = len(outside.arrivals)
    failed = service.manage_json("queue", "status")["failed"]

    heard = [answer for route in routes for answer in flood(service, 10, route)]
    rest(service)

    assert {code for code, _ in heard} == {250}
    assert service.manage_json("queue", "status")["failed"] == failed + 100
    assert len(outside.arrivals) == before
