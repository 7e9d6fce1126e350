"""Advice never replaces what an owner wrote: merged SPF, DMARC not made weaker, keys compared."""

import pytest

from mail.signing import Algorithm, generate_key_pair
from routing.records.policies import (
    dmarc_policy,
    key_difference,
    merged_spf,
    spf_names_us,
    strange_spf_terms,
    strictest_dmarc,
    with_policy,
)

TERM = "include:mxax.test"


@pytest.mark.parametrize(
    ("there", "merged"),
    [
        ("v=spf1 -all", "v=spf1 include:mxax.test -all"),
        ("v=spf1 mx ip4:192.0.2.1 ~all", "v=spf1 mx ip4:192.0.2.1 include:mxax.test ~all"),
        ("V=SPF1 a:B.example ?ALL", "v=spf1 a:B.example include:mxax.test ?ALL"),
        ("v=spf1 a redirect=_spf.b.example", "v=spf1 a include:mxax.test redirect=_spf.b.example"),
        ("v=spf1", "v=spf1 include:mxax.test"),
        ("v=spf1 mx", "v=spf1 mx include:mxax.test"),
        ("v=spf1 -all include:late.example", "v=spf1 include:mxax.test -all include:late.example"),
        (
            "v=spf1 exists:%{i}.b.example -all",
            "v=spf1 exists:%{i}.b.example include:mxax.test -all",
        ),
    ],
)
def test_our_term_is_put_in_and_every_other_stays_where_it_is(there, merged):
    assert merged_spf([there], TERM) == merged
    assert spf_names_us(merged, TERM)


def test_several_records_become_one_that_is_as_strict_as_the_strictest():
    there = ["v=spf1 mx include:a.example ~all", "v=spf1 mx ip4:192.0.2.1 -all"]

    assert (
        merged_spf(there, TERM)
        == "v=spf1 mx include:a.example ip4:192.0.2.1 include:mxax.test -all"
    )


def test_several_records_with_a_redirect_are_left_to_a_person():
    assert merged_spf(["v=spf1 redirect=a.example", "v=spf1 mx -all"], TERM) == ""


@pytest.mark.parametrize(
    ("record", "named"),
    [
        ("v=spf1 include:mxax.test -all", True),
        ("v=spf1 +include:MXAX.test. -all", True),
        ("v=spf1 redirect=mxax.test", True),
        ("v=spf1 redirect=mxax.test -all", False),
        ("v=spf1 -all include:mxax.test", False),
        ("v=spf1 -include:mxax.test -all", False),
        ("v=spf1 include:mxax.test.evil.example -all", False),
        ("v=spf1 include:notmxax.test -all", False),
    ],
)
def test_whether_a_record_lets_us_send(record, named):
    assert spf_names_us(record, TERM) is named


@pytest.mark.parametrize(
    "term", ["ipv4:192.0.2.1", "192.0.2.1", "includ:b.example", "and", "~alll"]
)
def test_a_term_that_nobody_can_read_is_named(term):
    assert strange_spf_terms(f"v=spf1 mx {term} -all") == [term]
    assert strange_spf_terms("v=spf1 mx/24 a:b.example/24//64 ip6:2001:db8::/32 exp=x.b -all") == []


def test_a_dmarc_policy_is_never_made_weaker():
    there = [
        "v=DMARC1; p=none",
        "v=DMARC1; p=reject; rua=mailto:a@b.example",
        "v=DMARC1;p=quarantine",
    ]

    assert strictest_dmarc(there) == there[1]
    assert [dmarc_policy(one) for one in there] == ["none", "reject", "quarantine"]
    assert with_policy("v=DMARC1; rua=mailto:a@b.example; adkim=s", "none") == (
        "v=DMARC1; p=none; rua=mailto:a@b.example; adkim=s"
    )
    assert dmarc_policy("v=DMARC1; p=rejekt") == ""


def test_how_a_key_record_differs_is_said_in_words():
    _, public = generate_key_pair(Algorithm.RSA_SHA256)
    _, other = generate_key_pair(Algorithm.RSA_SHA256)
    _, edwards = generate_key_pair(Algorithm.ED25519_SHA256)
    ours = f"v=DKIM1; {public}"

    assert key_difference(ours, ours) == ""
    assert key_difference(ours.replace("; ", ";") + " ;t=s", ours) == ""
    assert key_difference(ours.replace("v=DKIM1; k=rsa; ", ""), ours) == ""
    assert "255" not in key_difference(ours, ours)
    assert "cut short: 237 of its 392" in key_difference(ours[:255], ours)
    assert "another key" in key_difference(f"v=DKIM1; {other}", ours)
    assert "type ed25519, not rsa" in key_difference(f"v=DKIM1; {edwards}", ours)
    assert "revoked" in key_difference("v=DKIM1; p=", ours)
    assert "no key" in key_difference("v=DKIM1; k=rsa", ours)
    assert "quotation marks" in key_difference(ours[:200] + '" "' + ours[200:], ours)
    assert "SHA-256" in key_difference(ours + "; h=sha1", ours)
    assert "e-mail" in key_difference(ours + "; s=tlsrpt", ours)
    assert "v=DKIM1" in key_difference("v=DKIM2; " + public, ours)
