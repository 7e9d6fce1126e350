"""How much one client, route or tenant may do in a minute, and who is slowed down."""

import time
from datetime import UTC, datetime

import pytest

from mail.opaque import rewrite_reverse_path
from smtp_edge.clients import LOOPBACK
from smtp_edge.doorkeeper import Doorkeeper
from smtp_edge.limits import Limits
from smtp_edge.shared_counts import OwnCounts
from tests.smtp_edge.listening import Client, listening


def strict(unlimited=(), **limits):
    return {
        "limits": Limits(**limits),
        "doorkeeper": lambda limits, world: Doorkeeper(
            limits,
            counts=OwnCounts(clock=lambda: 1_800_000_000.0),
            reporter=world,
            unlimited=unlimited,
        ),
    }


def turned_away(mx, source="127.0.0.1") -> str:
    client = Client(mx.port, source=source)
    reply = client.reply()
    if not reply.startswith("220"):
        assert client.is_closed()
    return reply


def test_a_client_connects_so_often_in_a_minute(world):
    with listening(world, **strict(connections_per_minute=3)) as mx:
        for _ in range(3):
            mx.connect().close()

        assert turned_away(mx).startswith("421 4.7.0")
        assert turned_away(mx, "127.0.0.2").startswith("220")
        assert [one.event.rule for one in world.refusals] == ["too_often"]


def test_who_is_turned_away_often_is_written_down_once(world):
    with listening(world, **strict(connections_per_minute=1)) as mx:
        mx.connect().close()

        for _ in range(20):
            assert turned_away(mx).startswith("421 4.7.0")

        assert len(world.refusals) == 1


@pytest.mark.parametrize("seconds", [0])
def test_networks_that_are_trusted_have_no_rates(world, letter, seconds):
    limits = {"connections_per_minute": 1, "messages_per_minute": 1, "refused_per_minute": 1}
    limits |= {"route_messages_per_minute": 1, "tenant_messages_per_minute": 1}
    with listening(world, **strict(LOOPBACK, refused_delay_seconds=seconds, **limits)) as mx:
        for _ in range(3):
            client = mx.connect()
            assert client.mail("bob@sender.example", "nobody@example.org").startswith("550")
            client.say("RSET")
            assert client.deliver(letter, "hi@example.org").startswith("250")


def test_a_client_sends_so_much_in_a_minute(world, letter):
    with listening(world, **strict(messages_per_minute=2)) as mx:
        client = mx.connect()
        for _ in range(2):
            assert client.deliver(letter, "hi@example.org").startswith("250")

        assert client.say("MAIL FROM:<bob@sender.example>").startswith("421 4.7.0")
        assert client.is_closed()
        assert world.refusals[0].event.stage == "mail"


def test_who_tries_a_dictionary_is_sent_away_and_stays_away(world):
    with listening(world, **strict(refused_per_minute=4, refused_delay_seconds=0)) as mx:
        client = mx.connect()
        client.mail("bob@sender.example")
        replies = [client.say(f"RCPT TO:<name{number}@example.org>") for number in range(5)]

        assert [reply[:9] for reply in replies] == ["550 5.1.1"] * 4 + ["421 4.7.0"]
        assert client.is_closed()
        assert turned_away(mx).startswith("421 4.7.0")
        assert turned_away(mx, "127.0.0.2").startswith("220")


def test_each_refused_recipient_takes_a_while_after_some(world):
    with listening(world, **strict(refused_before_delay=2, refused_delay_seconds=0.3)) as mx:
        client = mx.connect()
        client.mail("bob@sender.example")
        began = time.monotonic()
        for number in range(2):
            client.say(f"RCPT TO:<name{number}@example.org>")
        quick = time.monotonic() - began

        assert client.say("RCPT TO:<another@example.org>").startswith("550 5.1.1")
        assert quick < 2 * 0.3
        assert time.monotonic() - began > quick + 0.28
        assert client.say("RCPT TO:<hi@example.org>").startswith("250")


def test_return_addresses_that_we_never_made_are_counted_for_everybody(world):
    forged = rewrite_reverse_path(
        "bob@sender.example",
        secrets=(b"not our secret at all",),
        today=datetime.now(UTC).date(),
        domain="fwd.mxax.test",
    ).path
    with listening(world, **strict(LOOPBACK, bad_returns_per_minute=2)) as mx:
        client = mx.connect()
        client.mail("")
        replies = [client.say(f"RCPT TO:<{forged}>") for _ in range(3)]

        assert [reply[:9] for reply in replies] == ["550 5.1.1", "550 5.1.1", "421 4.7.0"]
        assert turned_away(mx).startswith("421 4.7.0")


@pytest.mark.parametrize(
    ("limits", "same_tenant"),
    [
        ({"route_messages_per_minute": 2}, "250"),
        ({"route_messages_per_hour": 2}, "250"),
        ({"tenant_messages_per_minute": 2}, "450"),
        ({"tenant_messages_per_hour": 2}, "450"),
    ],
)
def test_a_route_and_a_tenant_get_so_much_in_a_time(world, letter, limits, same_tenant):
    with listening(world, **strict(**limits)) as mx:
        client = mx.connect()
        for _ in range(2):
            assert client.deliver(letter, "hi@example.org").startswith("250")
        client.say("MAIL FROM:<bob@sender.example>")

        assert client.say("RCPT TO:<hi@example.org>").startswith("450 4.7.1")
        assert client.say("RCPT TO:<team@example.org>").startswith(same_tenant)
        assert client.say("RCPT TO:<hi@other.example>").startswith("250")
        assert client.say("RCPT TO:<abuse@example.org>").startswith("250")
        assert world.refusals[0].event.rule == "busy_recipient"


def test_one_message_to_two_routes_of_a_tenant_counts_once_for_him(world, letter):
    with listening(world, **strict(tenant_messages_per_minute=2)) as mx:
        client = mx.connect()
        client.mail("bob@sender.example", "hi@example.org", "team@example.org")
        assert client.data(letter).startswith("250")

        assert client.deliver(letter, "hi@example.org").startswith("250")
        client.say("MAIL FROM:<bob@sender.example>")
        assert client.say("RCPT TO:<hi@example.org>").startswith("450 4.7.1")
