"""Returns of all makes are understood, hostile ones cost nothing, and only our own mark proves."""

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mail.bounces import ReturnForm, ReturnKind, read_return
from mail.dsn import AffectedRecipient, DsnFacts, delay_dsn, failure_dsn
from mail.marker import Mark, mark_field, prove_return, seal_mark
from mail.masking import Meaning, diagnose
from tests.mail.test_dsn import DELAY, FACTS, NOW, TRACE
from tests.timing import within_cpu

FIXTURES = Path(__file__).parents[1] / "fixtures" / "bounces"
KEY = b"k" * 32
MARK = Mark(TRACE, 7, 42, "hi@ada.example", "carol@author.example", b"<tea@author.example>", True)
VALUE = seal_mark(MARK, KEY)

EXPECTED = [
    ("postfix", ReturnKind.FAILED, "5.1.1", Meaning.NO_MAILBOX),
    ("postfix_delayed", ReturnKind.DELAYED, "4.4.1", Meaning.UNREACHABLE),
    ("sendmail", ReturnKind.FAILED, "5.2.2", Meaning.MAILBOX_FULL),
    ("office365", ReturnKind.FAILED, "5.1.10", Meaning.NO_MAILBOX),
    ("gmail", ReturnKind.FAILED, "5.1.1", Meaning.NO_MAILBOX),
    ("opensmtpd", ReturnKind.FAILED, "5.1.1", Meaning.NO_MAILBOX),
    ("delivered", ReturnKind.DELIVERED, "2.1.5", Meaning.TRANSIENT),
    ("status_as_text", ReturnKind.FAILED, "5.7.1", Meaning.POLICY),
    ("exim", ReturnKind.FAILED, "5.1.1", Meaning.NO_MAILBOX),
    ("exim_delayed", ReturnKind.DELAYED, "4.2.1", Meaning.MAILBOX_DISABLED),
    ("qmail", ReturnKind.FAILED, "5.1.1", Meaning.NO_MAILBOX),
    ("exchange_old", ReturnKind.FAILED, "", Meaning.NO_MAILBOX),
    ("yahoo", ReturnKind.FAILED, "", Meaning.NO_MAILBOX),
    ("headers_pasted", ReturnKind.FAILED, "5.1.1", Meaning.NO_MAILBOX),
    ("vacation", ReturnKind.AUTO_REPLY, "", Meaning.TRANSIENT),
    ("vacation_outlook", ReturnKind.AUTO_REPLY, "", Meaning.TRANSIENT),
    ("challenge", ReturnKind.AUTO_REPLY, "", Meaning.TRANSIENT),
    ("disposition", ReturnKind.AUTO_REPLY, "", Meaning.TRANSIENT),
    ("plain_mail", ReturnKind.UNKNOWN, "", Meaning.TRANSIENT),
]
WITH_HEADERS = [
    "postfix", "postfix_delayed", "sendmail", "office365", "gmail", "opensmtpd", "delivered", "status_as_text",
    "exim", "qmail", "exchange_old", "yahoo", "headers_pasted",
]  # fmt: skip


def fixture(name, value=VALUE):
    """A return as it would come with our mark in the headers it brings back."""
    return (
        (FIXTURES / f"{name}.eml").read_bytes().replace(b"{mark}", mark_field(value)[14:-2].strip())
    )


@pytest.mark.parametrize(("name", "kind", "status", "meaning"), EXPECTED)
def test_returns_of_all_makes_are_understood(name, kind, status, meaning):
    report = read_return(fixture(name))

    assert (report.kind, report.status, report.diagnosis.meaning) == (kind, status, meaning)


def test_every_fixture_is_looked_at_and_has_crlf():
    files = sorted(FIXTURES.glob("*.eml"))

    assert {file.stem for file in files} == {name for name, *_ in EXPECTED}
    assert all(b"\n" not in file.read_bytes().replace(b"\r\n", b"") for file in files)


@pytest.mark.parametrize("name", WITH_HEADERS)
def test_our_mark_is_found_wherever_the_headers_stand(name):
    report = read_return(fixture(name))

    proved = prove_return(report.marks, reverse_path="carol@author.example", keys=[KEY])

    assert proved is not None
    assert (proved.recipient, proved.trace_id) == ("hi@ada.example", TRACE)
    assert proved.names_message(report.original_message_id)


@pytest.mark.parametrize(
    "name", ["vacation", "challenge", "plain_mail", "disposition", "exim_delayed"]
)
def test_what_brings_no_headers_proves_nothing(name):
    assert (
        prove_return(
            read_return(fixture(name)).marks, reverse_path="carol@author.example", keys=[KEY]
        )
        is None
    )


def test_a_mark_is_found_in_headers_that_came_encoded():
    header = mark_field(VALUE) + b"Message-ID: <tea@author.example>\r\nSubject: Tea\r\n"
    encoded = base64.encodebytes(header).replace(b"\n", b"\r\n")
    octets = fixture("postfix").split(b"Content-Type: message/rfc822")[0] + (
        b"Content-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + encoded
        + b"--B1--\r\n"
    )

    report = read_return(octets)

    assert prove_return(report.marks, reverse_path="carol@author.example", keys=[KEY]) is not None
    assert report.original_message_id == b"<tea@author.example>"


@pytest.mark.parametrize("name", WITH_HEADERS)
def test_a_stranger_s_mark_proves_nothing(name):
    forged = fixture(name, seal_mark(MARK, b"x" * 32))

    assert (
        prove_return(read_return(forged).marks, reverse_path="carol@author.example", keys=[KEY])
        is None
    )


def test_what_a_return_tells_the_author_holds_nothing_of_its_text():
    for name, *_ in EXPECTED:
        report = read_return(fixture(name))
        one = AffectedRecipient("hi@ada.example", report.diagnosis, NOW)
        facts = DsnFacts(
            "mxax.test", "carol@author.example", "<d@mxax.test>", NOW, TRACE, NOW, (one,)
        )

        told = failure_dsn(facts).lower()

        assert b"kim" not in told
        assert not any(
            host in told
            for host in (b"corp.", b"uni.example", b"host.example", b"outlook", b"google")
        )


def test_our_own_dsns_are_understood():
    assert read_return(failure_dsn(FACTS)).kind is ReturnKind.FAILED
    assert read_return(delay_dsn(DELAY)).kind is ReturnKind.DELAYED
    assert read_return(failure_dsn(FACTS)).form is ReturnForm.REPORT


def nested(depth):
    """A multipart in a multipart in a multipart."""
    parts = [
        f"Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n" for n in range(depth)
    ]
    return "".join(parts).encode()


HOSTILE = {
    "nested": nested(20_000),
    "nested, then lines": nested(400) + b"\r\n" * 500_000,
    "many parts": b"Content-Type: multipart/report; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 100_000,
    "many status blocks": b"Content-Type: message/delivery-status\r\n\r\n" + b"Action: x\r\n\r\n" * 80_000,
    "status in text": b"Content-Type: message/delivery-status\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + base64.encodebytes(b"Action: x\n\n" * 60_000),
    "open comments": b"X-Failed-Recipients: " + b"(" * 1_000_000 + b"\r\n\r\n",
    "many addresses": b"X-Failed-Recipients: " + b"a@b.example, " * 80_000 + b"\r\n\r\n",
    "quoted pairs": b"Final-Recipient: " + b'"\\' * 500_000,
    "parameters": b"Content-Type: multipart/report" + b";a=b" * 250_000 + b"\r\n\r\n",
    "continuations": b"Content-Type: multipart/report" + b";\r\n a*0=b" * 100_000 + b"\r\n\r\n",
    "encoded words": b"Subject: " + b"=?utf-8?q?x?= " * 70_000 + b"\r\n\r\n",
    "one long line": b"Subject: x\r\n\r\n" + b"<a@b" * 250_000,
    "short lines": b"Subject: x\r\n\r\n" + b"<a>:\r\n" * 170_000,
    "almost marks": b"Subject: x\r\n\r\n" + b"X-Mxax-Route: " + b"A\r\n " * 250_000,
    "many marks": b"Subject: x\r\n\r\n" + b"X-Mxax-Route: AAAA\r\n" * 50_000,
    "quotes": b"Subject: x\r\n\r\n" + b"> " * 500_000,
    "spaces": b"Subject: x\r\n\r\n" + b" " * 1_000_000,
    "dashes": b"Subject: x\r\n\r\n" + b"-" * 1_000_000,
    "codes": b"X-Failed-Recipients: a@b.example\r\n\r\n" + b"550 5.1.1 " * 100_000,
    "digits": b"X-Failed-Recipients: a@b.example\r\n\r\n" + b"5" * 1_000_000,
    "undelivered": b"Subject: x\r\n\r\n" + b"your message could not be delivered to " * 25_000,
    "nothing": b"",
    "zeros": b"\0" * 1_000_000,
    "a charset that is none": b"Content-Type: text/plain; charset=rot13\r\nContent-Transfer-Encoding: uuencode\r\n\r\nx",
}  # fmt: skip


@pytest.mark.parametrize("octets", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_megabyte_of_malice_takes_less_than_a_second(octets):
    within_cpu(lambda: read_return(octets), seconds=1)


@given(st.binary(max_size=3000) | st.text(max_size=3000).map(str.encode))
def test_nothing_makes_it_raise(octets):
    read_return(octets)
    read_return(b"Content-Type: message/delivery-status\r\n\r\n" + octets)
    read_return(
        b"Content-Type: multipart/report; boundary=b\r\nFrom: mailer-daemon@yahoo\r\n\r\n--b\r\n"
        + octets
    )


@given(st.integers(0, 3000), st.sampled_from([name for name, *_ in EXPECTED]))
def test_a_return_that_was_cut_off_is_read_as_far_as_it_goes(length, name):
    read_return(fixture(name)[:length])


def test_a_diagnosis_of_a_failure_is_permanent_whatever_the_text_says():
    for name, kind, *_ in EXPECTED:
        if kind is ReturnKind.FAILED:
            assert read_return(fixture(name)).diagnosis.is_permanent


def test_the_diagnosis_is_that_of_the_reply():
    assert read_return(fixture("postfix")).diagnosis == diagnose("550 5.1.1 user unknown")


WARNING = b"From: mailer-daemon@x.example\r\nContent-Type: text/plain\r\n"
BLANKS = b"not yet been delivered\r\n" + b" " * 200_000


@pytest.mark.parametrize(
    "octets",
    [
        WARNING + b"\r\n" + BLANKS,
        WARNING + b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(BLANKS),
        WARNING
        + b"Content-Transfer-Encoding: quoted-printable\r\n\r\n"
        + BLANKS[:24]
        + b" =\r\n" * 9_000,
        WARNING + b"\r\n" + BLANKS[:24] + (b" " * 998 + b"\r\n") * 200,
    ],
    ids=["as it is", "base64", "quoted-printable", "the longest lines"],
)
def test_a_warning_of_nothing_but_blanks_is_read_in_less_than_a_second(octets):
    within_cpu(lambda: read_return(octets), seconds=1)
