"""How much of a stranger's signatures is looked at, when keys are asked for, and what it costs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mail.authentication.signatures import MAX_SIGNATURES, SignatureCheck, SignatureVerdicts
from mail.authentication.values import ArcResult, ArcVerdict, DkimResult
from mail.lookups import Answer, Outcome
from mail.message import header_fields, split_header_block
from mail.signing import Algorithm
from tests.mail.authentication.chains import chain, zone_of
from tests.mail.authentication.signed_mail import (
    KEY_NAME,
    MESSAGE,
    NOW,
    Zone,
    digest_of,
    run,
    signed,
    signer,
    verdicts,
    verdicts_of,
)
from tests.timing import within_cpu


def check_of(octets: bytes) -> tuple[SignatureCheck, bytes]:
    begin = split_header_block(octets)
    return SignatureCheck.of(header_fields(octets[:begin])), octets[begin:]


def test_a_message_without_signatures_wants_nothing():
    check, body = check_of(MESSAGE)
    zone = Zone({})

    check.update(body)

    assert not check.wants_body
    found = run(verdicts_of(check, zone, now=NOW))
    assert found == SignatureVerdicts((), 0, ArcVerdict(ArcResult.NONE))
    assert zone.asked == []


@pytest.mark.parametrize(
    "broken", [b"DKIM-Signature: x\r\n", b"DKIM-Signature: v=1; a=rsa-sha1; b=\r\n"]
)
def test_signatures_that_are_none_want_nothing(broken):
    check, _ = check_of(broken + MESSAGE)

    assert not check.wants_body
    assert check.key_names == ()


def test_fifteen_signatures_are_looked_at_and_the_others_counted():
    octets = MESSAGE
    for _ in range(50):
        octets = signed(octets)
    zone = Zone(signer().zone)

    found = verdicts(octets, zone)

    assert [one.result for one in found.dkim] == [DkimResult.PASS] * MAX_SIGNATURES
    assert found.skipped == 35
    assert zone.asked == [KEY_NAME]


def test_three_signatures_have_three_verdicts_from_the_top():
    ed, other = signer(Algorithm.ED25519_SHA256), signer(domain="list.test")
    octets = signed(signed(signed(MESSAGE), other), ed, d="author.test", s="ed", x=str(NOW - 1))

    found = verdicts(octets, signer().zone | other.zone).dkim

    assert [(one.domain, one.result.value) for one in found] == [
        ("author.test", "fail"), ("list.test", "pass"), ("author.test", "pass"),
    ]  # fmt: skip


def test_keys_can_be_fetched_while_the_body_comes_in():
    check, body = check_of(signed(chain(2)))
    zone = Zone(signer().zone | zone_of(2))

    run(check.fetch_keys(zone))
    asked = tuple(zone.asked)
    check.update(body)
    found = run(verdicts_of(check, zone, now=NOW))

    assert found.dkim[0].passed
    assert found.arc.result is ArcResult.PASS
    assert tuple(zone.asked) == asked
    assert len(asked) == 3


def test_a_caller_may_ask_for_all_keys_at_once():
    check, body = check_of(signed(MESSAGE))
    check.update(body)

    (name,) = check.key_names
    check.take_key(name, Answer(Outcome.FOUND, (signer().record.encode(),)))

    assert check.key_names == ()
    assert check.judge(now=NOW).dkim[0].passed


def test_a_key_that_did_not_come_in_time_is_a_temporary_error():
    check, body = check_of(signed(chain(1)))
    check.update(body)

    found = check.judge(now=NOW)

    assert found.dkim[0].result is DkimResult.TEMPERROR
    assert found.arc.result is ArcResult.TEMPERROR


@given(st.binary(max_size=400), st.binary(max_size=60))
def test_whatever_stands_in_signatures_raises_nothing(value, body):
    value = value.replace(b"\r", b"").replace(b"\n", b"\r\n ")
    names = (
        b"DKIM-Signature",
        b"ARC-Seal",
        b"ARC-Message-Signature",
        b"ARC-Authentication-Results",
    )
    block = b"".join(name + b":" + value + b"\r\n" for name in names) + b"From: a@b.test\r\n\r\n"

    found = verdicts(block + body, signer().zone)

    assert not found.dkim[0].passed
    assert found.arc.result is ArcResult.FAIL


TAGS = st.sampled_from(
    [
        "v=1",
        "v=2",
        "a=rsa-sha256",
        "a=ed25519-sha256",
        "a=x",
        "c=relaxed/relaxed",
        "c=simple",
        "c=a/b",
        "d=author.test",
        "d=..",
        "s=s",
        "s=-",
        "h=from:to",
        "h=to",
        "bh=AAAA",
        "b=AAAA",
        "b=é",
        "i=@author.test",
        "i=1",
        "i=2",
        "cv=none",
        "cv=pass",
        "t=1",
        "t=x",
        "x=9",
        "l=0",
        "l=99",
        "q=dns/txt",
        ";",
        "z=",
    ]
)


@given(st.lists(TAGS, max_size=14), st.sampled_from(["DKIM-Signature", "ARC-Seal", "ARC-Message-Signature"]))  # fmt: skip
def test_any_tags_raise_nothing_and_never_pass(tags, name):
    line = f"{name}: {'; '.join(tags)}\r\n".encode()

    found = verdicts(line + MESSAGE, signer().zone)

    assert not any(one.passed for one in found.dkim)
    assert found.arc.result is not ArcResult.PASS


@given(st.binary(max_size=300))
def test_whatever_stands_in_a_key_record_raises_nothing(text):
    assert not verdicts(signed(MESSAGE), {KEY_NAME: text}).dkim[0].passed


MEGABYTE = 1_000_000
SEAL = b"ARC-Seal: i=1; cv=none; a=rsa-sha256; d=a.test; s=s; b=AAAA\r\n"


def hostile() -> dict[str, tuple[bytes, bytes]]:
    """Headers and bodies of a megabyte each, by what they try."""
    good = signed(MESSAGE, bh=digest_of(b""))  # right for the empty body: the header is hashed too
    field = good[: good.index(b"\r\n") + 2]
    wide = field.replace(b"h=from:to:subject:date:message-id", b"h=from" + b":to" * 990)
    own = field.replace(b"h=from:to", b"h=from" + b":dkim-signature" * 900)
    fifteen = [
        field.replace(b"s=s", b"s=s%d" % n).replace(b"t=", b"l=%d; t=" % n) for n in range(15)
    ]
    simple = [line.replace(b"c=relaxed/relaxed", b"c=simple/simple") for line in fifteen[::2]]
    return {
        "one field of semicolons": (b"DKIM-Signature: " + b";" * MEGABYTE, b""),
        "one field of tags": (b"DKIM-Signature: " + b"a=1; b=2;" * (MEGABYTE // 9), b""),
        "fifteen large fields": ((b"DKIM-Signature: v=1; b=" + b"A " * 32_000 + b"\r\n") * 15, b""),
        "one field of white space": (b"DKIM-Signature:" + b" \t" * (MEGABYTE // 2), b""),
        "folded each octet": (b"DKIM-Signature:" + b"\r\n " * (MEGABYTE // 3), b""),
        "sixty thousand signatures": (b"DKIM-Signature: v=1\r\n" * (MEGABYTE // 21), b""),
        "many names": (wide * 15 + b"To: a@b.test\r\n" * (MEGABYTE // 14), b""),
        "many names of many": (own * 15 + b"DKIM-Signature:\r\n" * (MEGABYTE // 17), b""),
        "fields of white space": (wide * 15 + b"To:" + b" \t" * (MEGABYTE // 2) + b"\r\n", b""),
        "long From": (field * 15 + b"From:" + b"(\t " * (MEGABYTE // 3) + b"\r\n", b""),
        "many seals": (SEAL * (MEGABYTE // len(SEAL)), b""),
        "seals of all instances": (SEAL * 150, b""),
        "results of comments": (SEAL + b"ARC-Authentication-Results:" + b"(" * MEGABYTE, b""),
        "results of closed comments": (SEAL + b"ARC-Authentication-Results: i" + b"()" * (MEGABYTE // 2), b""),
        "results of white space": (SEAL + b"ARC-Authentication-Results: i" + b" \t" * (MEGABYTE // 2), b""),
        "fifteen limits, blank lines": (b"".join(fifteen + simple), b"\r\n" * (MEGABYTE // 2)),
        "fifteen limits, white space": (b"".join(fifteen + simple), b" \t" * (MEGABYTE // 2)),
        "white space and text": (b"".join(fifteen + simple), b" \tx\r\n" * (MEGABYTE // 5)),
    }  # fmt: skip


@pytest.mark.parametrize("name", hostile())
def test_a_hostile_megabyte_costs_less_than_a_second(name):
    block, body = hostile()[name]
    block += b"" if block.endswith(b"\r\n") else b"\r\n"
    octets = block + b"From: a@author.test\r\n\r\n" + body

    found = within_cpu(lambda: verdicts(octets, Zone(signer().zone), piece=65_536), seconds=1)

    assert not any(one.passed for one in found.dkim)
    assert found.arc.result is not ArcResult.PASS


LARGE = """
import json, resource, sys, time
sys.path.insert(0, sys.argv[1])
from tests.mail.authentication.test_dkim_limits import hostile, signer, verdicts
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for block, body in hostile().values():
    verdicts(block + b"\\r\\nFrom: a@author.test\\r\\n\\r\\n" + body, signer().zone, piece=65_536)
json.dump(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, sys.stdout)
"""


def test_no_hostile_megabyte_takes_two_hundred_megabytes():
    root = str(Path(__file__).parents[3])

    done = subprocess.run(
        [sys.executable, "-c", LARGE, root], capture_output=True, text=True, check=True, cwd=root
    )

    assert json.loads(done.stdout) < 200_000, "kilobytes"


def test_a_signed_message_of_six_kilobytes_is_verified_in_a_fraction_of_a_millisecond():
    body = b"An ordinary line of text with nothing to reduce in it at all.\r\n" * 90
    octets = signed(MESSAGE.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" + body)
    fields = header_fields(octets[: split_header_block(octets)])
    zone = Zone(signer().zone)

    def verified() -> None:
        for _ in range(200):
            check = SignatureCheck.of(fields)
            check.update(body)
            assert run(verdicts_of(check, zone, now=NOW)).dkim[0].passed

    within_cpu(verified, seconds=200 * 0.000_5)  # goal 0.1 ms; the promise is 2 ms a message
