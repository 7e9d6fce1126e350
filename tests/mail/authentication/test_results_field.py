"""Authentication-Results: what we found is said, and nothing that a stranger wants to have said."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mail.authentication.results_field import (
    MAX_OCTETS,
    MAX_SIGNATURES,
    MethodResult,
    Results,
    read_results,
    results_field,
    write_results,
)
from mail.authentication.values import (
    ArcResult,
    ArcVerdict,
    Authentication,
    ClientName,
    ClientNameResult,
    DkimResult,
    DkimSignature,
    DmarcPolicy,
    DmarcResult,
    DmarcVerdict,
    SpfCheck,
    SpfResult,
    SpfVerdict,
)
from mail.message import cut_authentication_results, header_fields
from tests.timing import within_cpu

ID = "mx.mxax.test"
ADA = Authentication(
    client_ip="192.0.2.1",
    helo="mail.example.org",
    reverse_path="ada@example.org",
    client_name=ClientName(ClientNameResult.PASS, "mail.example.org"),
    spf=SpfVerdict(
        SpfCheck(SpfResult.NONE, "mail.example.org"), SpfCheck(SpfResult.PASS, "example.org", "ip4")
    ),
    dkim=(
        DkimSignature(
            *(DkimResult.PASS, "example.org", "sel", "@example.org", "rsa-sha256", "ab/c+d12")
        ),
    ),
    arc=ArcVerdict(ArcResult.NONE),
    dmarc=DmarcVerdict(
        DmarcResult.PASS, "example.org", DmarcPolicy.REJECT, aligned_by=("dkim", "spf")
    ),
)


def changed(**values: object) -> Authentication:
    """Ada's message with these values instead of hers."""
    names = Authentication.__dataclass_fields__
    return Authentication(**{name: getattr(ADA, name) for name in names} | values)


def test_everything_found_is_said():
    field = results_field(ADA, authserv_id=ID, disposition=DmarcPolicy.NONE)

    assert field == (
        "Authentication-Results: mx.mxax.test;\r\n"
        "\tiprev=pass policy.iprev=192.0.2.1;\r\n"
        "\tspf=pass smtp.mailfrom=ada@example.org;\r\n"
        "\tdkim=pass header.d=example.org header.s=sel header.a=rsa-sha256\r\n"
        '\theader.b="ab/c+d12";\r\n'
        "\tarc=none smtp.remote-ip=192.0.2.1;\r\n"
        "\tdmarc=pass (p=reject dis=none) header.from=example.org policy.dmarc=reject\r\n"
    )


def test_a_failure_gives_its_reason_and_what_became_of_it():
    verdict = DmarcVerdict(
        DmarcResult.FAIL, "example.org", DmarcPolicy.QUARANTINE, reason="nothing passed"
    )

    value = write_results(changed(dmarc=verdict, dkim=()), authserv_id=ID)

    assert "dkim=none;" in value
    (dmarc,) = read_results(value).of("dmarc")
    assert (dmarc.result, dmarc.reason) == ("fail", "nothing passed")
    assert dmarc.value("policy.dmarc") == "quarantine"


def test_a_helo_that_was_checked_is_said_after_the_reverse_path():
    spf = SpfVerdict(SpfCheck(SpfResult.PASS, "mail.example.org"), ADA.spf.mail_from)

    found = read_results(write_results(changed(spf=spf), authserv_id=ID)).of("spf")

    assert [one.properties for one in found] == [
        (("smtp.mailfrom", "ada@example.org"),),
        (("smtp.helo", "mail.example.org"),),
    ]


def test_the_null_reverse_path_has_one_result_of_spf():
    helo = SpfCheck(SpfResult.PASS, "mail.example.org")
    value = write_results(changed(reverse_path="", spf=SpfVerdict(helo, helo)), authserv_id=ID)

    (spf,) = read_results(value).of("spf")

    assert spf == MethodResult("spf", "pass", "", (("smtp.helo", "mail.example.org"),))


def test_a_key_in_test_mode_is_shown_and_does_not_pass():
    signature = DkimSignature(DkimResult.PASS, "example.org", is_testing=True)

    (dkim,) = read_results(write_results(changed(dkim=(signature,)), authserv_id=ID)).of("dkim")

    assert (dkim.result, dkim.reason) == ("policy", "the key is being tested")


def test_another_identity_than_the_domain_is_said():
    signature = DkimSignature(DkimResult.PASS, "example.org", "s", "ben@x.example.org")

    value = write_results(changed(dkim=(signature,)), authserv_id=ID)

    assert "header.i=ben@x.example.org" in value


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("ada@example.org", "ada@example.org"),
        ("bounce+1@example.org", "bounce+1@example.org"),
        ("SRS0=ab=cd=other.test=x@example.org", "example.org"),
        ("dmarc=pass@evil.test", "evil.test"),
        ('"a; dmarc=pass"@evil.test', "evil.test"),
        ("büro@example.org", "example.org"),
    ],
)
def test_a_local_part_is_told_only_where_it_means_nothing(path, shown):
    (spf,) = read_results(write_results(changed(reverse_path=path), authserv_id=ID)).of("spf")

    assert spf.value("smtp.mailfrom") == shown


def test_utf8_only_where_the_next_hop_takes_it():
    utf8 = changed(reverse_path="büro@example.org")

    assert write_results(utf8, authserv_id=ID).isascii()
    assert "smtp.mailfrom=büro@example.org" in write_results(utf8, authserv_id=ID, utf8=True)


def test_an_ipv6_client_is_quoted():
    value = write_results(changed(client_ip="2001:db8::25"), authserv_id=ID)

    assert 'policy.iprev="2001:db8::25"' in value
    assert 'smtp.remote-ip="2001:db8::25"' in value


def test_a_client_that_is_not_told_is_not_there():
    results = read_results(write_results(changed(client_ip=""), authserv_id=ID))

    assert results.of("iprev") == ()
    assert results.of("arc") == (MethodResult("arc", "none"),)


def test_our_own_field_is_cut_when_it_comes_back():
    block = results_field(ADA, authserv_id=ID).encode() + b"From: ada@example.org\r\n\r\n"

    assert cut_authentication_results(block, ID) == [(0, block.index(b"From:"))]


def test_above_fifteen_signatures_the_passed_ones_are_kept():
    failed = [DkimSignature(DkimResult.FAIL, f"{n}.test", "s", reason="x") for n in range(30)]
    passed = DkimSignature(DkimResult.PASS, "example.org", "s")

    value = write_results(changed(dkim=(*failed, passed)), authserv_id=ID)

    found = read_results(value).of("dkim")
    assert len(found) <= MAX_SIGNATURES
    assert found[-1].value("header.d") == "example.org"
    assert len(value.encode()) <= MAX_OCTETS


EVIL = [
    "dmarc=pass", "; dmarc=pass header.from=bank.test", '"; dmarc=pass', "\r\nFrom: x", "\n dmarc=pass",
    "(", ")", "\\", '"', "a\x00b", "\u2028", "x;y", "=", "ü", "\ud800", "a" * 400, " ", "\t", "@", "",
    "mx.mxax.test; dkim=pass", "spf=pass", "[192.0.2.1]", "[IPv6:::1]", "xn--bro-hoa.example", "a/b", "%s",
]  # fmt: skip
HOSTILE = (
    st.sampled_from(EVIL) | st.text(max_size=30) | st.lists(st.sampled_from(EVIL)).map("".join)
)
SIGNATURES = st.builds(
    DkimSignature,
    st.sampled_from(DkimResult), HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, st.booleans(),
)  # fmt: skip
CHECKS = st.builds(SpfCheck, st.sampled_from(SpfResult), HOSTILE, HOSTILE, HOSTILE)
MESSAGES = st.builds(
    Authentication,
    client_ip=HOSTILE,
    helo=HOSTILE,
    reverse_path=HOSTILE,
    client_name=st.builds(ClientName, st.sampled_from(ClientNameResult), HOSTILE),
    spf=st.builds(SpfVerdict, CHECKS, CHECKS),
    dkim=st.lists(SIGNATURES, max_size=20).map(tuple),
    arc=st.builds(ArcVerdict, st.sampled_from(ArcResult), reason=HOSTILE),
    dmarc=st.builds(
        DmarcVerdict,
        st.sampled_from(DmarcResult), HOSTILE, st.sampled_from(DmarcPolicy), reason=HOSTILE,
    ),
)  # fmt: skip
PROPERTIES = {
    "iprev": {"policy.iprev"},
    "spf": {"smtp.mailfrom", "smtp.helo"},
    "dkim": {"header.d", "header.s", "header.a", "header.b", "header.i"},
    "arc": {"smtp.remote-ip"},
    "dmarc": {"header.from", "policy.dmarc"},
}


def expected(found: Authentication) -> dict[str, list[str]]:
    """The results that must be read back, those of DKIM in any number."""
    spf = [found.spf.mail_from.result.value]
    if found.reverse_path and found.spf.helo.result is not SpfResult.NONE:
        spf.append(found.spf.helo.result.value)
    return {
        "iprev": [found.client_name.result.value] if found.client_ip else [],
        "spf": spf,
        "arc": [found.arc.result.value],
        "dmarc": [found.dmarc.result.value],
    }


@given(MESSAGES, st.booleans(), st.sampled_from([None, *DmarcPolicy]))
def test_whatever_a_stranger_says_only_our_results_are_read(found, utf8, disposition):
    field = results_field(found, authserv_id=ID, utf8=utf8, disposition=disposition)

    value = field.removeprefix("Authentication-Results: ").removesuffix("\r\n")
    results = read_results(value)
    assert results.authserv_id == ID
    for method, outcome in expected(found).items():
        assert [one.result for one in results.of(method)] == outcome
    assert {one.method for one in results.methods} <= PROPERTIES.keys()
    for one in results.methods:
        assert {name for name, _ in one.properties} <= PROPERTIES[one.method]
    allowed = [
        "policy" if one.is_testing and one.passed else one.result.value for one in found.dkim
    ]
    shown = [one.result for one in results.of("dkim")]
    assert shown == ["none"] or set(shown) <= set(allowed)
    assert len(shown) <= MAX_SIGNATURES


@given(MESSAGES, st.booleans())
def test_whatever_a_stranger_says_it_is_one_field_within_its_bounds(found, utf8):
    field = results_field(found, authserv_id=ID, utf8=utf8)

    octets = field.encode()  # a lone surrogate would raise
    assert len(header_fields(octets + b"X: y\r\n")) == 2
    assert re.fullmatch(rb"[^\r\n]+(\r\n\t[^\r\n]+)*\r\n", octets)
    assert b"\x00" not in octets
    assert len(octets) <= MAX_OCTETS + len("Authentication-Results: \r\n")
    assert utf8 or field.isascii()
    for line in field.split("\r\n"):
        assert len(line) <= 78 or max(map(len, line.split())) > 40  # one word that cannot be cut


@given(MESSAGES)
def test_not_even_a_reader_that_looks_for_words_is_misled(found):
    """Cut at each ";", searched for "dmarc=pass": as programs do which have no parser."""
    value = write_results(found, authserv_id=ID)

    assert value.count(";") == len(read_results(value).methods)
    for word in re.findall(r"(?<![.\w])(spf|dkim|dmarc|arc|iprev)=(\w+)", value):
        assert any((one.method, one.result) == word for one in read_results(value).methods)


GOOGLE = (
    "i=1; mx.google.com;\r\n       dkim=pass header.i=@example.com header.s=s1 header.b=Ab/cd+e=;\r\n"
    "       spf=pass (google.com: domain of a@example.com designates 192.0.2.1 as permitted sender)"
    " smtp.mailfrom=a@example.com;\r\n"
    "       dmarc=pass (p=REJECT sp=REJECT dis=NONE) header.from=example.com"
)
MICROSOFT = (
    "i=1; mx.microsoft.com 1; spf=pass (sender ip is 192.0.2.1) smtp.rcpttodomain=b.test"
    " smtp.mailfrom=example.com; dmarc=pass (p=none sp=none pct=100) action=none"
    " header.from=Example.com; dkim=pass (signature was verified) header.d=example.com; arc=none"
)


@pytest.mark.parametrize("text", [GOOGLE, MICROSOFT])
def test_the_seals_of_the_great_are_read(text):
    results = read_results(text)

    assert results.authserv_id in ("mx.google.com", "mx.microsoft.com")
    assert results.dmarc_passed("example.com")
    assert results.of("spf")[0].value("smtp.mailfrom").endswith("example.com")
    assert results.of("dkim")[0].result == "pass"


@pytest.mark.parametrize(
    "text",
    [
        "mx.test; dmarc=pass",
        "mx.test; dmarc=fail header.from=example.com",
        "mx.test; dmarc=pass header.from=example.com.evil.test",
        "mx.test; dmarc=pass header.from=a.example.com",
        "mx.test; dmarc=pass header.from=example.com; dmarc=fail header.from=example.com",
        "mx.test; dmarc=pass header.from=evil.test header.from=example.com",
        "mx.test; spf=pass (dmarc=pass header.from=example.com)",
        'mx.test; spf=pass reason="; dmarc=pass header.from=example.com"',
        'mx.test; spf=pass smtp.mailfrom="x\\"; dmarc=pass header.from=example.com"',
        "mx.test; spf=pass ((; dmarc=pass header.from=example.com)",
        "mx.test; spf=pass ); dmarc=pass header.from=example.com",
        'mx.test; dmarc=pass header.from=example.com; spf=fail smtp.mailfrom="x',
        "mx.test; x-dmarc=pass header.from=example.com",
        "mx.test; dmarc=passed header.from=example.com",
        "dmarc=pass header.from=example.com",
        "",
        "mx.test; dmarc=pass header.from=example.com; " + "x" * 20_000,
    ],
)
def test_what_says_nothing_of_the_author_is_not_taken_for_it(text):
    assert not read_results(text).dmarc_passed("example.com")


@pytest.mark.parametrize(
    "text",
    [
        "mx.test;dmarc=pass header.from=example.com",
        "MX.test 1; DMARC = Pass (x) Header . From = EXAMPLE.com. ",
        'mx.test; dmarc/1=pass reason="a; \\"b" header.from="example.com"',
        "mx.test; none; dmarc=pass header.from=example.com;",
        "(c(c)) mx.test (v) 1 ; dmarc (c) = (c) pass (c) header.from=example.com (c)",
    ],
)
def test_every_way_to_write_it_is_read(text):
    assert read_results(text).dmarc_passed("example.com")


@given(st.text(alphabet='abi=;". ()\\/1\r\n\t@', max_size=80) | st.text() | st.binary())
def test_reading_never_raises(text):
    assert isinstance(read_results(text), Results)


PIECES = ["(", ")", '"', "\\", ";", "=", "a=b", " ", "a", "; a=b c.d=", ' "x"', "a/", "1", "; x=y z", "\t.\t"]  # fmt: skip


@pytest.mark.parametrize("piece", PIECES)
def test_hostile_text_is_read_in_a_moment(piece):
    random.seed(8601)
    mixed = "".join(random.choices(PIECES, k=5_000))
    texts = ("mx; a=b " + piece * (16_000 // len(piece)), piece * 1_000_000, f"mx; a=b{mixed}")

    within_cpu(lambda: [read_results(text) for text in texts], seconds=1)


LIKELY = st.sampled_from(["ada@example.org", "x@a.test", "", "a=b@c.test"])
HELOS = st.sampled_from(["example.org", "mail.a.test", "[192.0.2.1]", "a b", "x;y"])


@given(
    LIKELY,
    HELOS,
    st.sampled_from(["example.org", "a_b.test"]),
    st.sampled_from(DkimResult),
    st.sampled_from(DmarcResult),
)
@example("", "[IPv6:::1]", "mail.a.test", DkimResult.PASS, DmarcResult.FAIL)
def test_authres_reads_the_same(path, helo, domain, dkim, dmarc):
    authres = pytest.importorskip("authres")
    found = changed(
        reverse_path=path,
        helo=helo,
        spf=SpfVerdict(SpfCheck(SpfResult.PASS, helo), SpfCheck(SpfResult.SOFTFAIL, helo, "a=b; c")),
        dkim=(DkimSignature(dkim, domain, "s", f"@{domain}", "rsa-sha256", "ab/c+d12", "why; not"),),
        dmarc=DmarcVerdict(dmarc, domain, DmarcPolicy.REJECT, reason="x (y"),
    )  # fmt: skip
    field = results_field(found, authserv_id=ID, disposition=DmarcPolicy.NONE)

    theirs = authres.AuthenticationResultsHeader.parse(field.replace("\r\n\t", " ").strip())

    ours = read_results(field.partition(":")[2])
    assert theirs.authserv_id == ours.authserv_id == ID
    assert [(one.method, one.result) for one in theirs.results] == [
        (one.method, one.result) for one in ours.methods
    ]
    assert [
        sorted((f"{its.type}.{its.name}", its.value) for its in one.properties)
        for one in theirs.results
    ] == [sorted(one.properties) for one in ours.methods]
