"""A resolver that fails, lies, or is away (E3, E17): mail waits, nothing bounces, nobody is stuck."""

from __future__ import annotations

import smtplib
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from dnslib import RCODE, DNSError, DNSRecord

from tests.delivery.dns_zone import Zone, serve
from tests.delivery.sink import Sink
from tests.installation import Installation, installed
from tests.ports import free_port

pytestmark = [pytest.mark.journey, pytest.mark.slow]

FAR, AUTHOR = "127.0.0.41", "127.0.0.42"
PERMITTED = [("TXT", ["v=spf1 ip4:127.0.0.1 -all"])]
NAMES = {
    "mxax.test": [("A", "127.0.0.1")],
    "far.example": [("MX", (10, "mx.far.example"))],
    "mx.far.example": [("A", FAR)],
    "author.example": [*PERMITTED, ("MX", (10, "mx.author.example"))],
    "mx.author.example": [("A", AUTHOR)],
    "_dmarc.author.example": [("TXT", ["v=DMARC1; p=reject"])],
    **{f"{name}.example": PERMITTED for name in ("servfail", "loop", "lame", "huge", "silent")},
    "_dmarc.servfail.example": ["FAIL"],
    "_dmarc.loop.example": [("CNAME", "again.loop.example")],
    "again.loop.example": [("CNAME", "_dmarc.loop.example")],
    "_dmarc.huge.example": [("TXT", ["x" * 255] * 220)],
    "path.example": [("TXT", ["v=spf1 include:silent.path.example -all"])],
    "_dmarc.path.example": [("TXT", ["v=DMARC1; p=reject"])],
}


class Fickle(Zone):
    """A zone whose server goes away; some names it never answers, for some it is not asked."""

    is_away = False

    def resolve(self, request: DNSRecord, handler: object) -> DNSRecord:
        name = str(request.q.qname).lower()
        if self.is_away or "silent" in name:
            raise DNSError("no answer")  # the server swallows it, and says nothing
        reply = super().resolve(request, handler)
        if name.startswith("_dmarc.lame."):
            reply.header.rcode = RCODE.REFUSED
        return reply


LAX = """
from tenants.models import Tenant
from tenants.audit import Actor
from routing.services import trust
choice = trust.TrustChoice(refuses_dmarc_reject=False)
trust.set_preference(tenant=Tenant.objects.get(slug="lax"), choice=choice, actor=Actor("tests"))
"""


@dataclass
class World:
    service: Installation
    zone: Fickle
    far: Sink
    author: Sink

    def offer(self, recipient: str, author: str, subject: str) -> tuple[str, float]:
        """The reply, and the seconds that it took."""
        octets = f"From: {author}\r\nTo: {recipient}\r\nSubject: {subject}\r\n\r\nHello.\r\n"
        with self.service.smtp() as client:
            began = time.monotonic()
            try:
                client.sendmail(author, [recipient], octets)
            except smtplib.SMTPDataError as error:
                took = time.monotonic() - began
                return f"{error.smtp_code} {error.smtp_error.decode()}", took
            return "250", time.monotonic() - began

    def has_come(self, subject: str) -> bool:
        return any(f"Subject: {subject}".encode() in one.octets for one in list(self.far.arrivals))

    def queue(self) -> dict[str, int]:
        return self.service.manage_json("queue", "status")


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Iterator[World]:
    port = free_port()
    far, author = Sink(host=FAR, port=port).start(), Sink(host=AUTHOR, port=port).start()
    with serve(Fickle(NAMES, ttl=1, negative_ttl=1)) as zone:
        extra = {
            "MXAX_DNS_SERVERS": f"{zone.address[0]}:{zone.address[1]}",
            "MXAX_SMARTHOST": "direct",
            "MXAX_NEXT_HOP_PORT": str(port),
            "MXAX_ALLOW_PRIVATE_NEXT_HOPS": "on",
        }
        with installed(tmp_path_factory.mktemp("service"), **extra) as service:
            service.tenant("ada", "ada.example", ("hi@ada.example", "friend@far.example"))
            service.tenant("lax", "lax.example", ("hi@lax.example", "friend@far.example"))
            service.manage("shell", "-c", LAX)
            yield World(service, zone, far, author)
    far.stop()
    author.stop()


@pytest.mark.parametrize("domain", ["servfail", "loop", "lame"])
def test_where_the_policy_cannot_be_read_who_needs_it_waits_and_who_does_not_is_served(
    world, domain
):
    needed, took = world.offer("hi@ada.example", f"carol@{domain}.example", f"{domain}-ada")
    not_needed, _ = world.offer("hi@lax.example", f"carol@{domain}.example", f"{domain}-lax")

    assert needed.startswith("451 4.7.24 "), needed
    assert took < 30
    assert not_needed == "250"
    world.service.wait_for(lambda: world.has_come(f"{domain}-lax"), 30, domain)


def test_a_record_of_56_kb_is_not_read_and_put_off_at_once(world):
    """Reading such answers would hold everybody up; what the domain asks for is not known then."""
    reply, took = world.offer("hi@ada.example", "carol@huge.example", "huge")

    assert (reply[:10], took < 15) == ("451 4.7.24", True)


@pytest.mark.parametrize("author", ["carol@silent.example", "carol@path.example"])
def test_a_name_that_is_never_answered_costs_its_own_session_twenty_seconds_at_most(world, author):
    reply, took = world.offer("hi@ada.example", author, "silence")
    again, took_again = world.offer("hi@ada.example", author, "silence")

    assert reply.startswith("451 4."), reply
    assert took < 30, "twenty, and what a busy machine adds"
    assert again.startswith("451 4."), again
    assert took_again < took  # it was remembered


def test_while_the_resolver_is_away_mail_waits_and_then_it_flows(world):
    world.author.arrivals.clear()
    time.sleep(1.5)  # what was answered before is forgotten
    world.zone.is_away = True
    refused, took = world.offer("hi@ada.example", "carol@author.example", "away-refused")
    # This tenant needs no DMARC to take it, so it is in the queue, and needs the DNS to leave.
    taken, _ = world.offer("hi@lax.example", "carol@author.example", "away-queued")
    assert refused.startswith("451 4.4.3 "), refused
    assert took < 30, "twenty, and what a busy machine adds"
    assert taken == "250"
    world.service.wait_for(lambda: world.queue()["deferred"], 60, "it to be tried and to wait")
    for _ in range(2):
        world.service.manage("queue", "retry", "--all", check=False)
        time.sleep(8)

    status = world.queue()
    assert status["failed"] == 0, status
    assert not world.has_come("away-queued")
    assert world.author.arrivals == []

    world.zone.is_away = False
    time.sleep(15)  # how long a failure is remembered
    world.service.manage("queue", "retry", "--all", check=False)

    world.service.wait_for(lambda: world.has_come("away-queued"), 60, "what was queued")
    assert world.offer("hi@ada.example", "carol@author.example", "back")[0] == "250"
    world.service.wait_for(lambda: world.has_come("back"), 30, "new mail")
    assert world.author.arrivals == []
