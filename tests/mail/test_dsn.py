"""Our DSNs: read by every parser, naming only what the author wrote, and nothing can be slipped in."""

import email
import email.policy
import re
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from flufl.bounce import all_failures
from hypothesis import example, given
from hypothesis import strategies as st

from mail.dsn import (
    MAX_RETURNED_OCTETS,
    AffectedRecipient,
    DsnFacts,
    delay_dsn,
    failure_dsn,
    header_as_received,
)
from mail.errors import BadAddress
from mail.marker import Mark, mark_field, seal_mark
from mail.masking import GAVE_UP, diagnose
from mail.trace import new_trace_id
from tests.mail.identities import PRIVATE, templates

NOW = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)
TRACE = new_trace_id(1_773_482_400_000, b"0123456789")
RECEIVED = (
    b"Received: from author.example (mail.author.example [192.0.2.9])\r\n"
    b"\tby relay.author.example with ESMTPS id abc; Sat, 14 Mar 2026 10:00:00 +0000\r\n"
    b"From: Carol <carol@author.example>\r\nTo: hi@ada.example\r\nSubject: Tea?\r\n"
    b"Message-ID: <tea@author.example>\r\n"
)
OURS = (
    b"Received: from relay.author.example\r\n\tby mxax.test with ESMTPS\r\n"
    b"\tid 01jpa5n4c0123456789abcdefg\r\n\tfor <hi@ada.example>; Sat, 14 Mar 2026 10:00:01 +0000\r\n"
)
FACTS = DsnFacts(
    service_domain="mxax.test",
    reverse_path="carol@author.example",
    message_id="<dsn.1@mxax.test>",
    now=NOW,
    trace_id=TRACE,
    arrived_at=NOW - timedelta(days=5),
    recipients=(
        AffectedRecipient(
            "hi@ada.example", diagnose("550 5.1.1 no such user"), last_attempt_at=NOW
        ),
    ),
    original_header=RECEIVED,
)
DELAY = replace(
    FACTS,
    recipients=(
        AffectedRecipient(
            "hi@ada.example", diagnose("450 4.2.2 full"), NOW, retry_until=NOW + timedelta(days=4)
        ),
    ),
)


def parsed(octets):
    return email.message_from_bytes(octets, policy=email.policy.default)


def blocks(octets):
    """The field blocks of the delivery status."""
    for part in email.message_from_bytes(octets).walk():
        if part.get_content_type() == "message/delivery-status":
            return part.get_payload()
    return []


def test_a_failure_reads_as_rfc_3464_has_it():
    message = parsed(failure_dsn(FACTS))
    about_all, about_one = blocks(failure_dsn(FACTS))

    assert message.get_content_type() == "multipart/report"
    assert message["content-type"].params["report-type"] == "delivery-status"
    assert [part.get_content_type() for part in message.iter_parts()] == [
        "text/plain", "message/delivery-status", "text/rfc822-headers",
    ]  # fmt: skip
    assert message["from"].addresses[0].addr_spec == "mailer-daemon@mxax.test"
    assert message["to"] == "carol@author.example"
    assert (message["auto-submitted"], message["message-id"]) == (
        "auto-replied",
        "<dsn.1@mxax.test>",
    )
    assert (message["in-reply-to"], message["references"]) == ("<tea@author.example>",) * 2
    assert message["date"].datetime == NOW
    assert about_all["reporting-mta"] == "dns; mxax.test"
    assert email.utils.parsedate_to_datetime(about_all["arrival-date"]) == NOW - timedelta(days=5)
    assert dict(about_one.items()) == {
        "Final-Recipient": "rfc822; hi@ada.example",
        "Action": "failed",
        "Status": "5.1.1",
        "Diagnostic-Code": "smtp; 550 5.1.1 <hi@ada.example>: There is no mailbox of that name.",
        "Last-Attempt-Date": "Sat, 14 Mar 2026 12:00:00 +0000",
    }
    assert message.defects == []


def test_a_delay_says_until_when_we_try():
    about_one = blocks(delay_dsn(DELAY))[1]

    assert (about_one["action"], about_one["status"]) == ("delayed", "4.2.2")
    assert about_one["will-retry-until"] == "Wed, 18 Mar 2026 12:00:00 +0000"
    assert b"We keep trying" in delay_dsn(DELAY)


def test_what_expired_says_so():
    gave_up = replace(FACTS, recipients=(AffectedRecipient("hi@ada.example", GAVE_UP),))

    about_one = blocks(failure_dsn(gave_up))[1]

    assert about_one["status"] == "5.4.7"


def test_only_the_failed_recipient_is_named():
    assert b"ben@ada.example" not in failure_dsn(FACTS)
    assert len(blocks(failure_dsn(FACTS))) == 2


def test_several_recipients_have_a_block_each():
    both = (*FACTS.recipients, AffectedRecipient("ben@ada.example", diagnose("552 5.2.2 full")))

    found = blocks(failure_dsn(replace(FACTS, recipients=both)))

    assert [block["final-recipient"] for block in found[1:]] == [
        "rfc822; hi@ada.example",
        "rfc822; ben@ada.example",
    ]


def test_flufl_bounce_reads_it():
    assert all_failures(email.message_from_bytes(failure_dsn(FACTS))) == (
        frozenset(),
        {b"hi@ada.example"},
    )
    assert all_failures(email.message_from_bytes(delay_dsn(DELAY))) == (
        {b"hi@ada.example"},
        frozenset(),
    )


PERL = (
    "use Mail::DeliveryStatus::BounceParser; local $/; my $b = Mail::DeliveryStatus::BounceParser->new(<STDIN>);"
    "my ($r) = $b->reports; print join '|', $b->is_bounce ? 1 : 0, $b->addresses,"
    "$r->get('status'), $r->get('std_reason'), $b->orig_message_id;"
)


def test_a_parser_written_in_perl_reads_it():
    if not shutil.which("perl"):
        pytest.skip("perl is not installed")
    probe = subprocess.run(
        ["perl", "-MMail::DeliveryStatus::BounceParser", "-e", "1"], capture_output=True
    )
    if probe.returncode:
        pytest.skip("Debian's libmail-deliverystatus-bounceparser-perl is not installed")

    found = subprocess.run(
        ["perl", "-e", PERL], input=failure_dsn(FACTS), capture_output=True, check=True
    )

    assert (
        found.stdout.decode().replace("\n", "")
        == "1|hi@ada.example|5.1.1|user_unknown|<tea@author.example>"
    )


def test_a_dsn_never_contains_the_private_destination_over_all_refusals():
    stored = OURS + RECEIVED + b"\r\nbody\r\n"
    leaks = []
    for private in PRIVATE:
        for _, template in templates():
            one = AffectedRecipient("hi@ada.example", diagnose(private.fill(template)), NOW)
            facts = replace(
                FACTS, recipients=(one,), original_header=header_as_received(stored, "mxax.test")
            )
            leaks += private.occurs_in(failure_dsn(facts))

    assert leaks == []


def test_no_remote_mta_is_named():
    assert b"remote-mta" not in failure_dsn(FACTS).lower()


def test_of_the_original_only_what_was_received_goes_back():
    mark = Mark(
        TRACE, 7, 42, "hi@ada.example", "carol@author.example", b"<tea@author.example>", True
    )
    stored = (
        b"DKIM-Signature: ours\r\n"
        + mark_field(seal_mark(mark, b"k" * 32))
        + OURS
        + RECEIVED
        + b"\r\nbody\r\n"
    )

    assert header_as_received(stored, "mxax.test") == RECEIVED


def test_what_lies_between_two_of_our_hops_is_cut_too():
    between = b"Delivered-To: friend@gmail.com\r\nReceived: by 2002:a05 with SMTP id x for <friend@gmail.com>\r\n"
    mark = Mark(TRACE, 7, 42, "hi@ada.example", "carol@author.example", b"", True)
    first_pass = mark_field(seal_mark(mark, b"k" * 32)) + OURS

    assert (
        header_as_received(OURS + between + first_pass + RECEIVED + b"\r\n", "mxax.test")
        == RECEIVED
    )


def test_at_most_fifty_thousand_octets_of_whole_fields_go_back():
    field = b"X-Long: " + b"a" * 500 + b"\r\n"
    stored = OURS + field * 400 + b"\r\n" + b"body " * 100_000

    returned = header_as_received(stored, "mxax.test")

    assert MAX_RETURNED_OCTETS - 600 < len(returned) <= MAX_RETURNED_OCTETS
    assert len(returned) % len(field) == 0
    assert b"body" not in failure_dsn(replace(FACTS, original_header=returned))


def test_every_line_is_short_and_seven_bit_whatever_the_original_holds():
    odd = (
        "Subject: tëa\r\n".encode()
        + b"X-Raw: \xff\xfe\r\nX-Long: "
        + b"a" * 5_000
        + b"\r\n"
        + RECEIVED
    )

    octets = failure_dsn(replace(FACTS, original_header=odd))

    assert octets.isascii()
    assert max(len(line) for line in octets.split(b"\r\n")) <= 998
    assert b"\n" not in octets.replace(b"\r\n", b"")
    part = list(parsed(octets).iter_parts())[2]
    assert part.get_payload(decode=True).replace(b"\r\n", b"\n") == odd.replace(b"\r\n", b"\n")


def test_a_recipient_beyond_ascii_is_written_for_seven_bit_paths():
    one = AffectedRecipient("köchin@ada.example", diagnose("550 5.1.1 x"))

    octets = failure_dsn(replace(FACTS, recipients=(one,)))

    assert octets.isascii()
    assert blocks(octets)[1]["final-recipient"] == r"utf-8; k\x{F6}chin@ada.example"


def test_an_author_beyond_ascii_gets_the_international_form():
    one = AffectedRecipient("köchin@ada.example", diagnose("550 5.1.1 x"))

    octets = failure_dsn(replace(FACTS, reverse_path="käthe@author.example", recipients=(one,)))

    assert b"Content-Type: message/global-delivery-status\r\n" in octets
    assert "Final-Recipient: utf-8; köchin@ada.example\r\n".encode() in octets
    assert "To: <käthe@author.example>\r\n".encode() in octets
    assert b"Content-Transfer-Encoding: 8bit\r\n" in octets.split(b"\r\n\r\n")[0] + b"\r\n"


@pytest.mark.parametrize(
    "poison", ["x\r\nBcc: victim@v.example", "x\ny", "x\0y", "x\u2028y", "x\x85y", ""]
)
def test_nothing_can_end_a_line(poison):
    one = replace(FACTS.recipients[0], recipient=poison)

    with pytest.raises(BadAddress):
        failure_dsn(replace(FACTS, recipients=(one,)))
    with pytest.raises(BadAddress):
        failure_dsn(replace(FACTS, reverse_path=poison))
    with pytest.raises(BadAddress):
        failure_dsn(replace(FACTS, message_id=f"<{poison}@mxax.test>" if poison else ""))


@pytest.mark.parametrize(
    "message_id",
    [b"<a b@c>", b"<a@b>\r\n\tX", b"no brackets", b"<" + b"a" * 300 + b"@b>", b"<\xffa@b>"],
)
def test_a_strange_message_id_is_not_referred_to(message_id):
    octets = failure_dsn(replace(FACTS, original_header=b"Message-ID: " + message_id + b"\r\n"))

    assert b"In-Reply-To" not in octets


@given(st.binary(max_size=400))
@example(b"\x00\r:")
def test_any_original_makes_three_parts_and_stays_inside_the_third(octets):
    header = header_as_received(octets + b"\r\n\r\n", "mxax.test")

    dsn = failure_dsn(replace(FACTS, original_header=header))
    message = email.message_from_bytes(dsn)

    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", dsn)

    assert message.is_multipart()
    assert len(message.get_payload()) == 3
    assert re.fullmatch(r"=_[0-9a-f]{40}", message.get_boundary())
