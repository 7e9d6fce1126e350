"""Canonical forms (RFC 6376, 3.4) of bodies cut anywhere, and of fields."""

import base64
import hashlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mail.authentication.canonical import (
    BodyForm,
    BodyHashes,
    Form,
    PrefixHash,
    SignedFields,
    SimpleBodyHash,
    unsigned_form,
)
from mail.message import Field, header_fields
from tests.mail.authentication.signed_mail import plain_body, plain_field

PIECES = st.sampled_from([b" ", b"\t", b"\r\n", b"a", b"bc", b" \r\n", b"\r\n\r\n", b".", b"\xff"])
BODIES = st.lists(PIECES, max_size=40).map(b"".join)
CUTS = st.lists(st.integers(0, 90), max_size=12)


def pieces(body: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    return [body[start:end] for start, end in itertools.pairwise(edges)]


@pytest.mark.parametrize("form", Form)
@given(body=BODIES, cuts=CUTS)
def test_any_pieces_give_the_hash_of_the_whole(form, body, cuts):
    hashes = BodyHashes([BodyForm(form)])

    for piece in pieces(body, cuts):
        hashes.update(piece)

    plain = plain_body(body, form.value.decode())
    assert hashes.finished().whole(form) == hashlib.sha256(plain).digest()


@pytest.mark.parametrize("form", Form)
@given(body=BODIES, cuts=CUTS, limits=st.lists(st.integers(0, 90), min_size=1, max_size=5))
def test_any_pieces_give_the_hashes_of_all_prefixes(form, body, cuts, limits):
    hashes = BodyHashes([BodyForm(form), *[BodyForm(form, limit) for limit in limits]])

    for piece in pieces(body, cuts):
        hashes.update(piece)

    plain = plain_body(body, form.value.decode())
    found = hashes.finished()
    assert found.whole(form) == hashlib.sha256(plain).digest()
    for limit in limits:
        digest, is_all = found.prefix(BodyForm(form, limit))
        assert is_all is (limit >= len(plain))
        too_much = limit > len(plain)
        assert digest == (None if too_much else hashlib.sha256(plain[:limit]).digest())


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"a", b" "]), max_size=30), CUTS)
def test_the_simple_form_is_exact_for_stray_line_ends_too(parts, cuts):
    body = b"".join(parts)
    running = SimpleBodyHash()

    for piece in pieces(body, cuts):
        running.update(piece)

    text = body
    while text.endswith(b"\r\n"):
        text = text[:-2]
    assert running.digest() == hashlib.sha256(text + b"\r\n").digest()


def test_hashing_may_go_on_after_a_look():
    hashes = BodyHashes([BodyForm(Form.SIMPLE), BodyForm(Form.RELAXED, 3)])
    hashes.update(b"a\r\n")
    first = hashes.finished()

    hashes.update(b"\r\nb")

    second = hashes.finished()
    assert first.prefix(BodyForm(Form.RELAXED, 3))[1]
    assert not second.prefix(BodyForm(Form.RELAXED, 3))[1]
    assert first.whole(Form.SIMPLE) == hashlib.sha256(b"a\r\n").digest()
    assert second.whole(Form.SIMPLE) == hashlib.sha256(b"a\r\n\r\nb\r\n").digest()


def test_the_empty_body_hashes_to_the_values_of_the_rfc():
    found = BodyHashes([BodyForm(form) for form in Form]).finished()

    assert [base64.b64encode(found.whole(form) or b"") for form in Form] == [
        b"frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=",  # RFC 6376, 3.4.3
        b"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",  # RFC 6376, 3.4.4
    ]


def test_the_example_of_the_rfc():
    body = b" C \r\nD \t E\r\n\r\n\r\n"  # RFC 6376, 3.4.5
    fields = header_fields(b"A: X\r\nB : Y\t\r\n\tZ  \r\n\r\n")
    signed = SignedFields(fields, {b"a", b"b"})
    own = Field(b"dkim-signature", b"DKIM-Signature:\r\n", 99, 14)

    hashes = BodyHashes([BodyForm(form) for form in Form])
    hashes.update(body)

    found = hashes.finished()
    assert found.whole(Form.RELAXED) == hashlib.sha256(b" C\r\nD E\r\n").digest()
    assert found.whole(Form.SIMPLE) == hashlib.sha256(b" C \r\nD \t E\r\n").digest()
    assert signed.covered((b"a", b"b"), Form.RELAXED, own) == [b"a:X\r\n", b"b:Y Z\r\n"]
    assert signed.covered((b"a", b"b"), Form.SIMPLE, own) == [
        b"A: X\r\n",
        b"B : Y\t\r\n\tZ  \r\n",
    ]


def test_a_form_that_nobody_asked_for_costs_nothing():
    hashes = BodyHashes([])
    hashes.update(b"anything")

    assert not hashes
    assert hashes.finished().whole(Form.RELAXED) is None


def test_the_unsigned_form_is_the_field_without_b_and_line_end():
    (field,) = header_fields(b"DKIM-Signature: a=1;\r\n\tb= x\r\n y ; c=2\r\n")
    start = field.body.index(b"b=") + 2
    value = (start, field.body.index(b";", start))

    assert unsigned_form(field, value, Form.RELAXED) == b"dkim-signature:a=1; b=; c=2"
    assert unsigned_form(field, value, Form.SIMPLE) == b"DKIM-Signature: a=1;\r\n\tb=; c=2"


def test_a_last_field_without_line_end_is_signed_as_if_it_had_one():
    fields = header_fields(b"A: 1\r\nB: 2")
    own = Field(b"dkim-signature", b"", 99, 14)

    found = SignedFields(fields, {b"b"}).covered((b"b",), Form.SIMPLE, own)

    assert found == [b"B: 2\r\n"]


@given(st.binary(max_size=60), st.sampled_from(Form))
def test_fields_are_as_the_plain_words_of_the_rfc_say(value, form):
    value = value.replace(b"\r", b"").replace(b"\n", b"\r\n ")
    (field,) = header_fields(b"Subject:" + value + b"\r\n")

    (found,) = SignedFields([field], {b"subject"}).covered(
        (b"subject",), form, field._replace(start=9)
    )

    expected = plain_field(b"Subject", field.raw, form.value.decode())
    assert found == expected


def test_fifty_megabytes_of_blank_lines_wait_in_a_counter():
    running = SimpleBodyHash(PrefixHash([7]))

    for _ in range(800):
        running.update(b"\r\n" * 32_768)
    running.update(b"x")

    expected = hashlib.sha256(b"\r\n" * 32_768 * 800 + b"x\r\n").digest()
    assert running.digest() == expected
