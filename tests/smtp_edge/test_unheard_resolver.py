"""A machine whose resolver never answered takes mail unjudged, until somebody answers (E17)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from dnslib import DNSError

from delivery.lookups import Limits as LookupLimits
from delivery.lookups import Resolver
from smtp_edge.verification import DnsVerifier
from tests.delivery.dns_zone import Zone, serve
from tests.smtp_edge.listening import Mx, World, hosted, listening, route

NAMES = {
    "strict.example": [("TXT", ["v=spf1 -all"])],
    "_dmarc.strict.example": [("TXT", ["v=DMARC1; p=reject"])],
}
FORGED = b"From: boss@strict.example\r\nSubject: x\r\n\r\nPay me.\r\n"


class Mute(Zone):
    """Says nothing while `is_mute`."""

    is_mute = True

    def resolve(self, request, handler):
        if self.is_mute:
            raise DNSError("no answer")  # the server swallows it
        return super().resolve(request, handler)


class Verifying(World):
    """With real look-ups; `expected`: the operator named the servers."""

    def __init__(self, zone: Zone, *, expected: bool) -> None:
        super().__init__()
        self.host(hosted("example.org", route(1, "hi", "friend@there.example")))
        self._zone, self._expected = zone, expected
        self._verifier: DnsVerifier | None = None

    def begin(self, envelope):
        if self._verifier is None:
            limits = LookupLimits(seconds_per_lookup=1.0, seconds_per_try=0.5, failure_life=0.2)
            resolver = Resolver([self._zone.address], limits=limits)
            self._verifier = DnsVerifier(resolver, receiver="mxax.test", expected=self._expected)
        return self._verifier.begin(envelope)


@contextmanager
def silence(*, expected: bool) -> Iterator[tuple[Mx, Mute]]:
    with serve(Mute(NAMES)) as zone, listening(Verifying(zone, expected=expected)) as mx:
        yield mx, zone


def offer(mx: Mx, reverse_path: str = "x@strict.example") -> tuple[str, float]:
    client = mx.connect()
    began = time.monotonic()
    reply = client.deliver(FORGED, "hi@example.org", reverse_path)
    client.close()
    return reply, time.monotonic() - began


def test_nobody_ever_answered_so_mail_is_taken_and_soon_without_waiting():
    with silence(expected=False) as (mx, _):
        offered = [offer(mx, f"x{n}@strict.example") for n in range(9)]

        assert [reply[:3] for reply, _ in offered] == ["250"] * 9
        assert len(mx.world.kept) == 9
        assert all(one.plan.our_fields == "" and one.plan.chain is None for one in mx.world.kept)
        assert offered[0][1] < 10
        assert min(took for _, took in offered[4:]) < 0.7, offered


def test_once_somebody_answers_mail_is_judged():
    with silence(expected=False) as (mx, zone):
        assert offer(mx)[0].startswith("250")
        zone.is_mute = False
        deadline = time.monotonic() + 60
        while (reply := offer(mx)[0]).startswith(("250", "451")):
            assert time.monotonic() < deadline
            time.sleep(0.3)

        assert reply.startswith("550 5.7.26 ")


def test_from_then_on_silence_is_an_outage():
    with silence(expected=False) as (mx, zone):
        zone.is_mute = False
        assert offer(mx)[0].startswith("550 5.7.26 ")
        zone.is_mute, zone.names["_dmarc.other.example"] = True, []

        client = mx.connect()
        other = FORGED.replace(b"strict", b"other")
        assert client.deliver(other, "hi@example.org", "x@other.example").startswith("451 4.")


@pytest.mark.parametrize("reverse_path", ["x@strict.example", ""])
def test_servers_that_the_operator_named_are_expected_to_answer(reverse_path):
    with silence(expected=True) as (mx, _):
        reply, took = offer(mx, reverse_path)

        assert reply.startswith("451 4."), reply
        assert took < 21
        assert mx.world.kept == []
