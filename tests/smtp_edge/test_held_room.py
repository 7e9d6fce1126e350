"""Held mail has a bound for each tenant: what finds no room is put off, and nothing else is."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from django.utils import timezone

from delivery.held_room import held_octets
from delivery.models import Delivery, Message
from mail.facts import RouteMode
from mail.plan import Hold
from mail.policy.trust import ListEntry, ListKind, TrustPolicy
from smtp_edge.held_room import HeldRoom
from tests.delivery.test_holds import kept, quiet_bell
from tests.smtp_edge.listening import World, hosted, listening, route

__all__ = ["quiet_bell"]
LETTER = b"From: mallory@blocked.example\r\nSubject: x\r\n\r\nhi\r\n"
BLOCKS = TrustPolicy(entries=(ListEntry(1, ListKind.BLOCK, "blocked.example"),))
FULL = "452 4.2.2 Too much mail is kept back here already, try again later"


class Full:
    """A room of which these tenants have had their share."""

    def __init__(self, *tenants: int) -> None:
        self.tenants, self.asked = set(tenants), []

    async def lacks(self, tenant_ids) -> bool:
        self.asked.append(set(tenant_ids))
        return not self.tenants.isdisjoint(tenant_ids)


def world() -> World:
    """Ada's route holds; Bea blocks an author whom Cyd likes."""
    one = World()
    one.host(
        hosted("ada.example", route(1, "hi", "ada@far.example", mode=RouteMode.HOLD)),
        hosted("bea.example", route(2, "hi", "bea@far.example"), tenant_id=2, trust=BLOCKS),
        hosted("cyd.example", route(3, "hi", "cyd@far.example"), tenant_id=3),
    )
    return one


def sent(there: World, room: Full, *rcpts: str, octets: bytes = LETTER) -> str:
    with listening(there, held_room=room) as mx:
        client = mx.connect()
        client.mail("x@sender.example", *rcpts)
        reply = client.data(octets)
        client.close()
    return reply


def test_a_paused_route_holds_no_more_than_there_is_room_for():
    there = world()

    assert sent(there, Full(1), "hi@ada.example") == FULL
    assert there.kept == []
    (refused,) = there.refusals
    assert (refused.event.rule, refused.event.reply) == ("held_mail_full", FULL)

    assert sent(there, Full(2), "hi@ada.example").startswith("250 ")
    assert there.kept[0].plan.deliveries[0].hold is Hold.ROUTE


def test_nor_does_quarantine_and_the_pieces_of_a_large_message_go():
    there = world()
    large = LETTER + b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * 10_000

    reply = sent(there, Full(2), "hi@bea.example", "hi@cyd.example", octets=large)

    assert reply == FULL
    assert there.kept == []
    assert {one.trace_id for one in there.pieces} == set(there.discarded)


def test_mail_that_nobody_holds_needs_no_room():
    there, room = world(), Full(1, 2, 3)

    assert sent(there, room, "hi@cyd.example").startswith("250 ")
    assert room.asked == [set()]


def test_who_refuses_is_not_asked_for_room():
    assert sent(world(), Full(2), "hi@bea.example").startswith("550 5.7.1")


# What is counted


@pytest.mark.django_db
@pytest.mark.filterwarnings("ignore:No directory at")
def test_quarantine_and_paused_routes_are_counted_once_a_message(ada, mallory):
    assert held_octets(ada.tenant.pk) == 0
    first = kept(ada, hold=Hold.QUARANTINE, days=14)
    kept(ada, hold=Hold.ROUTE, days=7, route_id=1)
    second = Delivery.objects.get(pk=first.pk)
    second.pk, second.destination = None, "other@far.example"
    second.save()
    for hold in (Hold.NONE, Hold.OPERATOR, Hold.TENANT):
        kept(ada, hold=hold)
    kept(mallory, hold=Hold.QUARANTINE, days=14)
    Message.objects.update(size_octets=1000, accepted_at=timezone.now() - timedelta(days=1))

    assert held_octets(ada.tenant.pk) == 2 * (1000 + 4096)
    assert held_octets(mallory.tenant.pk) == 1000 + 4096


class Threads:
    """Runs what it is given, and counts."""

    def __init__(self, octets: int) -> None:
        self.octets, self.asked = octets, 0

    async def run(self, function, *arguments):
        self.asked += 1
        return self.octets


@pytest.mark.parametrize(("octets", "lacks"), [(999, False), (1000, True), (2000, True)])
def test_the_database_is_asked_every_few_seconds(octets, lacks):
    threads = Threads(octets)

    async def many():
        room = HeldRoom(held_octets, threads, 1000)
        return [await room.lacks({7}) for _ in range(50)]

    assert set(asyncio.run(many())) == {lacks}
    assert threads.asked == 1


def test_without_a_limit_nobody_is_asked():
    threads = Threads(10**12)

    assert asyncio.run(HeldRoom(held_octets, threads, 0).lacks({7})) is False
    assert threads.asked == 0
