"""Greylisting: come back in five minutes, unless you are known; for tenants that want it."""

import asyncio
from dataclasses import replace

import pytest

from delivery import greylist
from delivery.greylist import Standing
from mail.dns_lists import ListZone
from mail.envelope import Client, Envelope
from mail.policy.trust import TrustPolicy
from smtp_edge.clients import LOOPBACK
from smtp_edge.dns_lists import DnsLists
from smtp_edge.doorkeeper import Doorkeeper
from smtp_edge.greylist import Greylist
from smtp_edge.ports import ServiceAway
from tests.smtp_edge.listening import listening
from tests.smtp_edge.test_dns_lists import ZoneInMemory

RECIPIENT = "hi@example.org"


def envelope(reverse_path="bob@sender.example", ip="198.51.100.7") -> Envelope:
    from uuid import uuid4

    return Envelope(uuid4(), Client(ip, 1, "client.example", "ESMTP"), reverse_path)


class Threads:
    """Database threads without threads; `away` raises what they would."""

    def __init__(self, away: Exception | None = None) -> None:
        self.away = away
        self.asked: list[tuple] = []
        self.posted: list[tuple] = []

    async def run(self, function, *arguments):
        self.asked.append(arguments)
        if self.away is not None:
            raise self.away
        return function(*arguments)

    def post(self, function, *arguments):
        self.posted.append(arguments)
        function(*arguments)


# What the database remembers


def age(seconds: int) -> None:
    """Make all that is remembered so much older."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE delivery_greylisting SET first_at = first_at - make_interval(secs => %s),"
            " expires_at = expires_at - make_interval(secs => %s)",
            [seconds, seconds],
        )


def ask(triplet=b"t", senders=(b"s",)) -> Standing:
    return greylist.ask(triplet=triplet, senders=senders)


@pytest.mark.django_db
def test_who_is_new_comes_back_after_five_minutes():
    assert ask() is Standing.TOO_EARLY
    assert ask() is Standing.TOO_EARLY
    age(290)
    assert ask() is Standing.TOO_EARLY
    age(20)

    assert ask() is Standing.CAME_BACK
    assert ask(b"another") is Standing.TOO_EARLY


@pytest.mark.django_db
def test_who_does_not_come_back_in_two_days_is_new_again():
    ask()
    age(2 * 86400 + 60)

    assert ask() is Standing.TOO_EARLY


@pytest.mark.django_db
def test_who_came_back_is_known_for_36_days_after_his_last_letter():
    ask()
    age(400)
    ask()
    for _ in range(3):
        age(35 * 86400)
        assert ask() is Standing.CAME_BACK
    age(37 * 86400)

    assert ask() is Standing.TOO_EARLY


@pytest.mark.django_db
def test_a_sender_that_delivered_three_times_is_not_asked_again():
    for _ in range(2):
        greylist.delivered(senders=[b"s"])
    assert ask() is Standing.TOO_EARLY
    greylist.delivered(senders=[b"s"])

    assert ask() is Standing.LEARNED
    assert ask(b"any other") is Standing.LEARNED
    assert ask(senders=[b"someone"]) is Standing.TOO_EARLY
    age(30 * 86400)
    assert ask() is Standing.LEARNED
    age(37 * 86400)
    assert ask() is Standing.TOO_EARLY


@pytest.mark.django_db
def test_what_is_over_is_swept():
    from delivery.models import Greylisting
    from delivery.sweeps import sweep_old_rows

    ask()
    age(3 * 86400)
    ask(b"new")

    sweep_old_rows()

    assert [bytes(one.key) for one in Greylisting.objects.all()] == [b"new"]


# What a session knows


def standing(threads: Threads, one: Envelope, recipient=RECIPIENT, spf=None) -> Standing:
    return asyncio.run(Greylist(threads, b"pepper", spf).standing(one, recipient))


def triplet_of(one: Envelope, recipient=RECIPIENT) -> bytes:
    threads = Threads(ServiceAway("x"))
    standing(threads, one, recipient)
    return threads.asked[0][0]


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (envelope(), envelope(ip="198.51.100.200"), True),
        (envelope(), envelope(ip="198.51.101.7"), False),
        (envelope(ip="2001:db8::1"), envelope(ip="2001:db8::ffff:1"), True),
        (envelope(ip="2001:db8::1"), envelope(ip="2001:db8:0:1::1"), False),
        (envelope(), envelope("BOB@Sender.Example"), True),
        (envelope(), envelope("eve@sender.example"), False),
        (envelope("b-1@l.example"), envelope("b-2@l.example"), True),
        (envelope("b-1@l.example"), envelope("b-2@other.example"), False),
        (envelope("v+x=y@l.example"), envelope("v+z=y@l.example"), True),
        (envelope(""), envelope(""), True),
        (envelope(""), envelope(), False),
    ],
)
def test_a_triplet_is_a_network_a_reverse_path_and_a_recipient(first, second, same):
    assert (triplet_of(first) == triplet_of(second)) is same
    assert triplet_of(first) != triplet_of(first, "team@example.org")


def test_what_is_kept_tells_no_address():
    assert len(triplet_of(envelope())) == 16
    other = Threads(ServiceAway("x"))
    asyncio.run(Greylist(other, b"another pepper").standing(envelope(), RECIPIENT))
    assert other.asked[0][0] != triplet_of(envelope())


@pytest.mark.parametrize("error", [ServiceAway("away"), TimeoutError()])
def test_a_database_that_is_away_lets_mail_pass(error):
    assert standing(Threads(error), envelope()) is Standing.LEARNED


@pytest.mark.django_db
def test_a_domain_that_spf_passes_is_known_from_every_network(monkeypatch):
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")  # one thread, and the test's transaction

    async def passes(one: Envelope) -> bool:
        return one.client.ip != "203.0.113.1"

    async def deliver_thrice() -> None:
        known = Greylist(Threads(), b"pepper", passes)
        for _ in range(3):
            known.delivered(envelope())
            await asyncio.sleep(0.01)

    asyncio.run(deliver_thrice())
    elsewhere, forger = envelope(ip="192.0.2.1"), envelope(ip="203.0.113.1")

    assert standing(Threads(), elsewhere, spf=passes) is Standing.LEARNED
    assert standing(Threads(), forger, spf=passes) is Standing.TOO_EARLY
    assert standing(Threads(), envelope("", ip="192.0.2.1"), spf=passes) is Standing.TOO_EARLY


# At RCPT


class Memory:
    """Remembers who tried; the second try comes back."""

    def __init__(self) -> None:
        self.tried: set[tuple[str, str]] = set()
        self.delivered_by: list[str] = []

    async def standing(self, one: Envelope, recipient: str) -> Standing:
        key = one.reverse_path, recipient
        if key in self.tried:
            return Standing.CAME_BACK
        self.tried.add(key)
        return Standing.TOO_EARLY

    def delivered(self, one: Envelope) -> None:
        self.delivered_by.append(one.reverse_path)


@pytest.fixture
def memory() -> Memory:
    return Memory()


def greylisting(memory, *, unlimited=(), lists=None):
    def make(limits, world):
        return Doorkeeper(limits, greylist=memory, reporter=world, unlimited=unlimited, lists=lists)

    return make


@pytest.fixture
def wanted(world):
    """The tenant of example.org wants greylisting, the one of other.example does not."""
    world.host(replace(world.domains["example.org"], trust=TrustPolicy(greylists=True)))
    return world


def test_a_stranger_is_asked_to_come_back_and_then_served(wanted, memory, letter):
    with listening(wanted, doorkeeper=greylisting(memory)) as mx:
        client = mx.connect()

        assert client.mail("bob@sender.example", RECIPIENT).startswith("450 4.7.1")
        assert wanted.refusals[0].event.rule == "greylisted"
        client.say("RSET")
        assert client.deliver(letter, RECIPIENT).startswith("250")
        assert memory.delivered_by == ["bob@sender.example"]


def test_so_is_a_return_without_a_reverse_path(wanted, memory, letter):
    with listening(wanted, doorkeeper=greylisting(memory)) as mx:
        client = mx.connect()

        assert client.mail("", RECIPIENT).startswith("450 4.7.1")
        client.say("RSET")
        assert client.deliver(letter, RECIPIENT, "").startswith("250")


def test_a_known_sender_counts_nothing(wanted, memory, letter):
    async def learned(one, recipient):
        return Standing.LEARNED

    memory.standing = learned
    with listening(wanted, doorkeeper=greylisting(memory)) as mx:
        assert mx.connect().deliver(letter, RECIPIENT).startswith("250")
        assert memory.delivered_by == []


@pytest.mark.parametrize(
    "recipient", ["postmaster@example.org", "abuse@example.org", "hi@other.example"]
)
def test_others_are_not_asked(wanted, memory, letter, recipient):
    with listening(wanted, doorkeeper=greylisting(memory)) as mx:
        assert mx.connect().deliver(letter, recipient).startswith("250")
        assert memory.tried == set()


def test_nor_are_clients_of_a_trusted_network_or_an_allow_list(wanted, memory, letter):
    with listening(wanted, doorkeeper=greylisting(memory, unlimited=LOOPBACK)) as mx:
        assert mx.connect().deliver(letter, RECIPIENT).startswith("250")
    zone = ZoneInMemory({"1.0.0.127.wl.example": ["127.0.5.1"]})
    lists = DnsLists(zone, allows=[ListZone("wl.example")])
    lists._known["wl.example"].is_sound, lists._known["wl.example"].check_at = True, 1e18
    with listening(wanted, doorkeeper=greylisting(memory, lists=lists)) as mx:
        assert mx.connect().deliver(letter, RECIPIENT).startswith("250")
    assert memory.tried == set()
