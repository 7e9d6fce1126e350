"""What we read from a header block, and how little time a stranger can make it take."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mail.errors import TooManyAuthors
from mail.message import (
    authors,
    begins_with_continuation,
    count_received,
    cut_authentication_results,
    first_value,
    header_fields,
    is_auto_submitted,
    is_list_or_bulk,
    is_report,
    missing_fields,
    split_header_block,
    without_ranges,
)
from tests.timing import within_cpu

MEGABYTE = 1_000_000


def fields_of(*lines: bytes):
    return header_fields(b"\r\n".join(lines) + b"\r\n\r\n")


def authors_of(*lines: str) -> tuple[str, ...]:
    return authors(fields_of(*(line.encode() for line in lines)))


def test_a_block_is_read_as_slices_of_itself():
    octets = b"From: ada@example.org\r\nSubject: a\r\n\tfolded one\r\n\r\nbody"

    end = split_header_block(octets)
    sender, subject = header_fields(octets[:end])

    assert octets[end:] == b"body"
    assert (sender.name, sender.value) == (b"from", b"ada@example.org")
    assert octets[subject.start : subject.end] == b"Subject: a\r\n\tfolded one\r\n"
    assert subject.value == b"a\tfolded one"


@pytest.mark.parametrize(
    ("octets", "body"),
    [
        (b"", b""),
        (b"\r\nbody", b"body"),
        (b"A: b\r\n", b""),
        (b"A: b", b""),
        (b"A: b\r\n\r\n\r\nbody", b"\r\nbody"),
    ],
)
def test_the_body_begins_after_the_first_blank_line(octets, body):
    assert octets[split_header_block(octets) :] == body


@given(st.text("aF:\r\n \t<@", max_size=80).map(str.encode))
def test_whatever_comes_in_the_slices_join_to_the_block_again(text):
    octets = text.replace(b"\n", b"\r\n")
    block = octets[: split_header_block(octets)]

    fields = header_fields(block)

    joined = b"".join(field.raw for field in fields)
    assert block in (joined, joined + b"\r\n")
    assert all(block[field.start : field.end] == field.raw for field in fields)


def test_broken_lines_are_kept_and_named_nothing():
    fields = fields_of(b"no colon here", b"Subject: x", b": empty name")

    assert [field.name for field in fields] == [b"", b"subject", b""]


def test_a_first_line_that_would_join_the_field_before_it_is_seen():
    assert begins_with_continuation(b" X: y\r\n\r\n")
    assert not begins_with_continuation(b"X: y\r\n\r\n")


@pytest.mark.parametrize(
    ("field", "domains"),
    [
        ("From: ada@example.org", ["example.org"]),
        ("From: Ada <ada@example.org>", ["example.org"]),
        ("From: ADA <ADA@EXAMPLE.ORG>", ["example.org"]),
        ('From: "Lovelace, Ada" <ada@example.org>', ["example.org"]),
        ("From: Ada <ada@example.org>, ben@example.net", ["example.net", "example.org"]),
        ("From: Team: ada@example.org, Ben <ben@example.net>;", ["example.net", "example.org"]),
        ("From: undisclosed:;", []),
        ("From: ada@example.org (Ada (really))", ["example.org"]),
        ("From: (note) ada@example.org", ["example.org"]),
        ('From: "ceo@ours.test" <m@evil.test>', ["evil.test"]),
        ("From: =?utf-8?Q?ceo=40ours.test?= <m@evil.test>", ["evil.test"]),
        ("From: m@evil.test (ceo@ours.test)", ["evil.test"]),
        ("From: Jürgen Müller <j@müller.example>", ["xn--mller-kva.example"]),
        ('From: "odd\\"@quote"@example.org', ["example.org"]),
    ],
)
def test_a_clean_field_names_its_addresses_and_nothing_else(field, domains):
    assert list(authors_of(field)) == domains


@pytest.mark.parametrize(
    "field",
    [
        "From: ceo@ours.test <m@evil.test>",
        "From: <ceo@ours.test> <m@evil.test>",
        "From: m@evil.test ceo@ours.test",
        "From: ceo@ours.test, m@evil.test",
        "From: ceo@ours.test; m@evil.test",
        "From: <m@evil.test>, <ceo@ours.test>",
        "From: m@evil.test (unbalanced <ceo@ours.test>",
        'From: "unbalanced <ceo@ours.test>',
        'From: "" <m@evil.test> "x" <ceo@ours.test>',
        "From: ceo @ ours.test",
        "From: ceo@ ours.test",
        "From: ceo@(x)ours.test",
        "From: ceo@ours.(x)test",
        "From: ceo@ours . test",
        "From: ceo@ours.test.",
        "From: <@evil.test:ceo@ours.test>",
        "From: <m@evil.test@ours.test>",
        "From: <ceo@ours.test@evil.test>",
        "From: =?utf-8?Q?ceo=40ours.test?=",
        "From: =?utf-8?B?Y2VvQG91cnMudGVzdA==?=",
        "From: =?utf-8?B?PGNlb0BvdXJzLnRlc3Q+?= m@evil.test x",
        "From: =?utf-7?Q?ceo+AEA-ours.test?=",
        "From: <=?utf-8?Q?ceo=40ours.test?=@evil.test>",
        "From : ceo@ours.test",
        "FROM:ceo@ours.test",
        "From\t: ceo@ours.test",
        " From: ceo@ours.test",
        "From\x01: ceo@ours.test",
        "From\x00: ceo@ours.test",
        "From: ceo@ours.test\x00",
        "From: ceo@ou\x00rs.test",
        "From: ceo@\r\n ours.test",
        "From: Group: ceo@ours.test",
        "From: =?utf-8?Q?ceo=40ours.test?=: m@evil.test",
        "From: Group: ceo@ours.test; m@evil.test",
        "From: ceo\uff20ours.test",
        "From: ceo@ours\u3002test",
        "From: ceo@\uff4furs.test",
        "From: ceo@o\u00adurs.test",
        "From: ceo@ours\uff0etest <m@evil.test>",
        "From: ,,,ceo@ours.test,,,",
        "From: 'ceo@ours.test'",
        "From: ceo@{ours.test}",
        "From: ceo@ours.test! <m@evil.test>",
        "From: ceo\uff20ours.test <m@evil.test>",
        "From: ceo@=?utf-8?Q?ours.test?=",
        "From: =?utf-8?B?PGNlb0BvdXJz?= =?utf-8?B?LnRlc3Q+?=",
        "From: =?utf-16?B?AGMAZQBvAEAAbwB1AHIAcwAuAHQAZQBzAHQ=?=",
        "From: =?x-unknown?B?PGNlb0BvdXJzLnRlc3Q+?=",
        "From: Ada ceo@ours.test>",
        "From: <ceo@ours.test",
        "Sender: ceo@ours.test",
        "Resent-From: ceo@ours.test",
    ],
)
def test_no_disguise_hides_an_author(field):
    assert "ours.test" in authors_of("From: m@evil.test", field, "Subject: x")


def test_every_author_field_counts_and_no_other():
    found = authors_of(
        "From: a@one.test", "From: b@two.test", "Sender: c@three.test", "To: d@four.test"
    )

    assert found == ("one.test", "three.test", "two.test")


def test_octets_that_are_no_utf8_hide_nothing():
    assert authors(fields_of(b"From: ceo@ou\xffrs.test")) == ("ours.test",)
    assert authors(fields_of(b"From: \xe4 <ceo@ours.test>")) == ("ours.test",)


@pytest.mark.parametrize(
    "pattern", ["(", '"', "<", ";", ",", "=?utf-8?Q?a=40b?=", "=?", "@", "a@b,", '"\\', "(\\", " <"]
)
@pytest.mark.parametrize("name", ["From", "To", "Received", "Authentication-Results"])
def test_a_megabyte_of_anything_is_read_within_a_second(name, pattern):
    octets = f"{name}: {pattern * (MEGABYTE // len(pattern))}\r\n\r\n".encode()

    def read() -> None:
        fields = header_fields(octets)
        authors(fields)
        is_auto_submitted(fields), is_report(fields), is_list_or_bulk(fields)
        count_received(fields)
        cut_authentication_results(octets, "mx.ours.test")

    within_cpu(read, seconds=1)


@pytest.mark.parametrize("field", ["Auto-Submitted", "Content-Type", "Precedence"])
def test_a_megabyte_of_comments_is_read_within_a_second(field):
    fields = header_fields(f"{field}: {'(' * MEGABYTE}\r\n\r\n".encode())

    within_cpu(
        lambda: (is_auto_submitted(fields), is_report(fields), is_list_or_bulk(fields)), seconds=1
    )


def test_a_megabyte_of_foreign_domains_is_refused_not_read():
    names = "".join(f"x@ö{number}.test," for number in range(60_000))

    def read() -> None:
        with pytest.raises(TooManyAuthors):
            authors_of(f"From: {names}")

    within_cpu(read, seconds=1)


@pytest.mark.parametrize(
    "block",
    [
        b"X-A: b\r\n" * 10_000,
        b"X-A: b\r\n" + b" c\r\n" * 30_000,
        b"X-A: " + b"b" * 120_000 + b"\r\n",
        b"X:\r\n" * 50_000,
        b"a" * 200_000,
    ],
    ids=["10,000 fields", "30,000 folds", "one of 120 kB", "50,000 empty", "one 200 kB line"],
)
def test_a_huge_header_block_is_parsed_within_a_second(block):
    fields = within_cpu(lambda: header_fields(block), seconds=1)

    assert b"".join(field.raw for field in fields) == block


@pytest.mark.parametrize("hops", [49, 50, 51])
def test_hops_are_counted(hops):
    fields = fields_of(*[b"Received: from a by b; x"] * hops, b"X-Received: no hop")

    assert count_received(fields) == hops


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"no", False),
        (b"No ; x=y", False),
        (b"(really) no", False),
        (b"auto-replied", True),
        (b"auto-generated; type=x", True),
        (b"", True),
    ],
)
def test_a_machine_that_says_so_is_believed(value, expected):
    assert is_auto_submitted(fields_of(b"Auto-Submitted: " + value)) is expected


def test_silence_about_machines_means_a_person():
    assert not is_auto_submitted(fields_of(b"Subject: x"))


def test_reports_are_known_by_their_type():
    assert is_report(fields_of(b"Content-Type: Multipart/Report;\r\n\treport-type=feedback-report"))
    assert is_report(fields_of(b"Content-Type: multipart (x) / report; boundary=y"))
    assert not is_report(fields_of(b"Content-Type: multipart/mixed; x=multipart/report"))
    assert not is_report(fields_of(b"Subject: multipart/report"))


@pytest.mark.parametrize(
    "line", [b"Precedence: BULK", b"Precedence: list", b"List-Id: <x.test>", b"List-Post: NO"]
)
def test_lists_and_bulk_are_known(line):
    assert is_list_or_bulk(fields_of(line))


def test_ordinary_mail_is_no_list():
    assert not is_list_or_bulk(fields_of(b"Precedence: first-class", b"List: x"))


def test_missing_fields_are_named():
    assert missing_fields(fields_of(b"Subject: x", b"DATE: y")) == (b"message-id",)


def test_the_topmost_value_counts():
    fields = fields_of(b"X: 1", b"x: 2")

    assert first_value(fields, b"x") == b"1"
    assert first_value(fields, b"y") is None


@pytest.mark.parametrize(
    "value",
    [
        b" mx.ours.test; spf=pass",
        b"MX.Ours.Test;dkim=pass",
        b" (who?) mx.ours.test (me) 1; spf=pass",
        b"\r\n\tmx.ours.test.; none",
        b' "mx.ours.test"; spf=pass',
        b' "mx.ours.te\\st; mx.ours.test; spf=pass',
        b" (open mx.ours.test; spf=pass",
        b" mx.ours.test",
        b' "mx.\\ou\\rs.test"; spf=pass',
        b' "mx".ours.test; spf=pass',
        b" mx . ours (me) .\r\n test; spf=pass",
        b" mx.ours.test/1; spf=pass",
        b" mx.ours.test, mx.theirs.test; spf=pass",
    ],
)
@pytest.mark.parametrize("name", [b"Authentication-Results:", b"authentication-results :"])
def test_results_forged_in_our_name_are_cut_out(name, value):
    before, after = b"Received: x\r\n", b"From: a@b.test\r\n\r\nAuthentication-Results: body\r\n"
    octets = before + name + value + b"\r\n" + after

    ranges = cut_authentication_results(octets, "mx.ours.test")

    assert without_ranges(octets, ranges) == before + after


@pytest.mark.parametrize(
    "line",
    [
        b"Authentication-Results: mx.theirs.test; spf=pass smtp.helo=mx.ours.test",
        b"Authentication-Results: mx.theirs.test (mx.ours.test); spf=pass",
        b"Authentication-Results: sub.mx.ours.test; spf=pass",
        b"Authentication-Results: mx.ours.test.theirs.test; spf=pass",
        b"Authentication-Results: mx.ours.testing; spf=pass",
        b"Authentication-Results: ; spf=pass",
        b"ARC-Authentication-Results: i=1; mx.ours.test; spf=pass",
        b"X-Authentication-Results: mx.ours.test; spf=pass",
        b"Subject: Authentication-Results: mx.ours.test",
    ],
)
def test_results_of_others_stay(line):
    octets = line + b"\r\n\r\nbody"

    assert cut_authentication_results(octets, "mx.ours.test") == []
    assert without_ranges(octets, []) is octets
