"""Our ARC seals, judged by untouched dkimpy, and what they must never say."""

from __future__ import annotations

import base64
import re
import time
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from hypothesis import given
from hypothesis import strategies as st

from mail.authentication.results_field import read_results
from mail.authentication.seal import MAX_INSTANCES, seal
from mail.authentication.signatures import SignatureCheck
from mail.authentication.values import ArcResult, ArcVerdict
from mail.errors import BadSigningKey
from mail.message import Field, header_fields, split_header_block
from mail.signing import (
    Algorithm,
    SigningKey,
    cover,
    dkim_record_strings,
    generate_key_pair,
    load_signing_key,
    relaxed_body_hash,
    relaxed_field,
    sign,
)
from tests.mail.authentication.signed_mail import Zone, run, verdicts_of
from tests.mail.test_signing import DOMAIN, MESSAGE, ask_oracle, verify_task
from tests.timing import within_cpu

NOW = 1_795_323_600
RESULTS = "mx.mxax.test;\r\n\tspf=pass smtp.mailfrom=ada@example.org;\r\n\tdmarc=pass header.from=example.org"  # fmt: skip
PEM, PUBLIC = generate_key_pair(Algorithm.RSA_SHA256)
KEY = load_signing_key(PEM, algorithm=Algorithm.RSA_SHA256, domain=DOMAIN, selector="arc")
RECORDS = {f"arc._domainkey.{DOMAIN}": "".join(dkim_record_strings(PUBLIC))}
NONE, PASS, FAIL, TEMPERROR = ArcResult.NONE, ArcResult.PASS, ArcResult.FAIL, ArcResult.TEMPERROR


def new_set(
    octets: bytes, chain: ArcResult, key: SigningKey = KEY, results: str = RESULTS
) -> bytes:
    body = split_header_block(octets)
    return seal(
        octets[:body], relaxed_body_hash(octets[body:]), key, results=results, chain=chain, now=NOW
    )


def sealed(times: int, octets: bytes = MESSAGE) -> bytes:
    """The message after so many hops that all were ours."""
    for hop in range(times):
        octets = new_set(octets, PASS if hop else NONE) + octets
    return octets


def arc_task(octets: bytes) -> dict[str, Any]:
    return {"do": "arc", "message": octets.decode("latin-1"), "records": RECORDS}


def status_of(octets: bytes) -> str | None:
    [[status, _]] = ask_oracle(arc_task(octets))
    return status


def ours(octets: bytes, instance: int, name: str) -> Field:
    (found,) = (
        one
        for one in header_fields(octets)
        if one.name == name.lower().encode() and f"i={instance};".encode() in one.value[:9]
    )
    return found


def tags(octets: bytes, instance: int, name: str) -> dict[str, str]:
    value = re.sub(r"\s", "", ours(octets, instance, name).value.decode())
    return dict(tag.split("=", 1) for tag in value.split(";"))


def test_a_chain_of_each_length_up_to_fifty_passes():
    octets, tasks = MESSAGE, []

    for hop in range(MAX_INSTANCES):
        octets = new_set(octets, PASS if hop else NONE) + octets
        tasks.append(arc_task(octets))

    assert ask_oracle(*tasks) == [["pass", "success"]] * MAX_INSTANCES


def test_the_fifty_first_is_not_added():
    assert new_set(sealed(MAX_INSTANCES), PASS) == b""
    assert new_set(sealed(MAX_INSTANCES), FAIL) == b""


def test_the_three_fields_say_what_they_should():
    octets = sealed(2)

    assert [one.name for one in header_fields(octets)[:3]] == [
        *(b"arc-seal", b"arc-message-signature", b"arc-authentication-results")
    ]
    of_seal, of_message = tags(octets, 2, "ARC-Seal"), tags(octets, 2, "ARC-Message-Signature")
    assert of_seal.keys() == {"i", "a", "cv", "d", "s", "t", "b"}  # 4.1.3: no h, no bh, no c
    assert (of_seal["cv"], tags(octets, 1, "ARC-Seal")["cv"]) == ("pass", "none")
    assert of_message.keys() == {"i", "a", "c", "d", "s", "t", "h", "bh", "b"}  # 4.1.2: no v
    assert of_message["c"] == "relaxed/relaxed"
    assert {of_seal["t"], of_message["t"]} == {str(NOW)}
    results = ours(octets, 2, "ARC-Authentication-Results")
    assert results.value == b"i=2; " + RESULTS.replace("\r\n", "").encode()


def test_it_signs_the_dkim_signatures_and_nothing_that_others_take_away():
    octets = b"DKIM-Signature: v=1; b=x\r\nAuthentication-Results: a.test; none\r\n" + MESSAGE

    names = tags(sealed(2, octets), 2, "ARC-Message-Signature")["h"].split(":")

    assert names.count("dkim-signature") == 1
    assert not {"authentication-results", "received", "return-path"} & {*names}
    assert not [name for name in names if name.startswith("arc-")]
    assert names.count("from") == 2  # a second one would break it


def test_a_field_put_above_later_breaks_nothing():
    octets = sealed(1, b"DKIM-Signature: v=1; b=x\r\n" + MESSAGE)
    body = split_header_block(octets)
    signature = sign(octets[:body], relaxed_body_hash(octets[body:]), (KEY,), now=int(time.time()))

    above = signature + b"Authentication-Results: next.test; none\r\nReceived: x\r\n" + octets

    assert status_of(above) == "pass"
    assert ask_oracle(verify_task(above, RECORDS)) == [True]


def test_what_both_cover_may_be_made_once():
    body = split_header_block(MESSAGE)
    fields = header_fields(MESSAGE[:body])
    body_hash, covered = relaxed_body_hash(MESSAGE[body:]), cover(fields)

    shared = seal(fields, body_hash, KEY, results=RESULTS, chain=NONE, now=NOW, covered=covered)

    assert shared == new_set(MESSAGE, NONE)
    assert sign(covered, body_hash, (KEY,), now=NOW) == sign(MESSAGE[:body], body_hash, (KEY,), now=NOW)  # fmt: skip


CHAIN = sealed(3)
DAMAGE = [
    pytest.param(b"From: Ada", b"From: Eve", id="author"),
    pytest.param(b"the body", b"The body", id="body"),
    pytest.param(b"\r\nSubject:", b"\r\nSubject: second\r\nSubject:", id="second-subject"),
    pytest.param(b"i=1; mx.mxax.test", b"i=1; my.mxax.test", id="results-of-the-first"),
    pytest.param(b"i=3; mx.mxax.test", b"i=3; my.mxax.test", id="results-of-the-last"),
    pytest.param(b"cv=none", b"cv=pass", id="status-of-the-first"),
    pytest.param(b"cv=pass", b"cv=none", id="status-of-the-last"),
    pytest.param(b"cv=pass", b"cv=fail", id="status-made-fail"),
    pytest.param(b"ARC-Seal: i=1", b"X-Seal: i=1", id="seal-of-the-first-gone"),
    pytest.param(b"ARC-Seal: i=3", b"X-Seal: i=3", id="seal-of-the-last-gone"),
    pytest.param(b"ARC-Message-Signature: i=2", b"X: i=2", id="signature-of-the-second-gone"),
    pytest.param(b"ARC-Authentication-Results: i=2", b"X: i=2", id="results-of-the-second-gone"),
    pytest.param(b"ARC-Seal: i=2", b"ARC-Seal: i=9", id="another-instance"),
    pytest.param(b"ARC-Seal: i=3", b"ARC-Seal: i=3; i=3", id="a-tag-twice"),
    pytest.param(b"d=fwd.mxax.test", b"d=fwd.mxax.evil", id="another-domain"),
    pytest.param(b"t=%d" % NOW, b"t=%d" % (NOW + 1), id="another-time"),
    pytest.param(b"\tbh=", b"\tbh=A", id="body-hash"),
    pytest.param(b"\tb=", b"\tb=A", id="signature"),
]


@pytest.mark.parametrize(("old", "new"), DAMAGE)
def test_a_damaged_chain_does_not_pass(old, new):
    changed = CHAIN.replace(old, new, 1)

    assert changed != CHAIN
    assert status_of(changed) != "pass"


@pytest.mark.parametrize("instance", [1, 2, 3])
@pytest.mark.parametrize(
    "name", ["ARC-Seal", "ARC-Message-Signature", "ARC-Authentication-Results"]
)
def test_one_letter_changed_in_any_field_of_a_chain_shows(instance, name):
    field = ours(CHAIN, instance, name)
    last = field.raw.rstrip(b"\r\n")
    letter = b"B" if last[-4:-3] == b"A" else b"A"

    changed = CHAIN.replace(last, last[:-4] + letter + last[-3:])

    assert changed != CHAIN
    # Of earlier signatures of the message only the seals are checked; they sign them all.
    assert status_of(changed) != "pass"


def test_a_failed_chain_is_marked_once_and_covers_its_own_set_only():
    broken = CHAIN.replace(b"From: Ada", b"From: Eve")

    fields = header_fields(new_set(broken, FAIL))

    octets = b"".join(one.raw for one in fields)
    assert tags(octets, 4, "ARC-Seal")["cv"] == "fail"
    unsigned = re.sub(rb"b=[^;]*$", b"b=", relaxed_field(b"arc-seal", fields[0].body).rstrip())
    signed = b"".join(relaxed_field(one.name, one.body) for one in reversed(fields[1:])) + unsigned
    signature = tags(octets, 4, "ARC-Seal")["b"]
    public = KEY.private.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    public.verify(base64.b64decode(signature), signed, padding.PKCS1v15(), hashes.SHA256())
    assert status_of(octets + broken) != "pass"
    for result in ArcResult:
        assert new_set(octets + broken, result) == b""  # RFC 8617, 5.1: it stops here


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda octets: octets.replace(b"ARC-Seal: i=1", b"X: i=1"), id="a-set-incomplete"),
        pytest.param(lambda octets: octets.replace(b"i=1;", b"i=7;"), id="a-gap"),
        pytest.param(lambda octets: ours(octets, 2, "ARC-Seal").raw + octets, id="a-field-twice"),
        pytest.param(lambda octets: b"ARC-Seal: i=x\r\n" + octets, id="a-field-without-instance"),
    ],
)  # fmt: skip
def test_sets_that_cannot_be_covered_whole_are_never_sealed_as_passed(spoil):
    octets = spoil(CHAIN)

    added = new_set(octets, PASS)

    assert b"cv=fail" in added
    assert b"cv=pass" not in added


@pytest.mark.parametrize(
    "written", [b" i=1;", b"i=01 ;", b"\r\n\tI = 1\r\n ;", b" (a) i (b) = (c) 1 (d);"]
)
def test_an_instance_is_read_however_it_is_written(written):
    octets = CHAIN.replace(b"Results: i=1;", b"Results:" + written)

    assert b"Results:" + written in octets
    assert b"cv=pass" in new_set(octets, PASS)


def test_a_tag_that_ends_in_i_is_no_instance():
    octets = CHAIN.replace(b"ARC-Seal: i=3;", b"ARC-Seal: zi=9; i=3;")

    assert new_set(octets, PASS).startswith(b"ARC-Seal: i=4;")


def judged_by_us(octets: bytes) -> ArcVerdict:
    body = split_header_block(octets)
    check = SignatureCheck.of(header_fields(octets[:body]))
    check.update(octets[body:])
    lookup = Zone(RECORDS)
    return run(verdicts_of(check, lookup, now=NOW)).arc


def test_our_own_verifier_takes_our_chains_and_reads_our_results_back():
    for length in (1, 2, 50):
        verdict = judged_by_us(sealed(length))

        assert (verdict.result, verdict.highest_instance) == (PASS, length), verdict.reason
        assert set(verdict.sealers) == {DOMAIN}
        assert read_results(verdict.sets[0].results).dmarc_passed("example.org")


@pytest.mark.parametrize(("old", "new"), DAMAGE)
def test_our_own_verifier_sees_the_damage(old, new):
    assert judged_by_us(CHAIN.replace(old, new, 1)).result is FAIL


def test_nothing_is_added_where_the_chain_is_not_known():
    assert new_set(CHAIN, TEMPERROR) == b""
    assert new_set(MESSAGE, TEMPERROR) == b""


@pytest.mark.parametrize("result", [PASS, FAIL])
def test_the_first_set_never_says_anything_but_none(result):
    assert new_set(MESSAGE, result) == b""
    assert new_set(b"ARC-Seal: rubbish\r\n" + MESSAGE, FAIL) == b""


def test_a_message_with_a_chain_is_never_sealed_as_the_first():
    assert b"cv=fail" in new_set(CHAIN, NONE)


def test_the_results_can_end_no_field():
    added = new_set(MESSAGE, NONE, results="mx; a=b\r\nFrom: eve\rX: y\nZ: z\r\n\tgood\r\n")

    assert len(header_fields(added)) == 3
    assert added.count(b"\n") == added.count(b"\r") == added.count(b"\r\n")
    assert status_of(added + MESSAGE) == "pass"


def test_results_in_utf8_are_sealed():
    added = new_set(MESSAGE, NONE, results="mx; spf=pass smtp.mailfrom=büro@example.org")

    assert status_of(added + MESSAGE) == "pass"


def test_a_seal_needs_an_rsa_key():
    pem, _ = generate_key_pair(Algorithm.ED25519_SHA256)
    key = load_signing_key(pem, algorithm=Algorithm.ED25519_SHA256, domain=DOMAIN, selector="s")

    with pytest.raises(BadSigningKey):
        new_set(MESSAGE, NONE, key)


def test_no_line_of_ours_is_long():
    assert max(map(len, sealed(1)[: -len(MESSAGE)].split(b"\r\n"))) <= 80


class Quick:
    """A private key that takes no time and signs nothing."""

    def sign(self, digest: bytes) -> bytes:
        return b"\x00" * 256


QUICK = replace(KEY, private=Quick())


def test_all_but_the_two_signatures_costs_next_to_nothing():
    body = split_header_block(MESSAGE)
    fields = header_fields(MESSAGE[:body])
    covered = cover(fields)

    def sealed() -> None:
        for _ in range(100):
            seal(fields, bytes(32), QUICK, results=RESULTS, chain=NONE, now=NOW, covered=covered)

    within_cpu(sealed, seconds=100 * 0.000_1)


PIECES = st.sampled_from(
    [b"ARC-Seal:", b"ARC-Message-Signature:", b"arc-authentication-results:", b"From: a@b\r\n", b"\r\n",
     b" i=1;", b" i=2; a=b; cv=fail", b"i=01", b" i=99999;", b" I=3;", b" cv=pass;", b"\r\n\t", b";", b"\xff", b"DKIM-Signature: v=1\r\n"]
)  # fmt: skip


@given(
    st.lists(PIECES, max_size=30).map(b"".join), st.sampled_from(ArcResult), st.text(max_size=40)
)
def test_any_header_gets_one_good_set_or_none(block, chain, results):
    added = seal(block, bytes(32), QUICK, results=results, chain=chain, now=NOW)

    if added:
        names = [one.name for one in header_fields(added + b"X: y\r\n")]
        assert names == [
            *(b"arc-seal", b"arc-message-signature", b"arc-authentication-results", b"x")
        ]
        assert (b"cv=none" in added) == (b"i=1;" in added[:20])


@pytest.mark.parametrize("piece", [b"ARC-Seal: i=1\r\n", b"ARC-Seal: " + b"\r\n " * 50, b"ARC-Authentication-Results: i=" + b" " * 200 + b"\r\n", b"ARC-Message-Signature: ;;;;i=;\r\n"])  # fmt: skip
def test_a_megabyte_of_chain_takes_a_moment(piece):
    block = piece * (1_000_000 // len(piece))
    fields = header_fields(block)

    within_cpu(
        lambda: seal(fields, bytes(32), QUICK, results=RESULTS, chain=PASS, now=NOW), seconds=1
    )
