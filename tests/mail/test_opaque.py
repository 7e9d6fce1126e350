"""A reverse-path too long for SRS goes by a token, and the stored row tells nobody who it was."""

import base64
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mail.address import split_path
from mail.errors import BrokenSeal, LocalPartTooLong, SrsMalformed
from mail.opaque import (
    PERIOD,
    opaque_local_part,
    opaque_token,
    parse_opaque,
    rewrite_reverse_path,
    row_id,
    seal,
    unseal,
)
from mail.srs import VALIDITY, decode_srs

OURS = "fwd.mxax.test"
TODAY = date(2026, 3, 14)
SECRETS = [b"first secret", b"second secret"]
SES = "0100018fa1b2c3d4-5e6f7081-92a3-b4c5-d6e7-f8091a2b3c4d-000000@eu-west-1.amazonses.com"


def rewrite(path, secrets=SECRETS, today=TODAY, domain=OURS):
    return rewrite_reverse_path(path, secrets=secrets, today=today, domain=domain)


def open_again(rewritten):
    """What a return does: the token from the local part, the row by its id."""
    token = parse_opaque(split_path(rewritten.path)[0])
    assert row_id(token) == rewritten.opaque.row_id
    return unseal(rewritten.opaque.sealed, token)


def test_a_short_path_takes_the_classic_form_and_needs_no_row():
    rewritten = rewrite("ada@example.org")

    assert rewritten.opaque is None
    assert (
        decode_srs(rewritten.path, secrets=SECRETS, today=TODAY, domain=OURS) == "ada@example.org"
    )


def test_the_null_reverse_path_stays_null():
    assert (rewrite("").path, rewrite("").opaque) == ("", None)


@pytest.mark.parametrize(
    "path",
    [SES, "list-bounces+ben=a-long-name.example.net@lists.example.org", '"' + "a b" * 12 + '"@example.org',
     "ü" * 25 + "@example.org", "prvs=3814d3f6a1=ada.lovelace.of.the.engine@mail.example.org",
     "SRS0=" + "a" * 59 + "@first.example", "SRS0=" + "x" * 80 + "@" + OURS,
     "b" * 100 + "@example.org", "a@" + "d" * 60 + "." + "e" * 60 + ".example.org"],
)  # fmt: skip
def test_a_long_path_goes_by_a_token_and_comes_back_exactly(path):
    rewritten = rewrite(path)

    local_part, domain = split_path(rewritten.path)
    assert local_part.startswith("SRS0=o=")
    assert len(local_part) == 39
    assert domain == OURS
    assert open_again(rewritten) == path


def test_the_row_holds_no_readable_address():
    row = rewrite(SES).opaque
    stored = row.row_id + row.sealed

    for part in (SES, "amazonses", "0100018f", OURS):
        assert part.encode() not in stored
    token = parse_opaque(split_path(rewrite(SES).path)[0])
    assert token.encode() not in stored
    assert base64.b32decode(token.upper()) not in stored


def test_the_length_of_a_path_cannot_be_told_from_its_row():
    token = "a" * 32

    assert {len(seal("p" * octets, token)) for octets in (1, 63, 128, 254)} == {285}
    with pytest.raises(LocalPartTooLong):
        seal("p" * 255, token)


def test_the_same_path_keeps_its_token_and_row_for_a_period():
    monday = date.fromordinal(TODAY.toordinal() // PERIOD.days * PERIOD.days)
    week = [rewrite(SES, today=monday + timedelta(day)) for day in range(PERIOD.days)]

    assert len(set(week)) == 1
    assert rewrite(SES, today=monday + PERIOD).path != week[0].path
    last_use = monday + PERIOD - timedelta(days=1)
    assert week[0].opaque.expires_on == last_use + VALIDITY + timedelta(days=1)


def test_tokens_differ_by_path_period_and_secret_and_have_160_bits():
    tokens = {
        opaque_token(path, secret=secret, period=period)
        for path in ("a@example.org", "b@example.org", "A@example.org")
        for secret in SECRETS
        for period in (1, 2)
    }

    assert len(tokens) == 12
    assert len({row_id(token) for token in tokens}) == 12
    assert {len(base64.b32decode(token.upper())) for token in tokens} == {20}


@pytest.mark.parametrize("change", [str, str.upper, str.swapcase])
@pytest.mark.parametrize("separator", "=+-")
def test_a_token_is_read_in_any_case_and_with_any_separator(change, separator):
    local_part = opaque_local_part("a2b3c4d5" * 4).replace("SRS0=", f"SRS0{separator}")

    assert parse_opaque(change(local_part)) == "a2b3c4d5" * 4


@pytest.mark.parametrize(
    "local_part",
    ["", "ada", "SRS0=o=", "SRS0=o=" + "a" * 31, "SRS0=o=" + "a" * 33, "SRS0=o=" + "1" * 32,
     "SRS1=o=" + "a" * 32, "SRS0=o=" + "a" * 32 + "\n", "SRS0=x=" + "a" * 32, "xSRS0=o=" + "a" * 32],
)  # fmt: skip
def test_other_local_parts_have_no_token(local_part):
    assert parse_opaque(local_part) is None


def test_the_opaque_form_is_never_taken_for_the_classic_one():
    with pytest.raises(SrsMalformed):
        decode_srs(rewrite(SES).path, secrets=SECRETS, today=TODAY, domain=OURS)


def test_a_row_opens_with_its_own_token_only_and_unchanged_only():
    token, other = "a" * 32, "b" * 32
    sealed = seal(SES, token)

    broken = [sealed[:i] + bytes([sealed[i] ^ 1]) + sealed[i + 1 :] for i in range(len(sealed))]
    for changed in [*broken, sealed[:-1], sealed[:13], b""]:
        with pytest.raises(BrokenSeal):
            unseal(changed, token)
    with pytest.raises(BrokenSeal):
        unseal(sealed, other)


def test_one_key_never_meets_one_nonce_with_two_texts():
    token = "a" * 32

    nonces = {seal(f"{n}@example.org", token)[1:13] for n in range(100)}

    assert len(nonces) == 100


def test_a_path_above_254_octets_or_a_giant_domain_of_ours_cannot_be_rewritten():
    with pytest.raises(LocalPartTooLong):
        rewrite("a" * 250 + "@example.org")
    with pytest.raises(LocalPartTooLong):
        rewrite(SES, domain="d" * 215)


@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=63),
    st.text("ab27", min_size=32, max_size=32),
)
def test_every_text_up_to_254_octets_is_sealed_and_unsealed(path, token):
    assert unseal(seal(path, token), token) == path
