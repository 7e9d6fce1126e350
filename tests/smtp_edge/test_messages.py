"""What the header block of a message may not say."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from mail.facts import LogLevel
from mail.marker import Mark, mark_field, seal_mark
from mail.message import header_fields
from mail.srs import encode_srs
from mail.trace import new_trace_id
from tests.smtp_edge.listening import MARKER_KEY, SRS_SECRET, hosted, listening, route


def mark_of_route(route_id: int, key: bytes) -> bytes:
    """The mark that mail bears which went over this route of tenant 1."""
    mark = Mark(
        trace_id=new_trace_id(0, bytes(10)),
        tenant_id=1,
        route_id=route_id,
        recipient="hi@example.org",
        reverse_path="bob@sender.example",
        message_id=b"",
        authenticated=False,
    )
    return mark_field(seal_mark(mark, key))


FORGED = [
    b"From: Service <info@mxax.test>\r\n",
    b"From: <a@fwd.mxax.test>\r\n",
    b"From: <a@below.mxax.test>\r\n",
    b"From: bob@sender.example, info@mxax.test\r\n",
    b"From: bob@sender.example\r\nSender: info@mxax.test\r\n",
    b"From: bob@sender.example\r\nResent-From: info@mxax.test\r\n",
    b"From : info@mxax.test\r\n",
    b"from: INFO@MXAX.TEST\r\n",
    b"From: =?utf-8?q?x?= <info@mxax.test>\r\n",
    b"From: bob@sender.example\r\nFrom: info@mxax.test\r\n",
    b"From: (comment) info@mxax.test\r\n",
    b'From: "info@sender.example" <info@mxax.test>\r\n',
    b"From:\r\n info@mxax.test\r\n",
]


@pytest.mark.parametrize("header", FORGED)
@pytest.mark.parametrize("reverse_path", ["", "bob@sender.example"])
def test_nor_by_way_of_a_return(mx, header, reverse_path):
    client = mx.connect()
    today = datetime.now(UTC).date()
    srs = encode_srs(
        "carol@author.example", secrets=(SRS_SECRET,), today=today, domain="fwd.mxax.test"
    )

    reply = client.deliver(
        header + b"Auto-Submitted: auto-replied\r\nSubject: x\r\n\r\nbody\r\n", srs, reverse_path
    )

    assert reply.startswith("550 5.7.1")
    assert mx.world.kept == []


@pytest.mark.parametrize("header", FORGED)
def test_nobody_outside_writes_as_one_of_our_own_names(mx, header):
    client = mx.connect()

    reply = client.deliver(header + b"Subject: x\r\n\r\nbody\r\n", "hi@example.org")

    assert reply.startswith("550 5.7.1")
    assert mx.world.kept == []
    assert mx.world.refusals[0].event.rule == "forged_author"


@pytest.mark.parametrize("domain", ["ours.example", "shop.ours.example"])
def test_an_author_in_the_domain_above_us_is_refused_hosted_here_or_not(world, monkeypatch, domain):
    """A relaxed DMARC record above us would align with the signature of the forward domain."""
    from routing.own_names import OwnNames

    names = OwnNames.of("mail.ours.example", "fwd.ours.example", "op@else.example")
    monkeypatch.setattr("tests.smtp_edge.listening.NAMES", names)
    forged = b"From: friends@" + domain.encode() + b"\r\n\r\n"

    with listening(world) as mx:
        reply = mx.connect().deliver(forged, "hi@example.org")

    assert names.above == ("ours.example",)
    assert reply.startswith("550 5.7.1")


@pytest.mark.parametrize(("hops", "expected"), [(49, "250"), (50, "250"), (51, "554 5.4.6")])
def test_fifty_hops_are_enough(mx, letter, hops, expected):
    client = mx.connect()

    reply = client.deliver(b"Received: from a by b; date\r\n" * hops + letter, "hi@example.org")

    assert reply.startswith(expected)


def test_a_message_that_was_on_its_route_before_is_a_loop(mx, letter):
    client = mx.connect()
    marked = mark_of_route(1, MARKER_KEY) + letter

    looping = client.deliver(marked, "hi@example.org")
    elsewhere = client.deliver(marked, "team@example.org")

    assert looping.startswith("554 5.4.6")
    assert elsewhere.startswith("250")


def test_a_marker_that_we_did_not_make_means_nothing(mx, letter):
    client = mx.connect()
    forged = mark_of_route(1, b"x" * 32)

    assert client.deliver(forged + letter, "hi@example.org").startswith("250")


def test_a_first_line_that_would_join_our_trace_field_is_refused(mx):
    client = mx.connect()

    reply = client.deliver(b" folded: line\r\nSubject: x\r\n\r\n", "hi@example.org")

    assert reply.startswith("550 5.6.0")


def test_a_name_with_line_ends_in_it_adds_no_field(mx, letter):
    client = mx.connect(greet=False)
    client.say("EHLO x) by evil; \\r\\nX-Evil: yes")

    client.deliver(letter, "hi@example.org")

    plan = mx.world.kept[0].plan
    fields = header_fields(mx.world.content()[: plan.header_octets])
    assert [field.name for field in fields] == [b"received", b"from", b"to", b"subject"]


@pytest.mark.parametrize(
    "subject",
    ["=?utf-8?b?a?=", "=?utf-8?b?////?=", "=?none?q?=ff?=", "=?unicode_escape?q?=5Cud800?="],
)
def test_a_subject_that_cannot_be_decoded_is_no_reason_to_refuse(world, letter, subject):
    wants_subjects = hosted("ada.example", route(1, "hi", "a@there.example"))
    world.host(replace(wants_subjects, log_level=LogLevel.HEADERS))
    with listening(world) as mx:
        client = mx.connect()

        reply = client.deliver(letter.replace(b"Hello", subject.encode()), "hi@ada.example")

    assert reply.startswith("250")
    assert world.kept[0].plan.subject


def test_a_refused_large_message_is_not_stored(mx):
    client = mx.connect()

    reply = client.deliver(
        b"From: info@mxax.test\r\n\r\n" + b"some more text\r\n" * 100_000, "hi@example.org"
    )

    assert reply.startswith("550 5.7.1")
    assert mx.world.pieces == []


def test_every_message_of_the_corpus_is_stored_octet_for_octet(mx):
    from pathlib import Path

    client = mx.connect()
    for path in sorted((Path(__file__).parent.parent / "fixtures").glob("*.eml")):
        octets = path.read_bytes()
        if octets[:1] in b" \t" or b"mxax" in octets.lower():
            continue
        dotted = b"".join(
            b"." + line if line.startswith(b".") else line for line in octets.splitlines(True)
        )
        if octets.replace(b"\r\n", b"") != octets.replace(b"\r\n", b"").translate(
            None, b"\r\n\0"
        ) or not octets.endswith(b"\r\n"):
            continue

        reply = client.deliver(dotted, "hi@example.org")

        assert reply.startswith("250"), path.name
        assert mx.world.content().endswith(octets), path.name
    assert len(mx.world.kept) > 15
