"""Lists of tags (RFC 6376, 3.2)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mail.authentication.findings import Unusable
from mail.authentication.tags import MAX_TAGS, decoded_base64, listed, read_tags, unspaced


def test_values_come_without_the_white_space_around_them():
    tags = read_tags(b" v=1;\r\n\ta = rsa-sha256 ; h=from :\r\n to;b=\r\n ab\r\n cd ;")

    assert tags.names == (b"v", b"a", b"h", b"b")
    assert [tags.get(name) for name in tags.names] == [
        b"1", b"rsa-sha256", b"from :\r\n to", b"ab\r\n cd",
    ]  # fmt: skip
    assert tags.get(b"x") is None
    assert b"x" not in tags


def test_a_span_is_all_between_the_sign_and_the_semicolon():
    octets = b"a=1; b= x y\r\n z ; c=2"

    start, end = read_tags(octets).span(b"b")

    assert octets[:start] + octets[end:] == b"a=1; b=; c=2"


@pytest.mark.parametrize("octets", [b"", b" ", b"\r\n"])
def test_an_empty_list_has_no_tags(octets):
    assert read_tags(octets).names == ()


@pytest.mark.parametrize(
    "octets",
    [
        b"a=1; a=1",
        b"a=1; a=2",
        b"a=1;;b=2",
        b";",
        b";a=1",
        b"a=1; b",
        b"=1",
        b"1a=1",
        b"a b=1",
        b"a-b=1",
        b"\xc3\xa4=1",
        b"a=\x00",
        b"a=\x7f",
        b"a=1" + b";" * 2,
        b";".join(b"a%d=1" % number for number in range(MAX_TAGS + 2)),
        b"a=" + b"x" * 70_000,
    ],
)
def test_a_broken_list_is_broken_as_a_whole(octets):
    with pytest.raises(Unusable):
        read_tags(octets)


def test_names_are_told_apart_by_case_and_values_may_be_empty():
    tags = read_tags(b"a=; A=1; b_2==")

    assert [tags.get(name) for name in (b"a", b"A", b"b_2")] == [b"", b"1", b"="]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(b"QUJD", b"ABC"), (b"Q U\r\n\tJD", b"ABC"), (b"QUI=", b"AB"), (b"QUI", b"AB"), (b"", b"")],
)
def test_base64_may_be_folded_and_lack_its_padding(value, expected):
    assert decoded_base64(value) == expected


@pytest.mark.parametrize("value", [b"Q", b"QU*D", b"QUI=QUI=", b"=QUI", b"Q=", b"\xff\xff\xff\xff"])
def test_bad_base64_is_refused(value):
    with pytest.raises(Unusable):
        decoded_base64(value)


def test_lists_are_lower_case_without_white_space():
    assert listed(b"From : TO:\r\n subject") == (b"from", b"to", b"subject")
    assert listed(b"") == (b"",)
    assert unspaced(b" a\r\n\t b ") == b"ab"


NAMES = st.from_regex(rb"\A[A-Za-z][A-Za-z0-9_]{0,5}\Z")
VALUES = st.from_regex(rb"\A(?:[!-:<-~](?:[ !-:<-~]{0,10}[!-:<-~])?)?\Z")
WHITE = st.sampled_from([b"", b" ", b"\t", b"\r\n ", b" \r\n\t"])


@given(st.dictionaries(NAMES, VALUES, max_size=10), st.data())
def test_what_is_written_is_read(values, data):
    octets = b";".join(
        data.draw(WHITE) + name + data.draw(WHITE) + b"=" + data.draw(WHITE) + value
        for name, value in values.items()
    )

    tags = read_tags(octets)

    assert {name: tags.get(name) for name in tags.names} == values


@given(st.binary(max_size=300))
def test_nothing_but_the_one_error_is_raised(octets):
    try:
        tags = read_tags(octets)
    except Unusable:
        return
    for name in tags.names:
        start, end = tags.span(name)
        assert octets[start - 1 : start] == b"="
        assert octets[start:end].strip(b" \t\r\n") == tags.get(name)
