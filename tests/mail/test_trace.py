"""The marks that we put on mail; what Mallory says in HELO ends up in one of them."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mail.errors import BadTraceId
from mail.message import header_fields
from mail.trace import (
    Hop,
    format_trace_id,
    new_trace_id,
    parse_trace_id,
    printable,
    protocol,
    received_field,
)

NOW = datetime(2026, 11, 22, 5, 0, 0, tzinfo=UTC)
TRACE = new_trace_id(1_795_323_600_000, bytes(range(10)))
MALICE = [
    "evil\r\nBcc: everybody@example.org",
    "evil\nX-Injected: yes",
    "evil\rX-Injected: yes",
    "evil\u2028X-Injected: yes",
    "evil\x85X-Injected: yes",
    "evil\x00",
    "\x1b[31mred\x1b[0m",
    "evil) (mail.ours.test [127.0.0.1]",
    "evil; Sun, 22 Nov 2026 05:00:00 +0000",
    'evil "quoted',
    "<evil@ours.test>",
    "[evil] by mx.ours.test",
    "ünïcode.example",
    "\udcff",
    "",
    "x" * 10_000,
]


def hop(**changes) -> Hop:
    given_hop = {
        "helo": "client.example.org",
        "client_ip": "192.0.2.1",
        "service": "mx.ours.test",
        "trace_id": TRACE,
        "received_at": NOW,
    }
    return Hop(**(given_hop | changes))


def test_a_hop_is_told_in_one_field():
    field = received_field(hop(client_name="host.example.org", tls=True, recipient="ada@x.test"))

    assert field == (
        b"Received: from client.example.org\r\n\t(host.example.org [192.0.2.1])\r\n"
        b"\tby mx.ours.test with ESMTPS\r\n\tid " + format_trace_id(TRACE).encode() + b"\r\n"
        b"\tfor <ada@x.test>;\r\n\tSun, 22 Nov 2026 05:00:00 +0000\r\n"
    )


def test_an_unknown_client_and_ipv6_are_written_as_the_rfc_says():
    field = received_field(hop(helo="[IPv6:2001:db8::1]", client_ip="2001:DB8::1"))

    assert b"from [IPv6:2001:db8::1]\r\n\t(unknown [IPv6:2001:db8::1])\r\n" in field
    assert b"for <" not in field


def test_submission_does_not_tell_where_the_client_is():
    assert b"(" not in received_field(hop(client_ip="", authenticated=True))


@pytest.mark.parametrize("text", MALICE)
@pytest.mark.parametrize("piece", ["helo", "client_name", "client_ip", "service", "recipient"])
def test_no_piece_breaks_the_field(piece, text):
    octets = received_field(hop(**{piece: text})) + b"Subject: x\r\n\r\n"

    received, subject = header_fields(octets)

    lines = received.raw.split(b"\r\n")
    assert (received.name, subject.name) == (b"received", b"subject")
    assert received.raw.isascii()
    assert not any(octet < 32 and octet not in b"\t\r\n" for octet in received.raw)
    assert received.raw.count(b"\n") == received.raw.count(b"\r") == len(lines) - 1
    assert all(line.startswith(b"\t") for line in lines[1:-1])
    assert max(map(len, lines)) < 998
    assert received.raw.count(b"(") == received.raw.count(b")") <= 1
    assert received.raw.count(b";") == 1


def test_a_recipient_with_other_letters_is_named_only_where_the_client_used_them():
    assert "for <adä@x.test>".encode() in received_field(hop(utf8=True, recipient="adä@x.test"))
    assert b"for <" not in received_field(hop(recipient="adä@x.test"))


@pytest.mark.parametrize("path", ["a\u2028@x.test", "a\u202e@x.test", "a\x85@x.test", "a b@x.test"])
def test_a_recipient_that_would_not_print_is_not_named(path):
    assert b"for <" not in received_field(hop(utf8=True, recipient=path))


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"extended": False}, "SMTP"),
        ({}, "ESMTP"),
        ({"tls": True}, "ESMTPS"),
        ({"authenticated": True}, "ESMTPA"),
        ({"tls": True, "authenticated": True}, "ESMTPSA"),
        ({"utf8": True}, "UTF8SMTP"),
        ({"utf8": True, "tls": True, "authenticated": True}, "UTF8SMTPSA"),
    ],
)
def test_the_protocol_is_named_as_registered(changes, word):
    assert protocol(hop(**changes)) == word


@given(st.integers(0, (1 << 48) - 1), st.binary(min_size=10, max_size=16))
def test_a_trace_id_is_a_uuid_of_version_7_and_comes_back(now_ms, random_bytes):
    trace_id = new_trace_id(now_ms, random_bytes)

    text = format_trace_id(trace_id)

    assert (trace_id.version, trace_id.variant) == (7, "specified in RFC 4122")
    assert trace_id.int >> 80 == now_ms
    assert len(text) == 26
    assert text == text.lower()
    assert parse_trace_id(text) == trace_id


@given(st.uuids(), st.uuids())
def test_printed_ids_sort_as_the_ids(one, other):
    assert (one < other) == (format_trace_id(one) < format_trace_id(other))


def test_all_the_randomness_is_used():
    ids = {new_trace_id(0, (1 << bit).to_bytes(10, "big")) for bit in range(6, 80)}

    assert len(ids) == 74


def test_a_trace_id_is_read_as_people_copy_it():
    text = format_trace_id(UUID(int=1))
    spoken = text.upper().replace("0", "O", 1).replace("1", "L")

    assert parse_trace_id(f" {spoken[:10]}-{spoken[10:]} ") == UUID(int=1)


@pytest.mark.parametrize("text", ["", "x", "8" + "0" * 25, "u" * 26, "0" * 27, "٠" * 26])
def test_what_is_no_trace_id_is_refused(text):
    with pytest.raises(BadTraceId):
        parse_trace_id(text)


def test_too_little_randomness_is_a_mistake_of_ours():
    with pytest.raises(ValueError, match="10 random octets"):
        new_trace_id(0, b"short")


@pytest.mark.parametrize("text", MALICE)
def test_what_goes_to_a_log_is_one_harmless_line(text):
    shown = printable(text)

    assert shown.isprintable()
    assert len(shown) <= 200
    assert len(shown.splitlines()) <= 1


def test_escapes_are_told_from_what_looks_like_one():
    assert printable("a\r\nb") == "a\\r\\nb"
    assert printable("a\\r\\nb") == "a\\\\r\\\\nb"
    assert printable("\x1b[31m") == "\\x1b[31m"
    assert printable("\u202eevil") == "\\u202eevil"
    assert printable(b"\xff\n") == "\\udcff\\n"
    assert printable("plain text, ünïcode too") == "plain text, ünïcode too"


def test_what_is_cut_shows_that_it_was():
    assert printable("x" * 201) == "x" * 199 + "…"
    assert printable("x" * 200) == "x" * 200
