"""Lists of addresses in the DNS: who is on one, and lists that do not answer as they should."""

import asyncio
import time
from dataclasses import replace
from ipaddress import ip_address

import pytest

from mail.dns_lists import ListZone, Said, parse_list_zones, question_name, read_answer
from mail.lookups import Answer, Outcome
from mail.policy.trust import ListEntry, ListKind, TrustPolicy
from smtp_edge.clients import LOOPBACK
from smtp_edge.dns_lists import NOTHING_SAID, DnsLists
from smtp_edge.doorkeeper import Doorkeeper
from tests.smtp_edge.listening import Client, listening
from tests.timing import eventually, in_jumping_time


class ZoneInMemory:
    """A `Lookup` of A records; each answer takes `seconds`, `silent` answers nothing in time."""

    def __init__(
        self, records: dict[str, list[str]], *, silent: bool = False, seconds: float = 0.0
    ) -> None:
        self.records, self.seconds = records, 60.0 if silent else seconds
        self.asked: list[str] = []

    async def addresses(self, name: str, family: str) -> Answer[str]:
        self.asked.append(name)
        if self.seconds:
            await asyncio.sleep(self.seconds)
        if name in self.records:
            return Answer(Outcome.FOUND, tuple(self.records[name]))
        return Answer(Outcome.NO_NAME)

    async def ptr(self, name: str) -> Answer[str]:
        return Answer(Outcome.NO_NAME)


def verdict(lists: DnsLists, ip: str = "192.0.2.9"):
    async def ask():
        return await lists.ask(ip).verdict()

    return asyncio.run(ask())


# Names, answers, settings: pure


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("192.0.2.99", "99.2.0.192.bl.example"),
        (
            "2001:db8:1:2:3:4:567:89ab",
            "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.bl.example",
        ),
    ],
)
def test_the_questions_are_those_of_rfc_5782(address, name):
    assert question_name(ip_address(address), "bl.example") == name


@pytest.mark.parametrize(
    ("text", "zones"),
    [
        ("bl.example", (ListZone("bl.example"),)),
        ("BL.Example.", (ListZone("bl.example"),)),
        ("bl.example=3", (ListZone("bl.example", 3),)),
        ("bl.example*3", (ListZone("bl.example", 3),)),
        ("bl.example*-2", (ListZone("bl.example", -2),)),
        (
            "a.example=127.0.0.[2..4;9]*2, b.example",
            (
                ListZone(
                    "a.example",
                    2,
                    (frozenset({127}), frozenset({0}), frozenset({0}), frozenset({2, 3, 4, 9})),
                ),
                ListZone("b.example"),
            ),
        ),
    ],
)
def test_the_setting_is_read(text, zones):
    assert parse_list_zones(text) == zones


@pytest.mark.parametrize(
    "text",
    ["bl", "bl.example=", "bl.example=127.0.0", "bl.example=127.0.0.[5..2]", "bl.example=1*2",
     "bl.example=127.0.0.256", "bl.example=127.0.0.[..]", "bl.example,bl.example", "a b.example!"],
)  # fmt: skip
def test_a_setting_that_makes_no_sense_is_told(text):
    with pytest.raises(ValueError, match=r"needs zones|twice"):
        parse_list_zones(text)


CODED = parse_list_zones("bl.example=127.0.0.[2..11]")[0]
CODED_ONE = parse_list_zones("bl.example=127.0.0.1")[0]


@pytest.mark.parametrize(
    ("zone", "records", "said"),
    [
        (ListZone("bl.example"), ["127.0.0.2"], Said.LISTED),
        (ListZone("bl.example"), ["127.0.0.10", "127.255.255.254"], Said.LISTED),
        (ListZone("bl.example"), ["127.255.255.252"], Said.REFUSED),
        (ListZone("bl.example"), ["127.255.255.254"], Said.REFUSED),
        (ListZone("bl.example"), ["127.255.255.255"], Said.REFUSED),
        (ListZone("bl.example"), ["127.0.0.255"], Said.REFUSED),
        (ListZone("bl.example"), ["127.0.0.1"], Said.REFUSED),
        (ListZone("bl.example"), ["203.0.113.5"], Said.ODD),
        (ListZone("bl.example"), [], Said.NOT_LISTED),
        (CODED, ["127.0.0.11"], Said.LISTED),
        (CODED, ["127.0.0.12"], Said.NOT_LISTED),
        (CODED, ["127.255.255.254"], Said.REFUSED),
        (CODED_ONE, ["127.0.0.1"], Said.LISTED),
    ],
)
def test_an_answer_is_a_listing_only_where_it_says_so(zone, records, said):
    answer = Answer(Outcome.FOUND if records else Outcome.NO_NAME, tuple(records))

    assert read_answer(zone, answer) is said


def test_no_answer_says_nothing():
    assert read_answer(ListZone("bl.example"), Answer(Outcome.FAILURE)) is Said.SILENT


# Asking


def test_who_is_listed_is_found_with_the_weight_of_all_lists():
    zone = ZoneInMemory(
        {"9.2.0.192.a.example": ["127.0.0.2"], "9.2.0.192.b.example": ["127.0.0.4"]}
    )
    lists = DnsLists(zone, blocks=parse_list_zones("a.example*2, b.example, c.example*5"))

    said = verdict(lists)

    assert said.blocked_by == ("a.example", "b.example")
    assert said.weight == 3


def test_an_ipv6_client_is_asked_for_by_nibbles():
    name = question_name(ip_address("2001:db8::9"), "a.example")
    lists = DnsLists(ZoneInMemory({name: ["127.0.0.2"]}), blocks=[ListZone("a.example")])

    assert verdict(lists, "2001:db8::9").blocked_by == ("a.example",)


def test_a_list_that_says_yes_to_everything_is_not_believed():
    zone = ZoneInMemory(
        {"1.0.0.127.dead.example": ["127.0.0.2"], "9.2.0.192.dead.example": ["127.0.0.2"]}
    )

    assert verdict(DnsLists(zone, blocks=[ListZone("dead.example")])) == NOTHING_SAID


def test_a_client_who_leaves_while_a_list_is_looked_at_leaves_it_to_the_next():
    zone = ZoneInMemory({"9.2.0.192.bl.example": ["127.0.0.2"]}, seconds=0.1)
    lists = DnsLists(zone, blocks=parse_list_zones("bl.example"))

    async def ask():
        hasty = lists.ask("192.0.2.8")
        await asyncio.sleep(0.02)
        assert zone.asked == ["1.0.0.127.bl.example"]
        hasty.forget()
        await asyncio.sleep(0)
        return await lists.ask("192.0.2.9").verdict()

    assert asyncio.run(ask()).blocked_by == ("bl.example",)


def test_a_silent_list_costs_two_seconds_and_then_nothing():
    zone = ZoneInMemory({}, silent=True)

    async def ask():
        now = asyncio.get_running_loop().time
        lists = DnsLists(zone, blocks=[ListZone("a.example")], clock=now)
        began = now()
        first = [lists.ask(f"192.0.2.{number}") for number in range(5)]
        said = [await one.verdict() for one in first]
        waited = now() - began
        await asyncio.sleep(2.2)
        questions, began = len(zone.asked), now()
        said.append(await lists.ask("192.0.2.77").verdict())
        return said, waited, now() - began, len(zone.asked) - questions

    said, waited, later, asked = in_jumping_time(ask())

    assert said == [NOTHING_SAID] * 6
    assert waited == pytest.approx(2)
    assert later == 0
    assert asked == 0


def test_nobody_waits_longer_than_two_seconds_for_slow_answers():
    zone = ZoneInMemory({"9.2.0.192.a.example": ["127.0.0.2"]}, seconds=1.5)

    async def ask():
        now = asyncio.get_running_loop().time
        lists = DnsLists(zone, blocks=[ListZone("a.example")], clock=now)
        return await lists.ask("192.0.2.9").verdict(), now()

    said, waited = in_jumping_time(ask())

    assert said == NOTHING_SAID
    assert waited == pytest.approx(2)


def test_a_real_resolver_finds_what_a_real_server_has():
    from delivery.lookups import Resolver
    from tests.delivery.dns_zone import Zone, serve

    zone = Zone(
        {
            "9.2.0.192.bl.example": [("A", "127.0.0.2")],
            "9.2.0.192.quota.example": [("A", "127.255.255.255")],
            "9.2.0.192.error.example": ["FAIL"],
        }
    )

    async def ask(address):
        lists = DnsLists(
            Resolver([address]),
            blocks=parse_list_zones("bl.example, quota.example, error.example, none.example"),
        )
        return await lists.ask("192.0.2.9").verdict()

    with serve(zone):
        said = asyncio.run(ask(zone.address))

    assert said.blocked_by == ("bl.example",)


# At RCPT


def with_lists(zone, *, blocks="bl.example", allows="", unlimited=(), list_weight=1):
    def make(limits, world):
        lists = DnsLists(zone, blocks=parse_list_zones(blocks), allows=parse_list_zones(allows))
        return Doorkeeper(
            limits, lists=lists, reporter=world, unlimited=unlimited, list_weight=list_weight
        )

    return make


LISTED = {"1.0.0.127.wl.example": []} | {"2.0.0.127.bl.example": ["127.0.0.2"]}


def greeted(mx, source="127.0.0.2") -> Client:
    client = Client(mx.port, source=source)
    client.reply()
    client.say("EHLO client.example")
    client.say("MAIL FROM:<bob@sender.example>")
    return client


def test_a_listed_client_is_refused_by_the_name_of_the_list(world):
    with listening(world, doorkeeper=with_lists(ZoneInMemory(LISTED))) as mx:
        client = greeted(mx)

        reply = client.say("RCPT TO:<hi@example.org>")

        assert reply == "550 5.7.1 Your address [127.0.0.2] is listed by bl.example"
        event = world.refusals[0].event
        assert (event.rule, event.stage, event.tenant_id) == ("listed_client", "rcpt", 1)
        assert event.trail[-1] == "listed_client"
        assert "accept" not in event.trail


@pytest.mark.parametrize("address", ["postmaster@example.org", "ABUSE@example.org", "Postmaster"])
def test_he_may_still_write_to_postmaster_and_abuse(world, address):
    with listening(world, doorkeeper=with_lists(ZoneInMemory(LISTED))) as mx:
        assert greeted(mx).say(f"RCPT TO:<{address}>").startswith("250")


@pytest.mark.parametrize(
    ("records", "options", "source"),
    [
        ({}, {}, "127.0.0.2"),
        (LISTED, {}, "127.0.0.3"),
        (LISTED, {"unlimited": LOOPBACK}, "127.0.0.2"),
        (LISTED, {"list_weight": 2}, "127.0.0.2"),
        (LISTED | {"2.0.0.127.wl.example": ["127.0.5.2"]}, {"allows": "wl.example"}, "127.0.0.2"),
        (LISTED | {"1.0.0.127.bl.example": ["127.0.0.2"]}, {}, "127.0.0.2"),
    ],
    ids=["not listed", "another", "trusted network", "weight", "allowed", "dead list"],
)
def test_others_pass(world, letter, records, options, source):
    with listening(world, doorkeeper=with_lists(ZoneInMemory(records), **options)) as mx:
        client = greeted(mx, source)

        assert client.say("RCPT TO:<hi@example.org>").startswith("250")
        assert client.data(letter).startswith("250")


def test_a_tenant_may_let_a_network_in_that_a_list_names(world):
    let_in = TrustPolicy(entries=(ListEntry(1, ListKind.ALLOW, "127.0.0.2/32"),))
    world.host(replace(world.domains["example.org"], trust=let_in))
    with listening(world, doorkeeper=with_lists(ZoneInMemory(LISTED))) as mx:
        client = greeted(mx)

        assert client.say("RCPT TO:<hi@example.org>").startswith("250")
        assert client.say("RCPT TO:<hi@other.example>").startswith("550 5.7.1")


def test_a_dead_resolver_lets_mail_pass_after_two_seconds(world):
    with listening(world, doorkeeper=with_lists(ZoneInMemory({}, silent=True))) as mx:
        client = greeted(mx)
        began = time.monotonic()

        assert client.say("RCPT TO:<hi@example.org>").startswith("250")
        assert time.monotonic() - began < 10
        began = time.monotonic()
        assert client.say("RCPT TO:<team@example.org>").startswith("250")
        assert time.monotonic() - began < 1.5, "it waited for the lists once more"


def test_clients_that_go_leave_no_question_behind(world):
    zone = ZoneInMemory({}, silent=True)
    with listening(world, doorkeeper=with_lists(zone)) as mx:
        for _ in range(20):
            Client(mx.port, source="127.0.0.2").close()

        def judging() -> int:
            return asyncio.run_coroutine_threadsafe(_judging(), mx.loop).result(30)

        eventually(lambda: zone.asked and not judging())


async def _judging() -> int:
    return sum("_judge" in str(task.get_coro()) for task in asyncio.all_tasks())
