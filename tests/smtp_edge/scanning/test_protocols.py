"""The three protocols as octets: what is said, and how answers read, hostile ones included."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mail.envelope import Client
from mail.scanning import ScanOutcome, ScanResult
from mail.trace import format_trace_id
from smtp_edge.scanning import clamd, rspamd, spamd
from smtp_edge.scanning.dialect import Unusable
from tests.smtp_edge.scanning.peers import ENVELOPE, REQUEST, TRACE
from tests.timing import within_cpu

LOOKS_LIKE_A_RESULT = b'{"action":"no action","score":1,"required_score":15'


def test_rspamd_is_told_the_envelope_in_fields():
    assert rspamd.Rspamd("secret").opening(REQUEST, 1234).split(b"\r\n") == [
        b"POST /checkv2 HTTP/1.1",
        b"Host: rspamd",
        b"Connection: close",
        b"Content-Type: application/octet-stream",
        b"Content-Length: 1234",
        b"IP: 192.0.2.7",
        b"Helo: mail.ada.example",
        b"Hostname: mail.ada.example",
        b"From: <ada@ada.example>",
        b"Rcpt: <ben@ben.example>",
        b"Queue-Id: " + format_trace_id(ENVELOPE.trace_id).encode(),
        b"Password: secret",
        b"",
        b"",
    ]


def test_what_strangers_say_makes_no_field_of_its_own():
    client = Client("192.0.2.7", 25, "x\r\nPassword: y\r\n\r\n", "SMTP")
    envelope = replace(ENVELOPE, client=client, reverse_path='"a\r\nSettings: {}"@x')
    request = replace(REQUEST, envelope=envelope, recipients=("b\nPass: all@x",))

    for opening in (rspamd.Rspamd().opening(request, 1), spamd.Spamd().opening(request, 1)):
        lines = opening.replace(TRACE, b"").split(b"\r\n")
        assert not [line for line in lines if line.startswith((b"Password", b"Settings", b"Pass"))]
        assert not [line for line in lines if b"\n" in line or b"\r" in line]


def test_a_thousand_recipients_do_not_make_the_question_too_long():
    request = replace(REQUEST, recipients=tuple(f"{'x' * 60}{n}@x.example" for n in range(1000)))

    assert len(rspamd.Rspamd().opening(request, 1)) < 8_000


def test_spamd_gets_our_received_field_and_the_reverse_path_before_the_message():
    before = b"X-Envelope-From: <ada@ada.example>\r\n" + TRACE

    assert spamd.Spamd().opening(REQUEST, 100) == (
        b"SYMBOLS SPAMC/1.5\r\nContent-length: %d\r\n\r\n" % (100 + len(before)) + before
    )


def test_clamd_gets_chunks_with_their_length_and_no_empty_one():
    dialect = clamd.Clamd()

    assert dialect.opening(REQUEST, 5) + dialect.framed(b"hello") + dialect.ending() == (
        b"zINSTREAM\0\0\0\0\x05hello\0\0\0\0"
    )
    assert dialect.framed(b"") == b""


def verdict(**more: object) -> ScanResult:
    answer = {"action": "no action", "score": 1.5, "required_score": 15.0, "symbols": {}} | more
    return rspamd.read_verdict(json.dumps(answer).encode())


@pytest.mark.parametrize(
    ("action", "outcome"),
    [
        ("no action", ScanOutcome.CLEAN),
        ("greylist", ScanOutcome.CLEAN),
        ("add header", ScanOutcome.SPAM),
        ("rewrite subject", ScanOutcome.SPAM),
        ("reject", ScanOutcome.SPAM),
        ("soft reject", ScanOutcome.FAILED),
    ],
)
def test_an_action_of_rspamd_is_an_outcome(action, outcome):
    assert verdict(action=action).outcome is outcome


def test_rspamd_says_from_where_on_it_is_spam():
    assert verdict().threshold == 15
    assert verdict(thresholds={"reject": 15, "add header": 6}).threshold == 6


def test_the_symbols_that_weigh_most_come_first():
    symbols = {"SMALL": {"score": 0.1}, "GOOD": {"score": -7}, "BAD": {"score": 3}, "ODD": None}

    assert verdict(symbols=symbols).names == ("GOOD", "BAD", "SMALL", "ODD")


def test_what_rspamd_was_told_to_skip_is_skipped_but_its_test_pattern_is_not():
    assert verdict(is_skipped=True).outcome is ScanOutcome.SKIPPED
    assert verdict(is_skipped=True, action="reject").outcome is ScanOutcome.SPAM


@pytest.mark.parametrize(
    "body",
    [
        b"", b"no", b"[]", b"null", b"{}", b'"x"', b"\xff\xfe", b"[" * 1_000_000,
        b'{"a":' * 200_000,
        LOOKS_LIKE_A_RESULT.replace(b"1,", b"1e999,") + b"}",
        LOOKS_LIKE_A_RESULT.replace(b"1,", b"NaN,") + b"}",
        LOOKS_LIKE_A_RESULT.replace(b"1,", b"9" * 400 + b",") + b"}",
        LOOKS_LIKE_A_RESULT.replace(b"1,", b"9" * 9000 + b",") + b"}",
        LOOKS_LIKE_A_RESULT.replace(b"1,", b"true,") + b"}",
        LOOKS_LIKE_A_RESULT.replace(b"no action", b"drop tables") + b"}",
        LOOKS_LIKE_A_RESULT.replace(b'"no action"', b"[]") + b"}",
        LOOKS_LIKE_A_RESULT,
    ],
)  # fmt: skip
def test_an_answer_that_is_none_is_no_verdict(body):
    def read() -> None:
        with pytest.raises(Unusable):
            rspamd.read_verdict(body)

    within_cpu(read, seconds=1)


def test_names_are_printable_in_one_word_and_fifty_at_most():
    evil = {f"{number}\r\nX-Spam: \u202e,{'x' * 200}": {} for number in range(5000)}

    names = verdict(symbols=evil).names

    assert len(names) == 50
    assert all(name.isascii() and name.isprintable() and len(name) <= 80 for name in names)
    assert not set("".join(names)) & set(", ;\r\n")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Spam: True ; 1000.3 / 5.0", ScanResult("spamd", ScanOutcome.SPAM, 1000.3, 5, ("A", "B"))),
        ("Spam: False ; -1.9 / 5.0", ScanResult("spamd", ScanOutcome.CLEAN, -1.9, 5, ("A", "B"))),
    ],
)
def test_spamds_verdict(line, expected):
    head = f"Content-length: 3\r\n{line}\r\n\r\n".encode()

    assert spamd.read_verdict(head, b"A,B\r\n") == expected


@pytest.mark.parametrize(
    "line",
    [b"Spam: True ; nan / 5.0", b"Spam: True ; 1e9 / 5.0", b"Spam: perhaps ; 1 / 5", b"Spam:", b"",
     b"Spam: True ; 9999999 / 5.0", b"Spam: True ; \xd9\xa1 / 5"],
)  # fmt: skip
def test_a_verdict_of_spamd_that_is_none(line):
    with pytest.raises(Unusable):
        spamd.read_verdict(line + b"\r\n\r\n", b"")


@pytest.mark.parametrize(
    ("line", "outcome", "names"),
    [
        ("stream: OK", ScanOutcome.CLEAN, ()),
        ("instream(127.0.0.1@1): OK", ScanOutcome.CLEAN, ()),
        ("stream: Eicar-Test FOUND", ScanOutcome.VIRUS, ("Eicar-Test",)),
        ("stream: {HEX}Eicar.3.UNOFFICIAL FOUND", ScanOutcome.VIRUS, ("{HEX}Eicar.3.UNOFFICIAL",)),
        (f"stream: Eicar({'4d' * 16}:68) FOUND", ScanOutcome.VIRUS, ("Eicar",)),
        ("INSTREAM size limit exceeded. ERROR", ScanOutcome.SKIPPED, ()),
    ],
)
def test_clamds_verdict(line, outcome, names):
    result = clamd.read_verdict(line)

    assert (result.outcome, result.names) == (outcome, names)


@pytest.mark.parametrize(
    "line", ["", "OK", "stream: ", "stream: OK and more", "stream: Can't open file ERROR",
             "COMMAND READ TIMED OUT", "stream: x\nFOUND", "stream:  FOUND"]
)  # fmt: skip
def test_a_verdict_of_clamd_that_is_none(line):
    with pytest.raises(Unusable):
        clamd.read_verdict(line)


@given(st.binary(max_size=300))
def test_no_octets_break_a_reader(octets):
    readers = (
        rspamd.read_verdict,
        lambda body: spamd.read_verdict(body, body),
        lambda body: clamd.read_verdict(body.decode("utf-8", "replace")),
    )
    for read in readers:
        with contextlib.suppress(Unusable):
            assert isinstance(read(octets), ScanResult)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=10,
)


@given(JSON, JSON, JSON)
def test_no_json_breaks_the_reader(score, threshold, symbols):
    answer = {"action": "reject", "score": score, "required_score": threshold, "symbols": symbols}

    try:
        result = rspamd.read_verdict(json.dumps(answer).encode())
    except Unusable:
        return
    assert abs(result.score) <= 1_000_000
    assert len(result.names) <= 50
