"""The order of commands, what is advertised, and budgets for clients that behave badly."""

import re
import socket
import time

import pytest

from smtp_edge.limits import Limits
from tests.smtp_edge.listening import Client, listening
from tests.timing import eventually


def test_the_banner_tells_no_version(mx):
    client = Client(mx.port)

    assert client.reply() == "220 mxax.test ESMTP"


def test_only_what_works_is_advertised(mx):
    client = mx.connect(greet=False)
    client.send(b"EHLO client.example\r\n")

    lines = client.lines()

    assert lines == [
        "250-mxax.test",
        "250-PIPELINING",
        "250-SIZE 52428800",
        "250-ENHANCEDSTATUSCODES",
        "250-8BITMIME",
        "250 SMTPUTF8",
    ]


@pytest.mark.parametrize(
    ("keyword", "line", "expected"),
    [
        ("PIPELINING", "MAIL FROM:<a@b.example>\r\nRCPT TO:<hi@example.org>", ["250", "250"]),
        ("SIZE", "MAIL FROM:<a@b.example> SIZE=52428801", ["552"]),
        ("SIZE", "MAIL FROM:<a@b.example> SIZE=52428800", ["250"]),
        ("8BITMIME", "MAIL FROM:<a@b.example> BODY=8BITMIME", ["250"]),
        ("SMTPUTF8", "MAIL FROM:<jürgen@b.example> SMTPUTF8", ["250"]),
        ("ENHANCEDSTATUSCODES", "MAIL FROM:<a@b.example>", ["250 2.1.0"]),
    ],
)
def test_each_keyword_that_is_advertised_works(mx, keyword, line, expected):
    client = Client(mx.port)
    client.reply()
    client.send(b"EHLO client.example\r\n")
    assert any(one[4:].split(" ")[0] == keyword for one in client.lines())

    client.send(f"{line}\r\n".encode())

    for code in expected:
        assert client.reply().startswith(code)


@pytest.mark.parametrize(
    "line",
    [
        "BDAT 5 LAST",
        "MAIL FROM:<a@b.example> BODY=BINARYMIME",
        "MAIL FROM:<a@b.example> REQUIRETLS",
        "MAIL FROM:<a@b.example> RET=FULL",
        "AUTH PLAIN AGEAYg==",
    ],
)
def test_what_is_not_advertised_is_refused(mx, line):
    client = mx.connect()

    assert client.say(line)[0] == "5"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("BDAT 10 LAST", "500 5.5.1"),
        ("AUTH PLAIN AGEAYg==", "503 5.5.1"),
        ("VRFY hi@example.org", "252 2.5.2"),
        ("EXPN list", "502 5.5.1"),
        ("HELP", "214 2.0.0"),
        ("NOOP whatever", "250 2.0.0"),
        ("WHATEVER", "500 5.5.1"),
        ("RSET now", "501 5.5.4"),
        ("QUIT now", "501 5.5.4"),
        ("EHLO", "501 5.5.4"),
        ("STARTTLS", "454 4.7.0"),
        ("RCPT TO:<hi@example.org>", "503 5.5.1"),
        ("DATA", "503 5.5.1"),
        ("MAIL FROM: <bob@sender.example>", "250 2.1.0"),
        ("mail from:<bob@sender.example>", "250 2.1.0"),
        ("MAIL FROM:<>", "250 2.1.0"),
        ("MAIL FROM:<bob@sender.example> BODY=8BITMIME SIZE=100", "250 2.1.0"),
        ("MAIL FROM:<bob@sender.example> BODY=BINARYMIME", "501 5.5.4"),
        ("MAIL FROM:<bob@sender.example> SIZE=many", "501 5.5.4"),
        ("MAIL FROM:<bob@sender.example> SIZE=1 SIZE=2", "501 5.5.4"),
        ("MAIL FROM:<bob@sender.example> RET=HDRS", "555 5.5.4"),
        ("MAIL FROM:<bob@sender.example> REQUIRETLS", "555 5.5.4"),
        ("MAIL FROM:<bob@@sender.example>", "553 5.1.7"),
        ("MAIL FROM:<jürgen@sender.example>", "553 5.6.7"),
        ("MAIL FROM:<jürgen@sender.example> SMTPUTF8", "250 2.1.0"),
        ("MAIL TO:<bob@sender.example>", "501 5.5.4"),
        ("MAIL", "501 5.5.4"),
    ],
)
def test_each_command_has_its_reply_with_an_enhanced_code(mx, line, expected):
    client = mx.connect()

    assert client.say(line).startswith(expected)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("RCPT TO:<hi@example.org> NOTIFY=NEVER", "555 5.5.4"),
        ("RCPT TO:<>", "501 5.1.3"),
        ("RCPT FROM:<hi@example.org>", "501 5.5.4"),
        ("RCPT TO:<hi@exämple.org>", "553 5.6.7"),
        ("MAIL FROM:<again@sender.example>", "503 5.5.1"),
        ("DATA", "503 5.5.1"),
        ("DATA now", "501 5.5.4"),
    ],
)
def test_each_command_inside_a_transaction(mx, line, expected):
    client = mx.connect()
    client.mail("bob@sender.example")

    assert client.say(line).startswith(expected)


@pytest.mark.parametrize("line", ["MAIL FROM:<a@b.example>", "RCPT TO:<hi@example.org>", "DATA"])
def test_nothing_happens_before_the_client_says_its_name(mx, line):
    client = mx.connect(greet=False)

    assert client.say(line).startswith("503 5.5.1")


def test_data_without_any_valid_recipient_is_refused(mx):
    client = mx.connect()
    client.mail("bob@sender.example", "nobody@example.org")

    assert client.say("DATA").startswith("554 5.5.1")


@pytest.mark.parametrize("command", ["RSET", "EHLO again.example", "HELO again.example"])
def test_a_transaction_is_forgotten(mx, command):
    client = mx.connect()
    client.mail("bob@sender.example", "hi@example.org")

    assert client.say(command).startswith("250")

    assert client.say("DATA").startswith("503 5.5.1")


def test_helo_knows_no_parameters(mx):
    client = mx.connect(greet=False)
    client.say("HELO plain.example")

    assert client.say("MAIL FROM:<bob@sender.example> SIZE=1").startswith("555 5.5.4")
    assert client.deliver(b"Subject: x\r\n\r\n", "hi@example.org").startswith("250")
    assert mx.world.kept[0].plan.protocol == "SMTP"


def test_pipelined_commands_are_answered_in_order_and_in_one_write(mx, letter):
    client = mx.connect()
    client.send(
        b"MAIL FROM:<bob@sender.example>\r\nRCPT TO:<hi@example.org>\r\n"
        b"RCPT TO:<nobody@example.org>\r\nDATA\r\n"
    )
    eventually(lambda: client.socket.recv(65536, socket.MSG_PEEK).count(b"\r\n") == 4)

    received = client.socket.recv(65536).decode().split("\r\n")

    assert [line[:9] for line in received] == [
        "250 2.1.0",
        "250 2.1.5",
        "550 5.1.1",
        "354 End d",
        "",
    ]
    client.send(letter + b".\r\n")
    assert client.reply().startswith("250")


def test_a_client_that_closes_its_half_still_gets_its_answers(mx, letter):
    client = mx.connect()
    client.send(
        b"MAIL FROM:<bob@sender.example>\r\nRCPT TO:<hi@example.org>\r\nDATA\r\n"
        + letter
        + b".\r\n"
    )
    client.socket.shutdown(socket.SHUT_WR)

    assert [client.reply()[:3] for _ in range(4)] == ["250", "250", "354", "250"]
    assert client.is_closed()


def test_errors_are_slowed_down_after_ten_and_end_at_twenty(world):
    limits = Limits(error_delay_seconds=0.1)
    with listening(world, limits=limits) as mx:
        client = mx.connect()
        began = time.monotonic()

        first = [client.say("WRONG") for _ in range(10)]
        quick = time.monotonic() - began
        rest = [client.say("WRONG") for _ in range(10)]
        farewell = client.reply()

        assert all(reply.startswith("500 5.5.1") for reply in first + rest)
        slow = time.monotonic() - began - quick
        assert slow > 0.9
        assert quick < slow / 2
        assert farewell.startswith("421 4.7.0")
        assert client.is_closed()


def test_a_delivered_message_forgives_earlier_errors(mx, letter):
    client = mx.connect()

    for _ in range(3):
        for _ in range(9):
            client.say("WRONG")
        assert client.deliver(letter, "hi@example.org").startswith("250")


@pytest.mark.parametrize("command", ["NOOP", "RSET", "VRFY x"])
def test_a_hundred_commands_without_mail_are_enough(mx, command):
    client = mx.connect()

    replies = [client.say(command) for _ in range(99)]

    assert all(reply[0] == "2" for reply in replies)
    assert client.say(command).startswith("421 4.7.0")
    assert client.is_closed()


def test_a_client_has_so_many_connections_and_no_more(world):
    with listening(world, limits=Limits(client_connections=3)) as mx:
        clients = [mx.connect() for _ in range(3)]

        turned_away = Client(mx.port)

        assert turned_away.reply().startswith("421 4.7.0")
        assert turned_away.is_closed()
        clients[0].say("QUIT")
        clients[0].close()
        eventually(lambda: len(mx.listener._sessions) == 2)
        assert mx.connect().say("NOOP").startswith("250")


def test_other_addresses_are_not_affected(world):
    with listening(world, limits=Limits(client_connections=1)) as mx:
        mx.connect()
        other = Client.__new__(Client)
        other.socket = socket.create_connection(
            ("127.0.0.1", mx.port), timeout=60, source_address=("127.0.0.2", 0)
        )
        other._unread = b""

        assert other.reply().startswith("220")


def test_every_reply_has_an_enhanced_code():
    from smtp_edge import replies

    for name, reply in vars(replies).items():
        if name.isupper():
            assert reply.basic == 354 or re.fullmatch(r"[245]\.\d\.\d", reply.enhanced), name
