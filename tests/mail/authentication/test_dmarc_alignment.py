"""Who is aligned with whom: RFC 9989, 4.4, 4.10.2, 5.3, 11.5 and 11.8."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mail.authentication.dmarc import MAX_AUTHOR_DOMAINS, Author, read_author
from mail.authentication.values import DkimResult, DmarcPolicy, DmarcResult, SpfResult
from mail.message import header_fields
from tests.mail.authentication.dmarc_zone import Zone, dkim, judge, spf

NONE, QUARANTINE, REJECT = DmarcPolicy
ORG = {"example.com": "v=DMARC1; p=reject"}
STRICT = {"example.com": "v=DMARC1; p=reject; adkim=s; aspf=s"}


@pytest.mark.parametrize(
    ("records", "author", "identifier", "aligned"),
    [
        pytest.param(ORG, "news.example.com", "news.example.com", True, id="4.4-identical"),
        pytest.param(ORG, "news.example.com", "foo.example.com", True, id="4.4-same-organization"),
        pytest.param(ORG, "news.example.com", "foo.example.net", False, id="4.4-none"),
        pytest.param(ORG, "example.com", "mail.example.com", True, id="4.4-below-the-author"),
        pytest.param(ORG, "mail.example.com", "example.com", True, id="4.4-above-the-author"),
        pytest.param(ORG, "example.com", "EXAMPLE.com.", True, id="4.4-case-and-root"),
        pytest.param(ORG, "example.com", "notexample.com", False, id="4.4-labels-not-letters"),
        pytest.param(ORG, "example.com", "example.com.evil.net", False, id="4.4-prefix"),
        pytest.param(ORG, "example.com", "com", False, id="4.4-the-suffix-itself"),
        pytest.param(STRICT, "example.com", "example.com", True, id="4.7-strict-identical"),
        pytest.param(STRICT, "example.com", "mail.example.com", False, id="4.7-strict-below"),
        pytest.param({**ORG, "b.example.com": "v=DMARC1; p=reject; psd=n"},
                     "example.com", "a.b.example.com", False, id="4.10.2-psd-n-is-another-organization"),
        pytest.param({**ORG, "b.example.com": "v=DMARC1; p=reject; psd=n"},
                     "x.b.example.com", "a.b.example.com", True, id="4.10.2-psd-n-one-organization"),
        pytest.param({**ORG, "b.example.com": "v=DMARC1; p=reject; psd=n"},
                     "x.b.example.com", "example.com", False, id="4.10.2-psd-n-and-its-parent"),
        pytest.param({"uk.example": "v=DMARC1; p=reject; psd=y", "a.uk.example": "v=DMARC1; p=reject"},
                     "a.uk.example", "b.uk.example", False, id="4.10.2-psd-y-parts-neighbours"),
        pytest.param({"uk.example": "v=DMARC1; p=reject; psd=y"},
                     "x.a.uk.example", "y.a.uk.example", True, id="4.10.2-psd-y-one-label-below"),
        pytest.param({"uk.example": "v=DMARC1; p=reject; psd=y"},
                     "uk.example", "a.uk.example", False, id="4.10.2-a-suffix-is-not-what-is-below"),
        pytest.param({"uk.example": "v=DMARC1; p=reject; psd=y"},
                     "uk.example", "uk.example", True, id="4.10.2-a-suffix-that-writes-itself"),
        pytest.param({"mail.example.com": "v=DMARC1; p=reject", "example.com": "v=DMARC1; p=reject"},
                     "a.mail.example.com", "b.example.com", True, id="4.10.2-fewest-labels"),
        pytest.param({"a.example.com": "v=DMARC1; p=reject"},
                     "a.example.com", "b.example.com", False, id="4.10.2-no-record-above"),
        pytest.param({"a.example.com": "v=DMARC1; p=reject"},
                     "a.example.com", "x.a.example.com", True, id="4.10.2-its-own-organization"),
    ],
)  # fmt: skip
def test_alignment(records, author, identifier, aligned):
    by_dkim = judge(records, author, identifier)
    by_spf = judge(records, author, path=identifier)

    assert (by_dkim.result is DmarcResult.PASS) is aligned
    assert (by_spf.result is DmarcResult.PASS) is aligned
    assert (by_dkim.aligned_by, by_spf.aligned_by) == ((("dkim",), ("spf",)) if aligned else ((), ()))  # fmt: skip


def test_4_7_the_two_modes_are_apart():
    strict_dkim = {"example.com": "v=DMARC1; p=reject; adkim=s"}
    strict_spf = {"example.com": "v=DMARC1; p=reject; aspf=s"}

    assert judge(strict_dkim, "example.com", "a.example.com", path="a.example.com").aligned_by == ("spf",)  # fmt: skip
    assert judge(strict_spf, "example.com", "a.example.com", path="a.example.com").aligned_by == ("dkim",)  # fmt: skip


def test_4_4_1_one_of_many_signatures_is_enough():
    verdict = judge(ORG, "example.com", "list.test", "esp.test", "mail.example.com")

    assert (verdict.result, verdict.aligned_by) == (DmarcResult.PASS, ("dkim",))


@pytest.mark.parametrize("result", [one for one in DkimResult if one.value not in ("pass", "temperror")])  # fmt: skip
def test_4_4_1_only_a_valid_signature_counts(result):
    assert judge(ORG, "example.com", dkim("example.com", result)).result is DmarcResult.FAIL


def test_a_key_in_test_mode_never_counts():
    signature = dkim("example.com", is_testing=True)

    assert judge(ORG, "example.com", signature).result is DmarcResult.FAIL


@pytest.mark.parametrize("result", [one for one in SpfResult if one.value not in ("pass", "temperror")])  # fmt: skip
def test_4_4_2_only_a_pass_of_spf_counts(result):
    assert judge(ORG, "example.com", path=spf("example.com", result)).result is DmarcResult.FAIL


def test_4_4_2_helo_alone_authenticates_nothing():
    path = spf("bounce.test", SpfResult.FAIL, helo="mail.example.com")

    assert judge(ORG, "example.com", path=path).result is DmarcResult.FAIL


def test_4_4_2_the_null_reverse_path_is_that_of_helo():
    path = spf("mail.example.com", helo="mail.example.com")  # as the SPF verdict has it (2.4)

    assert judge(ORG, "example.com", path=path).aligned_by == ("spf",)


def test_5_3_5_both_are_told():
    verdict = judge(ORG, "example.com", "a.example.com", path="b.example.com")

    assert verdict.aligned_by == ("dkim", "spf")
    assert verdict.organizational_domain == "example.com"
    assert "aligned" in verdict.reason


def test_5_3_5_a_failure_says_what_passed_elsewhere():
    verdict = judge(ORG, "example.com", "list.test", path="bounce.test")

    assert verdict.result is DmarcResult.FAIL
    assert "spf of bounce.test" in verdict.reason
    assert "dkim of list.test" in verdict.reason


def test_5_4_p_none_still_has_a_verdict():
    verdict = judge({"example.com": "v=DMARC1; p=none"}, "example.com", "evil.test")

    assert (verdict.result, verdict.policy) == (DmarcResult.FAIL, NONE)


def test_4_7_a_policy_on_trial_is_told():
    verdict = judge({"example.com": "v=DMARC1; p=reject; t=y"}, "example.com")

    assert (verdict.policy, verdict.is_testing) == (QUARANTINE, True)


def test_11_8_a_record_with_psd_n_keeps_the_neighbour_out():
    suffix_without_its_tag = {"example": "v=DMARC1; p=none", "a.example": "v=DMARC1; p=reject"}
    guarded = {**suffix_without_its_tag, "a.example": "v=DMARC1; p=reject; psd=n"}

    assert judge(suffix_without_its_tag, "a.example", "evil.example").result is DmarcResult.PASS
    assert judge(guarded, "a.example", "evil.example").result is DmarcResult.FAIL


def author_of(*values: str) -> Author:
    block = "".join(f"{value}\r\n" for value in values).encode()
    return read_author(header_fields(block))


@pytest.mark.parametrize(
    ("fields", "count", "domains"),
    [
        pytest.param(["From: Ada <ada@Example.ORG>"], 1, ("example.org",), id="5.3.1-one"),
        pytest.param(["From: a@b.test, c@d.test"], 1, ("b.test", "d.test"), id="5.3.1-two"),
        pytest.param(["From: a@b.test, c@b.test"], 1, ("b.test",), id="5.3.1-two-of-one-domain"),
        pytest.param(["From: a@büro.example"], 1, ("xn--bro-hoa.example",), id="5.3.1-u-label"),
        pytest.param(["From: Staff: a@b.test, c@d.test;"], 1, ("b.test", "d.test"), id="5.3.1-group"),
        pytest.param(["From: Nobody:;"], 1, (), id="5.3.1-empty-group"),
        pytest.param(["From:"], 1, (), id="5.3.1-empty"),
        pytest.param(["From: Ada"], 1, (), id="5.3.1-a-name-alone"),
        pytest.param(["To: a@b.test"], 0, (), id="5.3.1-no-from"),
        pytest.param(["From: a@b.test", "From: a@b.test"], 2, ("b.test",), id="11.5-two-fields"),
        pytest.param(["From: a@b.test", "From : c@d.test"], 2, ("b.test", "d.test"), id="11.5-spoiled"),
        pytest.param(["From: a@b.test", "Fr\x00om: c@d.test"], 2, ("b.test", "d.test"), id="11.5-invisible"),
        pytest.param(["From: a@b.test", "Sender: c@d.test"], 1, ("b.test",), id="5.3.1-sender-is-no-author"),
        pytest.param(["From: \"ceo@bank.test\" <a@b.test>"], 1, ("b.test",), id="11.4-display-name"),
    ],
)  # fmt: skip
def test_the_author_is_read(fields, count, domains):
    author = author_of(*fields)

    assert (author.from_count, author.domains) == (count, domains)


@pytest.mark.parametrize(
    "author",
    [
        pytest.param(Author(0, ()), id="5.3.1-no-from"),
        pytest.param(Author(1, ()), id="5.3.1-no-domain"),
        pytest.param(Author(2, ("example.com",)), id="11.5-two-fields-alike"),
        pytest.param(Author(2, ("example.com", "evil.test")), id="11.5-two-fields"),
        pytest.param(Author(1, ("[192.0.2.1]",)), id="5.3.1-address-literal"),
        pytest.param(Author(1, ("example.com", "a b")), id="5.3.1-one-that-is-no-name"),
        pytest.param(Author(1, ("a" * 64 + ".test",)), id="5.3.1-a-label-too-long"),
        pytest.param(Author(1, (), too_many=True), id="11.5-more-than-are-read"),
        pytest.param(Author(1, tuple(f"{n}.test" for n in range(MAX_AUTHOR_DOMAINS + 1))), id="11.5-five"),
    ],
)  # fmt: skip
def test_what_has_no_one_author_cannot_be_judged(author):
    zone = Zone(ORG)

    verdict = judge(zone, author, "example.com", path="example.com")

    assert verdict.result is DmarcResult.PERMERROR
    assert verdict.reason
    assert zone.asked == []


@pytest.mark.parametrize(
    ("policies", "signed", "result", "of", "policy"),
    [
        pytest.param(("none", "reject"), [], "fail", "b.test", REJECT, id="11.5-strictest-of-two-failures"),
        pytest.param(("quarantine", "none"), [], "fail", "a.test", QUARANTINE, id="11.5-the-first-may-be-it"),
        pytest.param(("reject", "none"), ["a.test"], "fail", "b.test", NONE, id="11.5-only-failures-count"),
        pytest.param(("none", "reject"), ["a.test"], "fail", "b.test", REJECT, id="11.5-a-signed-companion"),
        pytest.param(("reject", "reject"), ["a.test", "b.test"], "pass", "a.test", REJECT, id="11.5-all-pass"),
        pytest.param(("reject", None), ["a.test"], "none", "b.test", NONE, id="11.5-one-without-record"),
        pytest.param((None, "reject"), [], "fail", "b.test", REJECT, id="11.5-a-failure-beats-none"),
    ],
)  # fmt: skip
def test_of_several_author_domains_the_worst_verdict_counts(policies, signed, result, of, policy):
    records = {
        name: f"v=DMARC1; p={asked}"
        for name, asked in zip(("a.test", "b.test"), policies, strict=True)
        if asked
    }

    verdict = judge(records, Author(1, ("a.test", "b.test")), *signed)

    assert (verdict.result.value, verdict.author_domain, verdict.policy) == (result, of, policy)


NAMES = st.lists(st.sampled_from(["a", "b", "mail", "example", "com"]), min_size=1, max_size=11).map(".".join)  # fmt: skip
RECORDS = st.sampled_from(
    [f"v=DMARC1; {p}{psd}" for p in ("p=reject", "p=none; sp=reject", "") for psd in ("", "; psd=y", "; psd=n")]
)  # fmt: skip


@given(st.dictionaries(NAMES, RECORDS, max_size=8), NAMES, NAMES, st.booleans())
def test_relaxed_alignment_is_the_same_both_ways(records, one, other, strict):
    """Both have one organization or they have not, whichever is the author."""
    if strict:
        records = {name: f"{text}; adkim=s" for name, text in records.items()}
    zone, turned = Zone(records), Zone(records)

    there, back = judge(zone, one, other), judge(turned, other, one)

    if DmarcResult.NONE not in (there.result, back.result):
        assert there.result is back.result
    assert len(zone.asked) <= 16
    assert not strict or there.result is not DmarcResult.PASS or one == other
