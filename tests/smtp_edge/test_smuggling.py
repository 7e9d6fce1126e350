"""Nothing but CRLF "." CRLF ends a message, and no message holds a lone CR, LF or NUL (B1)."""

import pytest

SMUGGLED = (
    b"MAIL FROM:<mallory@away.example>\r\nRCPT TO:<hi@example.org>\r\nDATA\r\n"
    b"Subject: smuggled\r\n\r\nsmuggled\r\n"
)

FAKE_ENDS = {
    "LF.LF": b"\n.\n",
    "LF.CRLF": b"\n.\r\n",
    "CRLF.LF": b"\r\n.\n",
    "CR.CR": b"\r.\r",
    "CR.LF": b"\r.\n",
    "LF.CR": b"\n.\r",
    "CR.CRLF": b"\r.\r\n",
    "CRLF.CR": b"\r\n.\r",
    "CRLF.CRCRLF": b"\r\n.\r\r\n",
    "CRCRLF.CRLF": b"\r\r\n.\r\r\n",
    "NUL before dot": b"\r\n\0.\r\n",
    "NUL after dot": b"\r\n.\0\r\n",
}


@pytest.mark.parametrize("end", FAKE_ENDS.values(), ids=FAKE_ENDS)
def test_a_fake_end_of_data_smuggles_nothing(mx, letter, end):
    client = mx.connect()
    client.mail("bob@sender.example", "hi@example.org")

    reply = client.data(letter.removesuffix(b"\r\n") + end + SMUGGLED)

    assert reply.startswith("550 5.5.2")
    assert mx.world.kept == []
    assert client.say("NOOP").startswith("250")


@pytest.mark.parametrize("end", FAKE_ENDS.values(), ids=FAKE_ENDS)
@pytest.mark.parametrize("cut", [1, 2, 3])
def test_nor_does_it_in_two_writes(mx, letter, end, cut):
    client = mx.connect()
    client.mail("bob@sender.example", "hi@example.org")
    client.say("DATA")

    client.send(letter.removesuffix(b"\r\n") + end[:cut])
    client.send(end[cut:] + SMUGGLED)
    client.send(b"\r\n.\r\n")

    assert client.reply().startswith("550 5.5.2")
    assert mx.world.kept == []


@pytest.mark.parametrize("stray", [b"\r", b"\n", b"\0"])
@pytest.mark.parametrize("place", ["header", "body", "far"])
def test_one_stray_octet_anywhere_is_refused(mx, letter, stray, place):
    octets = {
        "header": b"Subject: a" + stray + b"b\r\n" + letter,
        "body": letter + b"a" + stray + b"b\r\n",
        "far": letter + b"line\r\n" * 120_000 + b"a" + stray + b"b\r\n" + b"line\r\n" * 50_000,
    }[place]
    client = mx.connect()

    reply = client.deliver(octets, "hi@example.org")

    assert reply.startswith("550 5.5.2")
    assert mx.world.kept == []
    assert len(mx.world.discarded) == (place == "far")
    assert client.deliver(letter, "hi@example.org").startswith("250")


def test_a_genuine_end_right_before_a_command_ends_the_message(mx, letter):
    client = mx.connect()
    client.mail("bob@sender.example", "hi@example.org")
    client.say("DATA")

    client.send(letter + b".\r\nNOOP\r\nQUIT\r\n")

    replies = [client.reply() for _ in range(3)]
    assert [reply[:3] for reply in replies] == ["250", "250", "221"]
    assert len(mx.world.kept) == 1


@pytest.mark.parametrize(
    "line",
    [
        b"NOOP\n",
        b"NOOP\rNOOP\r\n",
        b"NO\0OP\r\n",
        b"NOOP \x1b[31m\r\n",
        b"NOOP\t\r\n",
        b"\xff\xfe\r\n",
    ],
)
def test_commands_end_in_crlf_and_hold_no_control_characters(mx, line):
    client = mx.connect()

    client.send(line)

    assert client.reply().startswith("500 5.5.2")
