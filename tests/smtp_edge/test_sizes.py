"""Sizes: what is too large is refused early, in bounded memory, and the session goes on."""

import resource
import time

import pytest

from smtp_edge.limits import Limits
from tests.smtp_edge.listening import listening
from tests.timing import within_cpu

LIMIT = 300_000


@pytest.fixture
def mx(world):
    with listening(world, limits=Limits(message_octets=LIMIT)) as mx:
        yield mx


def test_a_declared_size_above_the_limit_is_refused_at_mail(mx, letter):
    client = mx.connect()

    reply = client.say(f"MAIL FROM:<bob@sender.example> SIZE={LIMIT + 1}")

    assert reply.startswith("552 5.3.4")
    assert client.deliver(letter, "hi@example.org").startswith("250")


@pytest.mark.parametrize(("octets", "expected"), [(LIMIT, "250 2.0.0"), (LIMIT + 1, "552 5.3.4")])
def test_an_undeclared_size_is_judged_at_the_dot(mx, letter, octets, expected):
    head = b"Subject: x\r\n\r\n"
    body = (b"a" * 98 + b"\r\n") * ((octets - len(head)) // 100)
    body += b"b" * (octets - len(head) - len(body) - 2) + b"\r\n"
    client = mx.connect()

    reply = client.deliver(head + body, "hi@example.org")

    assert reply.startswith(expected)
    assert client.deliver(letter, "hi@example.org").startswith("250")


def test_dots_that_the_client_added_do_not_count(mx):
    head = b"Subject: x\r\n\r\n"
    lines = (LIMIT - len(head)) // 3
    client = mx.connect()

    reply = client.deliver(head + b"..\r\n" * lines, "hi@example.org")

    assert reply.startswith("250")


def test_who_sends_without_end_is_cut_off(mx):
    client = mx.connect()
    client.mail("bob@sender.example", "hi@example.org")
    client.say("DATA")

    with pytest.raises((ConnectionError, TimeoutError)):  # noqa: PT012
        for _ in range(50):
            client.send(b"Subject: x\r\n\r\n" + b"more and more\r\n" * 20_000)
            time.sleep(0.01)
        raise TimeoutError

    assert mx.world.kept == []


@pytest.mark.parametrize(("length", "expected"), [(512, "250"), (513, "500 5.5.2")])
def test_a_command_line_has_512_octets_at_most(mx, length, expected):
    client = mx.connect()

    client.send(b"NOOP " + b"x" * (length - 7) + b"\r\n")

    assert client.reply().startswith(expected)


def test_one_sessions_extensions_do_not_widen_the_limits_of_another(mx):
    wide, narrow = mx.connect(), mx.connect(greet=False)
    wide.say("EHLO again.example")
    narrow.say("HELO plain.example")
    line = b"MAIL FROM:<" + b"x" * 530 + b">"

    assert wide.say(line).startswith("553 5.1.7")
    assert narrow.say(line).startswith("500 5.5.2")


def test_ten_megabytes_without_a_line_end_cost_no_memory(mx):
    client = mx.connect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    for _ in range(160):
        client.send(b"x" * 65536)
    client.send(b"\r\n")

    assert client.reply().startswith("500 5.5.2")
    assert client.say("NOOP").startswith("250")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 4096  # kilobytes


@pytest.mark.parametrize("length", [998, 999, 1001, 10_000, 250_000])
def test_a_text_line_of_any_length_arrives_unmodified(mx, length):
    octets = b"Subject: x\r\n\r\n" + b"w" * length + b"\r\nend\r\n"
    client = mx.connect()

    reply = client.deliver(octets, "hi@example.org")

    assert reply.startswith("250")
    assert mx.world.content().endswith(octets)


@pytest.mark.parametrize(
    "header",
    [b"X-Long: " + b"a" * 120_000 + b"\r\n", b"X-Many: b\r\n" * 20_000],
    ids=["one long field", "many fields"],
)
def test_a_header_block_above_100_kilobytes_is_refused(mx, letter, header):
    client = mx.connect()

    reply = within_cpu(lambda: client.deliver(header + letter, "hi@example.org"), seconds=1)

    assert reply.startswith("552 5.3.4")
    assert client.deliver(letter, "hi@example.org").startswith("250")


def test_ten_thousand_short_fields_are_read_in_no_time(mx, letter):
    client = mx.connect()
    octets = b"X: y\r\n" * 10_000 + letter

    reply = within_cpu(lambda: client.deliver(octets, "hi@example.org"), seconds=1)

    assert reply.startswith("250")


def test_a_thousand_recipients_and_not_one_more(mx):
    mx.world.host(mx.world.domains["example.org"])
    client = mx.connect()
    client.mail("bob@sender.example")

    replies = [client.say(f"RCPT TO:<hi+{n}@example.org>") for n in range(1001)]

    assert all(reply.startswith("250") for reply in replies[:1000])
    assert replies[1000].startswith("452 4.5.3")
    assert client.data(b"Subject: to all\r\n\r\n").startswith("250")
    assert len(mx.world.kept[0].plan.deliveries) == 1000


def test_a_message_has_a_thousand_deliveries_at_most(mx):
    client = mx.connect()
    client.mail("bob@sender.example")

    replies = [client.say(f"RCPT TO:<team+{n}@example.org>") for n in range(501)]

    assert all(reply.startswith("250") for reply in replies[:500])
    assert replies[500].startswith("452 4.5.3")
