"""SPF is asked beside the dialog: it decides who may be told later, and never what we answer."""

import asyncio
import time

import pytest

from delivery.lookups import Answer, Limits, Outcome, Resolver
from delivery.spf import SpfChecker
from mail.envelope import Client, Envelope
from mail.plan import Direction
from mail.srs import encode_srs
from mail.trace import new_trace_id
from smtp_edge.authenticity import SpfAuthenticity
from tests.delivery.dns_zone import Zone, serve
from tests.smtp_edge.listening import SRS_SECRET
from tests.smtp_edge.test_recipients import TODAY

ZONE = {
    "author.example": [("TXT", ["v=spf1 ip4:192.0.2.7 -all"])],
    "loose.example": [("TXT", ["v=spf1 ?all"])],
    "error.example": ["FAIL"],
}


def envelope(reverse_path: str, ip: str = "192.0.2.7") -> Envelope:
    return Envelope(
        new_trace_id(0, bytes(10)), Client(ip, 25, "mta.example", "ESMTP"), reverse_path
    )


def authenticity(lookup, **options) -> SpfAuthenticity:
    return SpfAuthenticity(SpfChecker(lookup, max_seconds=5.0), **options)


@pytest.mark.parametrize(
    ("reverse_path", "ip", "expected"),
    [
        ("carol@author.example", "192.0.2.7", True),
        ("carol@author.example", "192.0.2.8", False),
        ("carol@loose.example", "192.0.2.7", False),
        ("carol@nothing.example", "192.0.2.7", False),
        ("carol@error.example", "192.0.2.7", False),
    ],
)
def test_only_a_pass_makes_a_reverse_path_authentic(reverse_path, ip, expected):
    async def ask(zone):
        checks = authenticity(Resolver([zone.address]))
        passed = await checks.check(envelope(reverse_path, ip)).passed()
        checks.close()
        return passed

    with serve(Zone(ZONE)) as zone:
        assert asyncio.run(ask(zone)) is expected


def test_clients_of_one_mind_share_one_check_and_its_verdict():
    async def ask(zone):
        checks = authenticity(Resolver([zone.address]))
        begun = [checks.check(envelope(f"u{n}@author.example")) for n in range(50)]
        first = [await check.passed() for check in begun]
        asked = len(zone.asked)
        later = await checks.check(envelope("carol@author.example")).passed()
        checks.close()
        return first, later, asked == len(zone.asked) == 1

    with serve(Zone(ZONE)) as zone:
        first, later, once = asyncio.run(ask(zone))

    assert all(first)
    assert later
    assert once


class Silence:
    """DNS that never answers, until it does."""

    def __init__(self) -> None:
        self.answers = False
        self.asked = 0

    async def txt(self, name):
        self.asked += 1
        if self.answers:
            return Answer(Outcome.FOUND, (b"v=spf1 ip4:192.0.2.7 -all",), name)
        await asyncio.sleep(0.3)
        return Answer(Outcome.FAILURE)

    async def mx(self, name): ...
    async def ptr(self, name): ...
    async def addresses(self, name, family): ...


def test_silent_dns_is_waited_for_a_few_times_only_and_found_again():
    async def ask():
        dns = Silence()
        checks = authenticity(dns)
        for n in range(3):
            assert not await checks.check(envelope(f"carol@a{n}.example")).passed()

        began = time.monotonic()
        for n in range(200):
            assert not await checks.check(envelope(f"carol@b{n}.example")).passed()
        spent = time.monotonic() - began

        dns.answers = True
        await asyncio.sleep(0.4)
        await checks.check(envelope("carol@c.example")).passed()
        await asyncio.sleep(0.1)
        found = await checks.check(envelope("carol@d.example")).passed()
        checks.close()
        return spent, dns.asked, found

    spent, asked, found = asyncio.run(ask())

    assert spent < 0.2
    assert asked <= 3 + 2 + 2
    assert found


def test_twenty_clients_wait_a_second_for_silent_dns_and_the_rest_not_at_all():
    async def ask():
        dns = Silence()
        dns.txt = lambda name: asyncio.sleep(30)
        checks = authenticity(dns)
        mail = envelope("carol@author.example")
        began = time.monotonic()
        first = [checks.check(mail).passed() for _ in range(20)]
        assert not any(await asyncio.gather(*first))
        for _ in range(500):
            assert not await checks.check(mail).passed()
        spent = time.monotonic() - began
        checks.close()
        return spent

    assert asyncio.run(ask()) < 1.5


def test_a_slow_answer_delays_nobody_for_more_than_a_second():
    async def ask():
        dns = Silence()
        dns.txt = lambda name: asyncio.sleep(30)
        checks = authenticity(dns)
        began = time.monotonic()
        passed = await checks.check(envelope("carol@author.example")).passed()
        spent = time.monotonic() - began
        checks.close()
        return passed, spent

    passed, spent = asyncio.run(ask())

    assert not passed
    assert 0.9 < spent < 2


def test_a_dead_resolver_refuses_nothing():
    async def ask():
        limits = Limits(seconds_per_lookup=0.3, seconds_per_try=0.2)
        checks = authenticity(Resolver([("127.0.0.1", 9)], limits=limits))
        passed = await checks.check(envelope("carol@author.example")).passed()
        checks.close()
        return passed

    assert asyncio.run(ask()) is False


@pytest.mark.parametrize("authentic", [True, False])
def test_the_verdict_is_kept_with_the_message(mx, letter, authentic):
    mx.world.authentic = frozenset({"bob@sender.example"} if authentic else ())
    client = mx.connect()

    assert client.deliver(letter, "hi@example.org").startswith("250")

    assert mx.world.kept[0].plan.authenticated is authentic


def test_one_transaction_asks_once_and_only_for_mail_that_is_forwarded(mx, letter):
    client = mx.connect()

    client.mail("bob@sender.example", "nobody@example.org", "hi@example.org", "team@example.org")
    client.data(letter)
    client.mail("bob@sender.example", "nobody@example.org")
    client.say("RSET")
    client.deliver(letter, "hi@example.org", "")

    assert mx.world.checked == ["bob@sender.example"]


def test_returns_and_null_reverse_paths_are_never_authentic(mx, letter):
    mx.world.authentic = frozenset({"", "daemon@there.example"})
    srs = encode_srs(
        "bob@sender.example", secrets=(SRS_SECRET,), today=TODAY, domain="fwd.mxax.test"
    )
    client = mx.connect()

    client.deliver(letter, srs, "")
    client.deliver(b"Auto-Submitted: auto-replied\r\n" + letter, srs, "daemon@there.example")

    assert [one.plan.direction for one in mx.world.kept] == [Direction.RETURN] * 2
    assert not any(one.plan.authenticated for one in mx.world.kept)
    assert mx.world.checked == []
