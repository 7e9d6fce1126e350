"""Chains of ARC sets (RFC 8617, 5.2; E9): good ones, and broken at every tag of every hop."""

import re

import pytest

from mail.authentication.values import ArcResult, ArcVerdict
from mail.lookups import Outcome
from mail.message import header_fields, split_header_block
from mail.signing import Algorithm
from tests.mail.authentication.chains import chain, hop, sealed, zone_of
from tests.mail.authentication.short_keys import SHORT
from tests.mail.authentication.signed_mail import (
    MESSAGE,
    NOW,
    Zone,
    ask_dkimpy,
    pem_of,
    signed,
    signer,
    verdicts,
)

PASS, FAIL, NONE, TEMPERROR = ArcResult.PASS, ArcResult.FAIL, ArcResult.NONE, ArcResult.TEMPERROR
HOPS = 4
ZONE = zone_of(51)


def judged(octets: bytes, zone=ZONE, now: int = NOW) -> ArcVerdict:
    return verdicts(octets, zone, now=now).arc


def test_a_message_without_sets_has_no_chain():
    assert judged(MESSAGE) == ArcVerdict(NONE)
    assert judged(signed(MESSAGE), signer().zone) == ArcVerdict(NONE)


@pytest.mark.parametrize("hops", [1, 2, 3, 10, 49, 50])
def test_a_good_chain_passes(hops):
    found = judged(chain(hops))

    assert (found.result, found.reason, found.highest_instance) == (PASS, "", hops)
    assert [one.instance for one in found.sets] == list(range(1, hops + 1))
    assert found.sealers == tuple(f"hop{number}.test" for number in range(1, hops + 1))


def test_the_sets_tell_who_sealed_and_what_he_saw():
    first = sealed(MESSAGE, 1, results="i=1;\r\n\tmx.test;\r\n\tdmarc=pass header.from=author.test")

    (found,) = judged(first).sets

    assert (found.instance, found.sealer, found.selector) == (1, "hop1.test", "s1")
    assert found.results == "mx.test;\tdmarc=pass header.from=author.test"


@pytest.mark.parametrize(
    "results", ["I=1;x", " i = 1 ; x", "(a) i(b)=(c)1(d);x", "\r\n\ti=1\r\n ;x", "i=01; x"]
)
def test_the_instance_of_results_may_have_comments_around_it(results):
    found = judged(sealed(MESSAGE, 1, results=results))

    assert (found.result, found.sets[0].results) == (PASS, "x")


def test_results_are_text_whatever_stands_in_them_and_bounded():
    octets = sealed(MESSAGE, 1, results="i=1; é\x01" + "x" * 20_000)

    (found,) = judged(octets).sets

    assert found.results.startswith("é\x01x")
    assert len(found.results) <= 8192


def test_fields_may_stand_in_any_order():
    octets = chain(3)
    begin = split_header_block(octets)
    fields = [one.raw for one in header_fields(octets[:begin])]

    shuffled = b"".join([*reversed(fields[:9]), *fields[9:]]) + octets[begin - 2 :]

    assert shuffled != octets
    assert judged(shuffled).result is PASS


def test_ed25519_seals_pass():
    by = signer(Algorithm.ED25519_SHA256, "hop1.test", "s1")

    assert judged(sealed(MESSAGE, 1, by=by), by.zone).result is PASS


def test_a_hop_may_change_the_message_and_seal_what_it_sends():
    listed = chain(1).replace(b"Subject: ", b"Subject: [list] ").replace(b"Hello", b"Hallo")

    assert judged(listed).result is FAIL
    assert judged(sealed(listed, 2)).result is PASS  # its own seal says what it saw


def test_the_key_of_both_fields_is_asked_for_once():
    zone = Zone(ZONE)

    verdicts(chain(3), zone)

    assert sorted(zone.asked) == [f"s{n}._domainkey.hop{n}.test" for n in (1, 2, 3)]


# Broken: fields


def fields_of(octets: bytes, instance: int) -> list[bytes]:
    block = octets[: split_header_block(octets)]
    return [
        one.raw
        for one in header_fields(block)
        if one.name.startswith(b"arc-") and re.search(rb"i=%d;" % instance, one.raw)
    ]


def broken_chains() -> dict[str, bytes]:
    """A good chain with one thing changed: each field, each tag, at each hop."""
    octets = chain(HOPS)
    found = {}
    for instance in range(1, HOPS + 1):
        for raw in fields_of(octets, instance):
            name = f"{raw.split(b':')[0].decode()} of {instance}"
            found[f"no {name}"] = octets.replace(raw, b"")
            found[f"two {name}"] = octets.replace(raw, raw + raw)
            if b"Results" in raw:
                found[f"changed {name}"] = octets.replace(
                    raw, raw.replace(b"spf=pass", b"spf=fail")
                )
            for tag in re.findall(rb"(?:: |; )(\w+)=", raw):
                if b"Results" not in raw or tag == b"i":
                    changed = octets.replace(raw, _with_other_value(raw, tag))
                    found[f"{tag.decode()}= in {name}"] = changed
                    gone = octets.replace(raw, re.sub(rb"\b%b=[^;]*;? ?" % tag, b"", raw, count=1))
                    found[f"no {tag.decode()}= in {name}"] = gone
    return found


def _with_other_value(raw: bytes, tag: bytes) -> bytes:
    others = {b"i": b"9", b"cv": b"fail", b"a": b"rsa-sha1", b"c": b"simple/simple", b"t": b"77"}
    old = re.search(rb"\b%b=([^;\r]*)" % tag, raw)
    assert old is not None
    swapped = old[1][:8].swapcase() + old[1][8:]
    new = others.get(tag, swapped if tag not in (b"d", b"s", b"h") else b"x" + old[1])
    if tag == b"h":
        new = old[1].replace(b":to", b"")
    return raw[: old.start(1)] + new + raw[old.end(1) :]


BROKEN = broken_chains()


def test_there_are_breaks_of_all_tags_at_all_hops():
    assert len(BROKEN) >= HOPS * 35
    assert chain(HOPS) not in BROKEN.values()


@pytest.mark.parametrize("octets", BROKEN.values(), ids=BROKEN)
def test_any_change_breaks_the_chain(octets):
    found = judged(octets)

    assert found.result is FAIL
    assert found.reason


def test_dkimpy_lets_none_of_the_broken_chains_pass_and_the_good_one():
    records = {**zone_of(HOPS)}
    tasks = [
        {"do": "arc_verify", "message": octets.decode("latin-1"), "records": records}
        for octets in (chain(HOPS), *BROKEN.values())
    ]

    good, *broken = ask_dkimpy(*tasks)

    assert good == ["pass", "success"]
    passed = {name for name, answer in zip(BROKEN, broken, strict=True) if answer[0] == "pass"}
    assert passed == set()


# Sealed as it should be, but not what a chain may be


@pytest.mark.parametrize("instance", range(1, HOPS + 1))
@pytest.mark.parametrize("cv", ["none", "pass", "fail", "", "maybe"])
def test_the_status_that_each_hop_must_tell(instance, cv):
    octets = MESSAGE
    for number in range(1, HOPS + 1):
        octets = sealed(octets, number, seal={"cv": cv} if number == instance else {})

    found = judged(octets)

    good = cv == ("none" if instance == 1 else "pass")
    assert found.result is (PASS if good else FAIL)


def test_a_chain_that_a_hop_called_broken_stays_broken():
    octets = sealed(chain(2), 3, cv="fail")

    found = judged(octets)

    assert found.result is FAIL
    assert found.reason == "instance 3 says that the chain was broken before"
    assert [one.sealer for one in found.sets] == ["hop1.test", "hop2.test", "hop3.test"]
    assert judged(sealed(octets, 4)).result is FAIL


@pytest.mark.parametrize(
    ("seal", "message"),
    [
        ({"h": "from:to"}, {}),
        ({"a": "rsa-sha1"}, {}),
        ({"a": "rsa-sha512"}, {}),
        ({"i": "0"}, {}),
        ({"i": "51"}, {}),
        ({"i": "1.0"}, {}),
        ({"i": ""}, {}),
        ({"i": "100"}, {}),
        ({"d": "com"}, {}),
        ({}, {"h": "from:arc-seal"}),
        ({}, {"h": "to:subject"}),
        ({}, {"a": "rsa-sha1"}),
        ({}, {"c": "x/y"}),
        ({}, {"x": str(NOW - 1)}),
        ({}, {"l": "3"}),
        ({}, {"b_": "AAAA"}),
        ({}, {"b_": "%%%"}),
        ({}, {"i": "2"}),
    ],
)
def test_fields_that_make_no_set(seal, message):
    assert judged(sealed(MESSAGE, 1, seal=seal, message=message)).result is FAIL


def test_a_message_signature_that_covers_a_seal_fails_though_it_is_right():
    octets = sealed(chain(1), 2, message={"h": "from:arc-seal"})

    assert judged(octets).reason == "message signature of instance 2: it covers ARC-Seal"
    assert judged(sealed(octets, 3)).result is PASS  # only the newest is looked at


def test_a_gap_and_a_missing_beginning_fail():
    octets = sealed(sealed(MESSAGE, 1), 3, cv="pass")

    assert "instance 2" in judged(octets).reason
    assert judged(octets).result is FAIL
    assert judged(sealed(MESSAGE, 2, cv="pass")).result is FAIL


def test_the_51st_set_breaks_the_chain():
    octets = sealed(chain(50), 51)

    found = judged(octets)

    assert found.result is FAIL
    assert "more than 50" in found.reason


def test_a_field_that_only_looks_like_one_set_more_fails():
    for line in (b"ARC-Seal: x", b"ARC-Authentication-Results: mx.test; spf=pass", b"ARC-Seal:"):
        assert judged(line + b"\r\n" + chain(1)).result is FAIL
    assert judged(b"ARC-Message: x\r\n" + chain(1)).result is PASS


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"Hello", b"Hallo"), (b"<ada@", b"<eve@"), (b"Received:", b"From: m@evil.test\r\nReceived:")],
)
def test_what_was_changed_after_the_last_seal_breaks_the_chain(old, new):
    assert judged(chain(2).replace(old, new, 1)).result is FAIL


# Keys


@pytest.mark.parametrize("name", [f"s{n}._domainkey.hop{n}.test" for n in (1, 2, 3)])
def test_a_key_that_could_not_be_fetched_says_nothing(name):
    found = judged(chain(3), {**ZONE, name: Outcome.FAILURE})

    assert found.result is TEMPERROR
    assert (
        judged(chain(3).replace(b"Hello", b"Hallo"), {**ZONE, name: Outcome.FAILURE}).result is FAIL
    )


@pytest.mark.parametrize(
    "record", [Outcome.NO_NAME, Outcome.NO_DATA, "v=DKIM1; p=", SHORT[768][1], hop(9).record + "A"]
)
def test_a_key_that_is_no_use_breaks_the_chain(record):
    found = judged(chain(2), {**ZONE, "s1._domainkey.hop1.test": record})

    assert found.result is FAIL
    assert found.reason.startswith("seal of instance 1: ")


def test_the_reason_is_what_failed_for_good():
    names = [f"s{n}._domainkey.hop{n}.test" for n in (1, 2)]
    zone = {**ZONE, names[0]: "v=DKIM1; p=", names[1]: Outcome.FAILURE}

    found = judged(chain(2), zone)

    assert (found.result, found.reason) == (FAIL, "seal of instance 1: the key is revoked")


# dkimpy's chains


def test_chains_of_dkimpy_pass_from_1_to_50():
    domain, selector = "lists.example.org", "arc"
    by = signer(domain=domain, selector=selector)
    task = {"do": "chain", "message": MESSAGE.decode("latin-1"), "pem": pem_of(), "hops": 50}
    (made,) = ask_dkimpy({**task, "domain": domain, "selector": selector})

    found = [judged(octets.encode("latin-1"), by.zone, now=2_000_000_000) for octets in made]

    assert [one.result for one in found] == [PASS] * 50
    assert found[-1].sealers == (domain,) * 50
    changed = made[-1].replace("spf=pass", "spf=fail", 1).encode("latin-1")
    assert judged(changed, by.zone, now=2_000_000_000).result is FAIL
