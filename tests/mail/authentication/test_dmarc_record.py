"""The DMARC record, case by case from RFC 9989, 4.5, 4.7 and 4.8."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mail.authentication.dmarc_record import DmarcRecord, SuffixFlag, read_record
from mail.authentication.values import DmarcPolicy
from tests.timing import within_cpu

NONE, QUARANTINE, REJECT = DmarcPolicy


def read(text: str) -> DmarcRecord:
    record = read_record(text.encode("latin-1"))
    assert record is not None, text
    return record


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("v=DMARC1; p=reject", id="4.7-v-first"),
        pytest.param("v=DMARC1;p=reject;", id="4.8-last-separator-is-optional"),
        pytest.param("v = DMARC1 ; p = reject", id="4.8-white-space-around-equals-and-separator"),
        pytest.param("v=DMARC1;\tp=reject", id="4.8-tab-is-white-space"),
        pytest.param("V=DMARC1; P=REJECT", id="4.8-names-and-words-in-any-case"),
        pytest.param(" v=DMARC1; p=reject", id="4.7-white-space-first-as-in-dkim"),
    ],
)
def test_what_is_a_record(text):
    assert read(text).policy is REJECT


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="4.7-empty"),
        pytest.param("p=reject; v=DMARC1", id="4.7-v-not-first"),
        pytest.param("p=reject", id="4.7-v-absent"),
        pytest.param("v=dmarc1; p=reject", id="4.7-the-version-has-its-case"),
        pytest.param("v=DMARC2; p=reject", id="4.7-another-version"),
        pytest.param("v=DMARC10; p=reject", id="4.7-a-longer-version"),
        pytest.param("v=DMARC1 p=reject", id="4.8-no-separator"),
        pytest.param("v=spf1 -all", id="4.10-step-2-a-record-of-another-kind"),
        pytest.param(";v=DMARC1; p=reject", id="4.7-an-empty-tag-first"),
        pytest.param("v=DMARC1\r\n; p=reject", id="4.8-a-line-end-is-no-white-space"),
    ],
)
def test_what_is_none(text):
    assert read_record(text.encode()) is None


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        pytest.param("p=none", NONE, id="4.7-p-none"),
        pytest.param("p=quarantine", QUARANTINE, id="4.7-p-quarantine"),
        pytest.param("p=reject", REJECT, id="4.7-p-reject"),
        pytest.param("p=Reject", REJECT, id="4.8-p-in-any-case"),
        pytest.param("p=reject; pct=0", REJECT, id="9.3-pct-is-historic"),
        pytest.param("p=reject; pct=1; rf=afrf; ri=60", REJECT, id="9.3-rf-and-ri-are-historic"),
        pytest.param("p=reject; zz=1; x y z; =; ;;", REJECT, id="4.7-unknown-tags-are-ignored"),
        pytest.param("p=reject; p=none", REJECT, id="4.8-a-tag-that-comes-twice"),
        pytest.param("sp=none; p=reject", REJECT, id="4.8-any-order-after-v"),
        pytest.param("p=reject; t=y", QUARANTINE, id="4.7-t-lowers-reject"),
        pytest.param("p=quarantine; t=y", NONE, id="4.7-t-lowers-quarantine"),
        pytest.param("p=none; t=y", NONE, id="4.7-t-has-no-effect-on-none"),
        pytest.param("p=reject; t=n", REJECT, id="4.7-t-n"),
        pytest.param("p=reject; t=x", REJECT, id="4.8-t-wrong-is-its-default"),
        pytest.param("p=reject; sp=none; np=none", REJECT, id="4.7-sp-and-np-are-not-for-itself"),
    ],
)
def test_the_policy_for_the_domain_itself(tags, expected):
    assert read(f"v=DMARC1; {tags}").policy_for(is_subdomain=False) is expected


@pytest.mark.parametrize(
    ("tags", "existing", "missing"),
    [
        pytest.param("p=reject", REJECT, REJECT, id="4.7-p-for-all-below"),
        pytest.param("p=reject; sp=none", NONE, NONE, id="4.7-np-absent-sp-counts"),
        pytest.param("p=none; np=reject", NONE, REJECT, id="4.7-np-for-what-does-not-exist"),
        pytest.param("p=none; sp=quarantine; np=reject", QUARANTINE, REJECT, id="4.7-all-three"),
        pytest.param("p=none; sp=quarantine; np=reject; t=y", NONE, QUARANTINE, id="4.7-t-for-all"),
        pytest.param("p=reject; np=none", REJECT, NONE, id="4.7-np-may-be-milder"),
    ],
)
def test_the_policy_for_subdomains(tags, existing, missing):
    record = read(f"v=DMARC1; {tags}")

    assert record.policy_for(is_subdomain=True, exists=True) is existing
    assert record.policy_for(is_subdomain=True, exists=False) is missing


@pytest.mark.parametrize(
    ("tags", "applies"),
    [
        pytest.param("rua=mailto:d@example.org", True, id="4.10.1-p-absent-with-rua"),
        pytest.param("p=foo; rua=mailto:d@example.org", True, id="4.10.1-p-wrong-with-rua"),
        pytest.param("p=reject; sp=foo; rua=mailto:d@example.org", True, id="4.10.1-sp-wrong"),
        pytest.param("p=reject; np=foo; rua=mailto:d@example.org", True, id="4.10.1-np-wrong"),
        pytest.param("p=foo; rua=,x:y@z", True, id="4.10.1-one-uri-of-two-is-valid"),
        pytest.param("p=foo; rua=mailto:d@example.org!10m", True, id="4.8-obsolete-size"),
        pytest.param("", False, id="4.10.1-p-absent-without-rua"),
        pytest.param("p=", False, id="4.10.1-p-empty"),
        pytest.param("p=reject now", False, id="4.10.1-p-with-more-words"),
        pytest.param("p=foo; rua=nonsense", False, id="4.10.1-no-uri-is-valid"),
        pytest.param("p=foo; rua=mailto:", False, id="4.10.1-a-scheme-is-no-uri"),
        pytest.param("p=reject; sp=foo", False, id="4.10.1-sp-wrong-without-rua"),
        pytest.param("p=reject; np=", False, id="4.10.1-np-empty-without-rua"),
    ],
)
def test_a_broken_policy_is_none_for_who_wants_reports(tags, applies):
    record = read(f"v=DMARC1; {tags}")

    assert record.applies is applies
    for is_subdomain in (False, True):
        assert record.policy_for(is_subdomain=is_subdomain, exists=False) is NONE


@pytest.mark.parametrize(
    ("tags", "strict_dkim", "strict_spf"),
    [
        pytest.param("p=none", False, False, id="4.7-relaxed-is-the-default"),
        pytest.param("p=none; adkim=s", True, False, id="4.7-adkim"),
        pytest.param("p=none; aspf=s", False, True, id="4.7-aspf"),
        pytest.param("p=none; adkim=r; aspf=S", False, True, id="4.8-in-any-case"),
        pytest.param("p=none; adkim=strict; aspf=", False, False, id="4.8-wrong-is-the-default"),
    ],
)
def test_alignment_modes(tags, strict_dkim, strict_spf):
    record = read(f"v=DMARC1; {tags}")

    assert (record.strict_dkim, record.strict_spf) == (strict_dkim, strict_spf)


@pytest.mark.parametrize(
    ("tags", "flag"),
    [
        pytest.param("p=none", SuffixFlag.UNSAID, id="4.7-psd-absent"),
        pytest.param("psd=u", SuffixFlag.UNSAID, id="4.7-psd-u"),
        pytest.param("psd=y", SuffixFlag.PUBLIC_SUFFIX, id="4.7-psd-y"),
        pytest.param("psd=N", SuffixFlag.ORGANIZATIONAL, id="4.7-psd-n"),
        pytest.param("psd=yes", SuffixFlag.UNSAID, id="4.8-psd-wrong-is-the-default"),
    ],
)
def test_public_suffix_flag(tags, flag):
    assert read(f"v=DMARC1; {tags}").suffix is flag


TAGS = st.sampled_from(
    ["p", "sp", "np", "t", "psd", "adkim", "aspf", "rua", "v", "pct", "", " p ", "P", "\xff"]
)
VALUES = st.sampled_from(
    ["none", "quarantine", "reject", "REJECT", "y", "n", "s", "r", "mailto:a@b", "", "=", "\x00"]
) | st.text(st.characters(max_codepoint=255), max_size=8)


@given(st.lists(st.tuples(TAGS, VALUES), max_size=12))
def test_reading_never_raises_and_never_asks_for_more_than_is_written(tags):
    text = "v=DMARC1;" + ";".join(f"{name}={value}" for name, value in tags)

    record = read(text)

    for is_subdomain in (False, True):
        policy = record.policy_for(is_subdomain=is_subdomain, exists=False)
        assert policy is NONE or policy.value in text.lower() or record.is_testing


@given(st.binary(max_size=200))
def test_any_octets_are_read(octets):
    record = read_record(octets)

    assert record is None or octets.lower().lstrip(b" \t").startswith(b"v")


@pytest.mark.parametrize("piece", [b";", b"p=", b" ", b"=", b"rua=a:b,", b"p=none;", b"\xff"])
def test_a_megabyte_is_read_in_a_moment(piece):
    megabyte = piece * (1_000_000 // len(piece))

    within_cpu(lambda: (read_record(b"v=DMARC1;" + megabyte), read_record(megabyte)), seconds=1)
