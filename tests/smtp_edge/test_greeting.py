"""Clients that do not wait for the banner, for our reply to EHLO, or for each reply (B3)."""

import time

import pytest

from mail.lookups import Answer, Outcome
from smtp_edge.dns_lists import DnsLists
from smtp_edge.doorkeeper import Doorkeeper
from smtp_edge.limits import Limits
from tests.smtp_edge.listening import Client, listening
from tests.timing import eventually

DELAYED = Limits(greeting_seconds=1.0)
MUCH_DELAYED = Limits(greeting_seconds=15.0)  # nobody waits for it here


class Names:
    """Every address has a name, or none."""

    def __init__(self, *, named: bool = False) -> None:
        self.named = named

    async def ptr(self, name: str) -> Answer[str]:
        return Answer(Outcome.FOUND, ("a.example",)) if self.named else Answer(Outcome.NO_NAME)


def delaying(*, named: bool = False, unlimited=()):
    def make(limits, world):
        return Doorkeeper(limits, lookup=Names(named=named), unlimited=unlimited, reporter=world)

    return make


def banner_after(client: Client) -> float:
    began = time.monotonic()
    assert client.reply().startswith("220")
    return time.monotonic() - began


def test_a_client_whose_address_has_no_name_waits_for_the_banner(world, letter):
    with listening(world, limits=DELAYED, doorkeeper=delaying()) as mx:
        client = Client(mx.port)

        assert banner_after(client) > 0.9
        client.say("EHLO slow.example")
        assert client.deliver(letter, "hi@example.org").startswith("250")


def test_one_with_a_name_does_not(world):
    with listening(world, limits=MUCH_DELAYED, doorkeeper=delaying(named=True)) as mx:
        assert banner_after(Client(mx.port)) < 10


def test_nor_does_one_of_a_network_that_is_trusted(world):
    from smtp_edge.clients import LOOPBACK

    with listening(world, limits=MUCH_DELAYED, doorkeeper=delaying(unlimited=LOOPBACK)) as mx:
        assert banner_after(Client(mx.port)) < 10


@pytest.mark.parametrize(
    "said", [b"E", b"EHLO early.example\r\n", b"\x16\x03\x01\x02\x00", b"\r\n"]
)
def test_who_speaks_before_the_banner_is_sent_away(world, said):
    with listening(world, limits=MUCH_DELAYED, doorkeeper=delaying()) as mx:
        client = Client(mx.port)
        began = time.monotonic()

        client.send(said)

        assert client.reply().startswith("554 5.5.0")
        assert time.monotonic() - began < 10
        assert client.is_closed()
        assert [one.event.rule for one in world.refusals] == ["early_talker"]
        assert world.refusals[0].event.stage == "connect"


def test_who_leaves_while_he_waits_leaves_nothing_behind(world):
    with listening(world, limits=DELAYED, doorkeeper=delaying()) as mx:
        for _ in range(5):
            Client(mx.port).close()

        eventually(lambda: not mx.listener._sessions)
        assert banner_after(Client(mx.port)) > 0.9


@pytest.mark.parametrize("greeting", ["EHLO", "HELO"])
def test_nothing_may_follow_the_greeting_in_one_breath(mx, greeting):
    client = Client(mx.port)
    client.reply()

    client.send(f"{greeting} early.example\r\nMAIL FROM:<bob@sender.example>\r\n".encode())

    assert client.reply().startswith("554 5.5.0")
    assert client.is_closed()


def test_nor_may_anything_be_pipelined_behind_helo(mx, letter):
    client = Client(mx.port)
    client.reply()
    client.say("HELO plain.example")

    client.send(b"MAIL FROM:<bob@sender.example>\r\nRCPT TO:<hi@example.org>\r\n")

    assert client.reply().startswith("554 5.5.0")
    assert client.is_closed()


def test_a_browser_that_posts_a_form_is_sent_away(mx):
    client = Client(mx.port)
    client.reply()

    client.send(b"POST / HTTP/1.1\r\nHost: mx\r\n\r\nEHLO x\r\nMAIL FROM:<a@b.example>\r\n")

    assert client.reply().startswith("554 5.5.0")
    assert client.is_closed()


def test_one_command_at_a_time_needs_no_ehlo(mx, letter):
    client = Client(mx.port)
    client.reply()
    client.say("HELO plain.example")

    assert client.deliver(letter, "hi@example.org").startswith("250")


def test_a_second_ehlo_waits_for_its_reply_too(mx):
    client = mx.connect()

    client.send(b"EHLO again.example\r\nMAIL FROM:<bob@sender.example>\r\n")

    assert client.reply().startswith("554 5.5.0")


def test_a_list_that_names_the_client_lets_him_wait(world):
    from mail.dns_lists import ListZone
    from tests.smtp_edge.test_dns_lists import ZoneInMemory

    zone = ZoneInMemory({"2.0.0.127.bl.example": ["127.0.0.2"]})

    def make(limits, world):
        lists = DnsLists(zone, blocks=[ListZone("bl.example")])
        return Doorkeeper(limits, lists=lists, lookup=Names(named=True), unlimited=())

    with listening(world, limits=DELAYED, doorkeeper=make) as mx:
        assert banner_after(Client(mx.port)) < 0.5
        assert banner_after(Client(mx.port, source="127.0.0.2")) > 0.9
