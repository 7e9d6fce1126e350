"""The sealed mark: it comes back in a return, nobody else can read or make one, and loops end by it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mail.marker import (
    Mark,
    mark_field,
    open_mark,
    opened_marks,
    passed_route,
    prove_return,
    seal_mark,
)
from mail.message import header_fields
from mail.trace import new_trace_id
from tests.timing import within_cpu

KEY, OLD_KEY, OTHER_KEY = b"k" * 32, b"o" * 32, b"x" * 32
MARK = Mark(
    trace_id=new_trace_id(1_773_500_000_000, b"0123456789"),
    tenant_id=7,
    route_id=42,
    recipient="hi@ada.example",
    reverse_path="carol@author.example",
    message_id=b"<tea@author.example>",
    authenticated=True,
)


def test_what_was_sealed_comes_back():
    opened = open_mark(seal_mark(MARK, KEY), [KEY])

    assert opened is not None
    assert (opened.trace_id, opened.tenant_id, opened.route_id) == (MARK.trace_id, 7, 42)
    assert (opened.recipient, opened.authenticated) == ("hi@ada.example", True)
    assert opened.belongs_to("Carol@Author.Example")
    assert not opened.belongs_to("mallory@author.example")
    assert opened.names_message(b"<tea@author.example>")
    assert not opened.names_message(b"<coffee@author.example>")


@given(
    st.emails() | st.text(st.characters(codec="utf-8"), max_size=60),
    st.integers(0, 2**62),
    st.booleans(),
)
def test_every_recipient_comes_back(recipient, route_id, authenticated):
    mark = replace(MARK, recipient=recipient, route_id=route_id, authenticated=authenticated)

    opened = open_mark(seal_mark(mark, KEY), [KEY])

    assert opened is not None
    assert (opened.recipient, opened.route_id, opened.authenticated) == (
        recipient,
        route_id,
        authenticated,
    )


def test_no_address_can_be_read_and_lengths_tell_little():
    short, long = (
        seal_mark(replace(MARK, recipient=address), KEY)
        for address in ("a@b.example", "a" * 12 + "@long.example")
    )

    assert "ada" not in seal_mark(MARK, KEY)
    assert len(short) == len(long)


def test_the_same_delivery_has_the_same_mark_and_another_one_a_different_mark():
    assert seal_mark(MARK, KEY) == seal_mark(MARK, KEY)
    assert seal_mark(MARK, KEY) != seal_mark(replace(MARK, route_id=43), KEY)


def test_a_mark_of_an_older_key_still_opens_and_a_foreign_one_never():
    assert open_mark(seal_mark(MARK, OLD_KEY), [KEY, OLD_KEY]) is not None
    assert open_mark(seal_mark(MARK, OTHER_KEY), [KEY, OLD_KEY]) is None


@given(st.binary(max_size=700) | st.text(max_size=700))
def test_anything_else_is_no_mark(value):
    assert open_mark(value, [KEY]) is None


def test_a_changed_character_breaks_the_seal():
    value = seal_mark(MARK, KEY)

    for at in range(len(value) - 1):
        changed = value[:at] + ("A" if value[at] != "A" else "B") + value[at + 1 :]
        assert open_mark(changed, [KEY]) is None


def test_the_field_is_folded_and_reads_back():
    field = mark_field(
        seal_mark(replace(MARK, recipient="a" * 60 + "@" + "b" * 185 + ".example"), KEY)
    )

    assert all(len(line) <= 78 for line in field.split(b"\r\n"))
    assert len(opened_marks(header_fields(field + b"\r\n"), [KEY])) == 1


def test_a_message_that_passed_a_route_is_known_there_and_nowhere_else():
    block = mark_field(seal_mark(MARK, KEY)) + b"Subject: x\r\n\r\n"
    marks = opened_marks(header_fields(block), [KEY])

    def passed(tenant_id, route_id, recipient="else@ada.example"):
        return passed_route(marks, tenant_id=tenant_id, route_id=route_id, recipient=recipient)

    assert passed(7, 42)
    assert not passed(7, 43)
    assert not passed(8, 42)


def test_a_mailbox_without_route_is_known_by_its_recipient():
    postmaster = replace(MARK, route_id=0, recipient="postmaster@ada.example")
    marks = opened_marks(header_fields(mark_field(seal_mark(postmaster, KEY))), [KEY])

    assert passed_route(marks, tenant_id=7, route_id=0, recipient="Postmaster@ada.example")
    assert not passed_route(marks, tenant_id=7, route_id=0, recipient="abuse@ada.example")


def test_a_return_is_proved_by_the_lowest_mark_of_the_same_author():
    values = [
        seal_mark(replace(MARK, recipient="later@bob.example"), KEY).encode(),
        seal_mark(MARK, KEY).encode(),
        seal_mark(replace(MARK, reverse_path="mallory@evil.example"), KEY).encode(),
        b"garbage",
    ]

    proved = prove_return(values, reverse_path="carol@author.example", keys=[KEY])

    assert proved is not None
    assert proved.recipient == "hi@ada.example"


def test_no_mark_of_another_author_proves_anything():
    values = [seal_mark(MARK, KEY).encode()]

    assert prove_return(values, reverse_path="victim@elsewhere.example", keys=[KEY]) is None


def test_thousands_of_forged_marks_take_no_time():
    block = mark_field(seal_mark(MARK, OTHER_KEY)) * 1000

    found = within_cpu(lambda: opened_marks(header_fields(block), [KEY, OLD_KEY]), seconds=0.1)

    assert found == ()


@pytest.mark.parametrize("key", [b"", b"short", b"k" * 31])
def test_a_short_key_is_refused(key):
    with pytest.raises(ValueError):
        seal_mark(MARK, key)
