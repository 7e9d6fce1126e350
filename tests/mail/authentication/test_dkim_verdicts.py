"""What each kind of DKIM signature comes to (E5): RFC 6376, 8301 and 8463."""

import base64

import pytest

from mail.authentication.values import DkimResult
from mail.lookups import Outcome
from mail.signing import Algorithm
from tests.mail.authentication.short_keys import SHORT
from tests.mail.authentication.signed_mail import (
    DOMAIN,
    KEY_NAME,
    MESSAGE,
    NOW,
    ask_dkimpy,
    digest_of,
    signed,
    signer,
    verdicts,
)

PASS, FAIL, NEUTRAL = DkimResult.PASS, DkimResult.FAIL, DkimResult.NEUTRAL
PERMERROR, TEMPERROR, POLICY = DkimResult.PERMERROR, DkimResult.TEMPERROR, DkimResult.POLICY
FORMS = ("simple", "relaxed")


def one(octets: bytes, zone=None, now: int = NOW):
    (found,) = verdicts(octets, signer().zone if zone is None else zone, now=now).dkim
    return found


def record(*tags: str) -> dict[str, str]:
    """Our key's record with other tags before p=."""
    return {KEY_NAME: "; ".join((*tags, signer().record.rpartition("; ")[2]))}


@pytest.mark.parametrize("algorithm", Algorithm)
@pytest.mark.parametrize("body", FORMS)
@pytest.mark.parametrize("header", FORMS)
def test_a_good_signature_passes(header, body, algorithm):
    by = signer(algorithm)

    found = one(signed(MESSAGE, by, c=f"{header}/{body}"), by.zone)

    assert found.passed
    assert (found.domain, found.selector, found.identity) == (DOMAIN, "s", f"@{DOMAIN}")
    assert (found.algorithm, found.reason, len(found.signature_start)) == (algorithm, "", 8)


@pytest.mark.parametrize("c", [None, "relaxed", "simple", "relaxed/simple"])
def test_the_canonicalisation_that_is_left_out_is_simple(c):
    assert one(signed(MESSAGE, c=c)).passed
    assert one(signed(MESSAGE, c=c).replace(b"Hello  Ben", b"Hello Ben")).result is FAIL


def test_a_slash_promises_the_form_of_the_body():
    assert one(signed(MESSAGE, c="relaxed/")).reason == "c= is an unknown canonicalisation"


@pytest.mark.parametrize(
    ("old", "new", "form", "expected"),
    [
        (b"the body", b"The body", "relaxed", FAIL),
        (b"Hello  Ben,\t", b"Hello Ben,", "relaxed", PASS),
        (b"Hello  Ben,\t", b"Hello Ben,", "simple", FAIL),
        (b"\r\n\r\n\r\n", b"\r\n", "simple", PASS),
        (b"Subject:  An  example \t of\r\n  folding ", b"SUBJECT: An example of folding", "relaxed", PASS),
        (b"Subject:  An  example \t of\r\n  folding ", b"SUBJECT: An example of folding", "simple", FAIL),
        (b"From: Ada", b"From: Eve", "relaxed", FAIL),
        (b"Received: from a", b"Received: from b", "relaxed", PASS),
    ],
)  # fmt: skip
def test_what_a_form_forgives(old, new, form, expected):
    changed = signed(MESSAGE, c=f"{form}/{form}").replace(old, new)

    assert one(changed).result is expected


def test_a_field_that_comes_twice_is_taken_from_the_bottom():
    two = MESSAGE.replace(b"To:", b"Subject: lower\r\nTo:", 1)

    lower = signed(two, h="from:subject")

    assert one(lower).passed
    upper_gone = lower.replace(b"Subject:  An  example \t of\r\n  folding \r\n", b"")
    assert not one(upper_gone).passed  # it was the one that is signed: it stands below
    assert one(lower.replace(b"Subject: lower\r\n", b"")).passed


def test_naming_a_field_once_more_than_it_comes_keeps_others_out():
    octets = signed(MESSAGE, h="from:from:subject:subject")

    assert one(octets).passed
    added = octets.replace(b"Received:", b"Subject: of Mallory\r\nReceived:")
    assert one(added).result is FAIL


@pytest.mark.parametrize("where", [b"Received:", b"To:"])
def test_a_second_author_makes_a_signature_worthless(where):
    added = signed(MESSAGE).replace(where, b"From: Mallory <m@evil.test>\r\n" + where, 1)

    found = one(added)

    assert found.result is FAIL


def test_a_signature_may_cover_other_signatures_but_not_itself():
    first = signed(MESSAGE)
    second = signed(first, h="from:dkim-signature")

    found = verdicts(second, signer().zone).dkim

    assert [each.result for each in found] == [PASS, PASS]
    closed = signed(first, h="from:dkim-signature:dkim-signature")  # one more than there are
    assert verdicts(closed, signer().zone).dkim[0].passed
    assert not verdicts(signed(closed), signer().zone).dkim[1].passed
    without = second[: second.index(b"\r\n") + 2] + MESSAGE
    assert one(without).result is FAIL


BROKEN = {
    "no v": ({"v": None}, PERMERROR),
    "v is 2": ({"v": "2"}, PERMERROR),
    "v is 1.0": ({"v": "1.0"}, PERMERROR),
    "no a": ({"a": None}, PERMERROR),
    "unknown a": ({"a": "rsa-sha512"}, NEUTRAL),
    "sha1": ({"a": "rsa-sha1"}, POLICY),
    "no d": ({"d": None}, PERMERROR),
    "empty d": ({"d": ""}, PERMERROR),
    "d with one label": ({"d": "test"}, PERMERROR),
    "d ends in a dot": ({"d": "author.test."}, PERMERROR),
    "d with a bracket": ({"d": "author.test(.evil.test"}, PERMERROR),
    "d with a space": ({"d": "author. test"}, PERMERROR),
    "no s": ({"s": None}, PERMERROR),
    "empty s": ({"s": ""}, PERMERROR),
    "no h": ({"h": None}, PERMERROR),
    "no From in h": ({"h": "to:subject"}, PERMERROR),
    "an empty name in h": ({"h": "from::to"}, PERMERROR),
    "1001 names in h": ({"h": "from" + ":to" * 1000}, PERMERROR),
    "no bh": ({"bh": None}, PERMERROR),
    "bh is no base64": ({"bh": "!!!"}, PERMERROR),
    "bh is of another size": ({"bh": base64.b64encode(bytes(20)).decode()}, PERMERROR),
    "bh of another body": ({"bh": base64.b64encode(bytes(32)).decode()}, FAIL),
    "b is no base64": ({"b_": "****"}, PERMERROR),
    "b is empty": ({"b_": " "}, PERMERROR),
    "b is another signature": ({"b_": base64.b64encode(bytes(256)).decode()}, FAIL),
    "b is short": ({"b_": "AAAA"}, FAIL),
    "unknown c": ({"c": "nowsp/simple"}, PERMERROR),
    "c with three parts": ({"c": "relaxed/relaxed/relaxed"}, PERMERROR),
    "q is DNS": ({"q": "dns/txt"}, PASS),
    "q has DNS": ({"q": "x/y:dns/txt"}, PASS),
    "unknown q": ({"q": "ldap"}, PERMERROR),
    "i is d": ({"i": "ada@author.test"}, PASS),
    "i is below d": ({"i": "@mail.author.test"}, PASS),
    "i is quoted": ({"i": "a=3Bda@author.test"}, PASS),
    "i is elsewhere": ({"i": "@evil.test"}, PERMERROR),
    "i only ends alike": ({"i": "@notauthor.test"}, PERMERROR),
    "i is above d": ({"i": "@test"}, PERMERROR),
    "i without a sign": ({"i": "author.test"}, PERMERROR),
    "t is no number": ({"t": "yesterday"}, PERMERROR),
    "t is negative": ({"t": "-1"}, PERMERROR),
    "no t": ({"t": None}, PASS),
    "t within the hour": ({"t": str(NOW + 3500)}, PASS),
    "t in the future": ({"t": str(NOW + 3700)}, FAIL),
    "x to come": ({"x": str(NOW + 1)}, PASS),
    "x past": ({"x": str(NOW - 1)}, FAIL),
    "x before t": ({"t": str(NOW - 9), "x": str(NOW - 10)}, PERMERROR),
    "x is t": ({"t": str(NOW - 9), "x": str(NOW - 9)}, PERMERROR),
    "x is no number": ({"x": "1e9"}, PERMERROR),
    "x beyond all time": ({"x": "9" * 19}, PASS),
    "unknown tags": ({"zz": "top", "r": "y"}, PASS),
    "z with copied fields": ({"z": "From:ada@author.test|To:ben"}, PASS),
    "l is no number": ({"l": "-1"}, PERMERROR),
    "l beyond the body": ({"l": "100000"}, PERMERROR),
}


@pytest.mark.parametrize(("changes", "expected"), BROKEN.values(), ids=BROKEN)
def test_the_verdict_on_each_tag(changes, expected):
    found = one(signed(MESSAGE, **changes))

    assert found.result is expected, found
    assert bool(found.reason) is (expected is not PASS)


def test_a_tag_that_comes_twice_breaks_all():
    octets = signed(MESSAGE).replace(b"v=1; ", b"v=1; s=s; ", 1)

    found = one(octets)

    assert (found.result, found.domain) == (PERMERROR, "")
    assert "twice" in found.reason


def test_the_reason_of_an_old_signature_is_that_it_expired():
    octets = signed(MESSAGE, t=str(NOW - 99), x=str(NOW + 10))

    assert one(octets, now=NOW + 10).passed
    assert one(octets, now=NOW + 11).reason == "expired"


class TestLengthTag:
    """l= says that a part of the body is signed, so that lists may add to it, and forgers too."""

    @pytest.mark.parametrize("form", FORMS)
    def test_passes_where_it_covers_the_whole_body(self, form):
        size = {"simple": 30, "relaxed": 26}[form]

        assert one(signed(MESSAGE, c=f"relaxed/{form}", l=str(size))).passed
        assert one(signed(MESSAGE, c=f"relaxed/{form}", l=str(size)) + b"\r\n\r\n").passed

    @pytest.mark.parametrize("form", FORMS)
    @pytest.mark.parametrize("size", [0, 1, 10, 25])
    def test_is_never_a_pass_where_the_body_goes_on(self, form, size):
        found = one(signed(MESSAGE, c=f"relaxed/{form}", l=str(size)))

        assert found.result is NEUTRAL
        assert "l=" in found.reason

    def test_is_never_a_pass_where_text_was_added(self):
        added = signed(MESSAGE, c="relaxed/relaxed", l="26") + b"Pay Mallory.\r\n"

        assert one(added).result is NEUTRAL

    def test_fails_where_the_signed_part_was_changed(self):
        changed = signed(MESSAGE, l="10").replace(b"Hello", b"Hallo")

        assert one(changed).result is FAIL

    @pytest.mark.parametrize("piece", [1, 2, 3, 7])
    def test_is_the_same_for_any_pieces(self, piece):
        found = [
            verdicts(signed(MESSAGE, l=str(size)), signer().zone, piece=piece).dkim[0].result
            for size in (0, 12, 13, 14, 26, 27)
        ]

        assert found == [NEUTRAL, NEUTRAL, NEUTRAL, NEUTRAL, PASS, PERMERROR]

    def test_several_limits_share_one_hash(self):
        octets = MESSAGE
        for size in (26, 5, 0, 12):
            octets = signed(octets, l=str(size))

        found = [each.result for each in verdicts(signed(octets), signer().zone).dkim]

        assert found == [PASS, NEUTRAL, NEUTRAL, NEUTRAL, PASS]


KEYS = {
    "as it is": (signer().record, PASS),
    "no version": (record()[KEY_NAME], PASS),
    "several spaces": (signer().record.replace("; ", " ;\t "), PASS),
    "version not first": (signer().record.partition("; ")[2] + "; v=DKIM1", PERMERROR),
    "another version": (record("v=DKIM2")[KEY_NAME], PERMERROR),
    "of another kind": (record("k=ed25519")[KEY_NAME], PERMERROR),
    "of an unknown kind": (record("k=dsa")[KEY_NAME], PERMERROR),
    "for SHA-256": (record("h=sha1:sha256")[KEY_NAME], PASS),
    "for SHA-1 alone": (record("h=sha1")[KEY_NAME], PERMERROR),
    "for email": (record("s=email")[KEY_NAME], PASS),
    "for all": (record("s=tlsrpt:*")[KEY_NAME], PASS),
    "for reports alone": (record("s=tlsrpt")[KEY_NAME], PERMERROR),
    "with notes": (record("n=Ada's; g=*")[KEY_NAME], PASS),
    "revoked": ("v=DKIM1; p=", PERMERROR),
    "without p": ("v=DKIM1; k=rsa", PERMERROR),
    "bad base64": ("v=DKIM1; p=MIIB***", PERMERROR),
    "no key in it": ("v=DKIM1; p=AAAA", PERMERROR),
    "cut": (signer().record[:-40], PERMERROR),
    "no tags": ("hello", PERMERROR),
    "empty": ("", PERMERROR),
    "no ASCII": (b"v=DKIM1; n=\xff\xfe; " + record()[KEY_NAME].encode(), PASS),
    "too large": ("v=DKIM1; n=" + "x" * 5000 + "; " + record()[KEY_NAME], PERMERROR),
    "another key": (signer(Algorithm.ED25519_SHA256).record, PERMERROR),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), KEYS.values(), ids=KEYS)
def test_the_verdict_of_each_key_record(text, expected):
    found = one(signed(MESSAGE), {KEY_NAME: text})

    assert found.result is expected, found


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Outcome.NO_NAME, PERMERROR),
        (Outcome.NO_DATA, PERMERROR),
        (Outcome.FAILURE, TEMPERROR),
    ],
)
def test_the_verdict_without_a_key(outcome, expected):
    assert one(signed(MESSAGE), {KEY_NAME: outcome}).result is expected


def test_a_key_being_tried_out_is_told():
    found = one(signed(MESSAGE), record("v=DKIM1", "t=y"))

    assert (found.result, found.is_testing) == (PASS, True)
    assert not one(signed(MESSAGE)).is_testing


def test_a_strict_key_allows_no_subdomain():
    strict = record("t=y:s")

    assert one(signed(MESSAGE), strict).passed
    assert one(signed(MESSAGE, i=f"ada@{DOMAIN}"), strict).passed
    assert one(signed(MESSAGE, i=f"@mail.{DOMAIN}"), strict).result is PERMERROR


def test_one_good_key_of_several_is_enough():
    other = signer(Algorithm.ED25519_SHA256).record.encode()
    good = signer().record.encode()

    assert one(signed(MESSAGE), {KEY_NAME: [b"v=spf1 -all", other, good]}).passed
    assert one(signed(MESSAGE), {KEY_NAME: [other, b"v=DKIM1; p="]}).result is PERMERROR
    assert not one(signed(MESSAGE), {KEY_NAME: [b"x"] * 4 + [good]}).passed


@pytest.mark.parametrize("bits", SHORT)
def test_a_short_rsa_key_never_passes_though_dkimpy_made_a_valid_signature(bits):
    private, public = SHORT[bits]
    task = {"do": "sign", "message": MESSAGE.decode("latin-1"), "pem": private}
    (field,) = ask_dkimpy(task | {"canonicalize": ["relaxed", "relaxed"]})

    found = one(field.encode("latin-1") + MESSAGE, {KEY_NAME: public}, now=2_000_000_000)

    assert found.result is POLICY
    assert str(bits) in found.reason


def test_sha1_never_passes_though_dkimpy_made_a_valid_signature():
    octets = (MESSAGE + b"more\r\n").decode("latin-1")
    private, _ = SHORT[768]
    task = {"do": "sign", "message": octets, "pem": private, "algorithm": "rsa-sha1"}
    (field,) = ask_dkimpy(task | {"canonicalize": ["simple", "simple"]})

    found = one(field.encode("latin-1") + octets.encode("latin-1"), now=2_000_000_000)

    assert found.result is POLICY


def test_names_beyond_ascii_are_a_labels_in_the_verdict_and_in_dns():
    by = signer(domain="xn--bcher-kva.test", selector="xn--s-dha")

    found = one(signed(MESSAGE, by, d="bücher.test", s="üs"), by.zone)

    assert found.domain == "xn--bcher-kva.test"
    assert found.selector == "xn--s-dha"
    assert found.passed


def test_case_does_not_matter_in_names():
    found = one(signed(MESSAGE, d="AUTHOR.Test", s="S", h="FROM:To", i="@Mail.Author.TEST"))

    assert found.passed
    assert (found.domain, found.identity) == (DOMAIN, f"@mail.{DOMAIN}")


def test_folding_within_b_is_not_signed_even_in_simple_form():
    octets = signed(MESSAGE, c="simple/simple")
    start, end = octets.index(b"b=", octets.index(b"; b=")) + 2, octets.index(b"\r\n")
    value = octets[start:end]
    folded = b"\r\n\t".join(value[at : at + 20] for at in range(0, len(value), 20))

    assert one(octets[:start] + b" " + folded + octets[end:]).passed
    assert one(octets[:start] + value + octets[end:]).passed


def test_an_empty_body_and_a_message_without_one_are_signed_alike():
    head = MESSAGE.partition(b"\r\n\r\n")[0] + b"\r\n"

    for c in ("simple/simple", "relaxed/relaxed"):
        assert one(signed(head + b"\r\n", c=c)).passed
        assert one(signed(head, c=c, bh=digest_of(b"", c.partition("/")[0]))).passed


def test_what_a_signature_says_of_itself_is_printable_and_short():
    octets = signed(MESSAGE, a="x\x7fé" * 50, i="\x01evil@author.test")

    found = one(octets)

    assert found.algorithm.isascii()
    assert found.algorithm.isprintable()
    assert len(found.algorithm) <= 32
