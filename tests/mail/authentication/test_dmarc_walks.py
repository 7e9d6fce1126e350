"""Where the record is found, and what an organization is: RFC 9989, 4.10."""

from __future__ import annotations

import pytest

from mail.authentication.dmarc import MAX_NAMES_OF_A_WALK
from mail.authentication.values import DkimResult, DmarcPolicy, DmarcResult, SpfResult
from mail.lookups import Answer, Outcome
from tests.mail.authentication.dmarc_zone import FAILURE, NO_DATA, NXDOMAIN, Zone, dkim, judge, spf

NONE, QUARANTINE, REJECT = DmarcPolicy
LONG = "a.b.c.d.e.f.g.h.i.j.mail.example.com"


@pytest.mark.parametrize(
    ("author", "records", "found_at", "policy"),
    [
        pytest.param("example.org", {"example.org": "v=DMARC1; p=reject"},
                     "example.org", REJECT, id="4.10.1-author-domain"),
        pytest.param("mail.example.org", {"mail.example.org": "v=DMARC1; p=none", "example.org": "v=DMARC1; p=reject"},
                     "mail.example.org", NONE, id="4.10.1-author-domain-before-its-organization"),
        pytest.param("mail.example.org", {"example.org": "v=DMARC1; p=reject"},
                     "example.org", REJECT, id="4.10.1-organizational-domain"),
        pytest.param("mail.example.org", {"example.org": "v=DMARC1; p=reject; sp=quarantine"},
                     "example.org", QUARANTINE, id="4.10.1-sp-of-the-organization"),
        pytest.param("mail.example.org", {"mail.example.org": "v=DMARC1; p=reject; sp=none"},
                     "mail.example.org", REJECT, id="4.7-sp-is-ignored-at-the-author-domain"),
        pytest.param("a.b.example.org", {"b.example.org": "v=DMARC1; p=none", "example.org": "v=DMARC1; p=reject"},
                     "example.org", REJECT, id="4.10.2-the-fewest-labels-not-the-nearest"),
        pytest.param("a.b.example.org", {"b.example.org": "v=DMARC1; p=none; psd=n", "example.org": "v=DMARC1; p=reject"},
                     "b.example.org", NONE, id="4.10.2-psd-n-ends-the-walk"),
        pytest.param("example.bank", {"bank": "v=DMARC1; p=none; sp=reject; psd=y"},
                     "bank", REJECT, id="4.10.1-public-suffix-for-who-has-no-record"),
        pytest.param("www.example.bank", {"bank": "v=DMARC1; p=reject; psd=y", "example.bank": "v=DMARC1; p=none"},
                     "example.bank", NONE, id="4.10.1-suffix-not-used-where-the-organization-has-one"),
        pytest.param("a.mail.example.com", {"mail.example.com": "v=DMARC1; p=none", "com": "v=DMARC1; p=quarantine; psd=y"},
                     "com", QUARANTINE, id="4.10.1-neither-author-nor-organization-the-suffix"),
        pytest.param("a.uk.example", {"uk.example": "v=DMARC1; p=reject; psd=y", "example": "v=DMARC1; p=none"},
                     "uk.example", REJECT, id="4.10-step-6-psd-y-ends-the-walk"),
        pytest.param("bank", {"bank": "v=DMARC1; p=reject; psd=y"},
                     "bank", REJECT, id="4.10.1-a-suffix-that-writes-itself"),
        pytest.param(LONG, {LONG: "v=DMARC1; p=quarantine"},
                     LONG, QUARANTINE, id="5.1.8-a-long-name-with-its-own-record"),
        pytest.param(LONG, {"g.h.i.j.mail.example.com": "v=DMARC1; p=reject"},
                     "g.h.i.j.mail.example.com", REJECT, id="4.10-step-4-seven-labels-remain"),
        pytest.param("mail.example.org", {"mail.example.org": ["v=spf1 -all", "v=DMARC1; p=none"], "example.org": "v=DMARC1; p=reject"},
                     "mail.example.org", NONE, id="4.10-step-2-other-records-are-discarded"),
        pytest.param("mail.example.org", {"mail.example.org": ["v=DMARC1; p=none"] * 2, "example.org": "v=DMARC1; p=reject"},
                     "example.org", REJECT, id="4.10-step-2-two-records-are-none-there"),
        pytest.param("mail.example.org", {"mail.example.org": NO_DATA, "example.org": "v=DMARC1; p=reject"},
                     "example.org", REJECT, id="4.10.1-no-data-is-no-record"),
        pytest.param("mail.example.org", {"mail.example.org": "v=dmarc1; p=none", "example.org": "v=DMARC1; p=reject"},
                     "example.org", REJECT, id="4.7-a-record-of-the-wrong-version-is-none"),
        pytest.param("mail.example.org", {"example.org": "v=DMARC1; p=reject; t=y"},
                     "example.org", QUARANTINE, id="4.7-t-of-the-organization-lowers-it"),
        pytest.param("mail.example.org", {"example.org": "v=DMARC1; p=foo; sp=reject; rua=mailto:d@example.org"},
                     "example.org", NONE, id="4.10.1-a-broken-one-with-rua-is-none"),
    ],
)  # fmt: skip
def test_the_record_that_applies(author, records, found_at, policy):
    verdict = judge(records, author)

    assert (verdict.result, verdict.policy_domain, verdict.policy) == (
        DmarcResult.FAIL,
        found_at,
        policy,
    )


@pytest.mark.parametrize(
    ("author", "records"),
    [
        pytest.param("example.org", {}, id="4.10.1-no-record-at-all"),
        pytest.param("example.org", {"example.org": ["v=DMARC1; p=reject"] * 2}, id="4.10-two"),
        pytest.param("example.org", {"example.org": "v=DMARC1"}, id="4.10.1-no-policy-no-rua"),
        pytest.param("example.org", {"example.org": "v=DMARC1; p=x"}, id="4.10.1-wrong-no-rua"),
        pytest.param("example.org", {"example.net": "v=DMARC1; p=reject"}, id="4.10-elsewhere"),
        pytest.param("mail.a.b.c.d.e.f.g.example.com", {"b.c.d.e.f.g.example.com": "v=DMARC1; p=reject; psd=n"},
                     id="5.1.8-never-discovered-behind-the-jump"),
    ],
)  # fmt: skip
def test_where_dmarc_does_not_apply(author, records):
    verdict = judge(records, author, author, path=author)

    assert (verdict.result, verdict.policy) == (DmarcResult.NONE, NONE)


def test_4_10_the_eight_names_of_the_example():
    zone = Zone({})

    judge(zone, LONG)

    assert zone.asked == [
        f"_dmarc.{name}"
        for name in (
            LONG,
            "g.h.i.j.mail.example.com",
            "h.i.j.mail.example.com",
            "i.j.mail.example.com",
            "j.mail.example.com",
            "mail.example.com",
            "example.com",
            "com",
        )
    ]


@pytest.mark.parametrize("labels", range(1, 128))
def test_4_10_no_name_takes_more_than_eight_queries(labels):
    zone = Zone({})

    judge(zone, ".".join(["a"] * labels))

    assert len(zone.asked) == min(labels, MAX_NAMES_OF_A_WALK)


def test_4_10_2_one_query_where_both_are_the_same_domain():
    zone = Zone({"mail.example.com": "v=DMARC1; p=reject"})

    verdict = judge(zone, "mail.example.com", "mail.example.com", path="mail.example.com")

    assert zone.asked == ["_dmarc.mail.example.com"]
    assert verdict.organizational_domain == "mail.example.com"


def test_4_10_2_no_walk_for_strict_alignment():
    zone = Zone({"example.com": "v=DMARC1; p=reject; adkim=s; aspf=s"})

    assert judge(zone, "example.com", "a.example.com", path="b.example.com").result.value == "fail"
    assert zone.asked == ["_dmarc.example.com"]


def test_4_10_2_names_that_cannot_be_aligned_are_not_walked():
    zone = Zone({"example.com": "v=DMARC1; p=reject"})

    judge(zone, "example.com", "a.b.c.d.e.evilexample.com", "x.com.example")
    judge(zone, "example.com", "com", path="a.b.notexample.com")

    assert zone.asked == ["_dmarc.example.com", "_dmarc.com"] * 2


def test_4_10_a_walk_ends_at_who_says_what_it_is():
    zone = Zone({"b.example.com": "v=DMARC1; p=reject; psd=n"})

    judge(zone, "a.b.example.com", "x.b.example.com")

    assert zone.asked == [f"_dmarc.{name}b.example.com" for name in ("a.", "", "x.")]


def test_no_name_is_asked_twice():
    zone = Zone({"example.com": "v=DMARC1; p=reject"})

    judge(zone, "a.b.example.com", *[f"{n}.example.com" for n in range(15)], path="z.example.com")

    assert len(zone.asked) == len(set(zone.asked)) < 25


EXISTING = Answer(Outcome.FOUND, ("192.0.2.1",))


@pytest.mark.parametrize(
    ("hosts", "policy"),
    [
        pytest.param(NXDOMAIN, REJECT, id="3.2.13-nxdomain"),
        pytest.param(NO_DATA, NONE, id="3.2.13-no-data-exists"),
        pytest.param(EXISTING, NONE, id="3.2.13-found-exists"),
    ],
)
def test_np_is_for_names_that_do_not_exist(hosts, policy):
    zone = Zone({"example.org": "v=DMARC1; p=none; np=reject"}, {"gone.example.org": hosts})

    assert judge(zone, "gone.example.org").policy is policy


@pytest.mark.parametrize("kind", ["MX", "A", "AAAA"])
def test_one_kind_of_record_is_enough_to_exist(kind):
    hosts = {"odd.example.org": NXDOMAIN, f"{kind} odd.example.org": EXISTING}
    zone = Zone({"example.org": "v=DMARC1; p=none; np=reject"}, hosts)

    assert judge(zone, "odd.example.org").policy is NONE


def test_np_of_a_public_suffix_is_for_organizations_that_do_not_exist():
    zone = Zone({"bank": "v=DMARC1; p=none; np=reject; psd=y"}, {"fake.bank": NXDOMAIN})

    assert judge(zone, "fake.bank").policy is REJECT
    assert judge(zone, "real.bank").policy is NONE


def test_existence_is_asked_only_where_it_matters():
    for text in ("p=reject", "p=reject; sp=none", "p=none; sp=reject; np=reject", "p=none; np=x"):
        zone = Zone({"example.org": f"v=DMARC1; {text}"}, {"a.example.org": NXDOMAIN})
        judge(zone, "a.example.org")
        assert zone.hosts_asked == []

    own = Zone({"a.example.org": "v=DMARC1; p=none; np=reject"}, {"a.example.org": NXDOMAIN})
    assert judge(own, "a.example.org").policy is NONE
    assert own.hosts_asked == []


@pytest.mark.parametrize(
    ("author", "zone"),
    [
        pytest.param("example.org", Zone({"example.org": FAILURE}), id="5.3.6-author-domain"),
        pytest.param("a.example.org", Zone({"example.org": FAILURE}), id="5.3.6-organization"),
        pytest.param("a.example.org", Zone({"example.org": "v=DMARC1; p=reject", "org": FAILURE}),
                     id="5.3.6-suffix-unknown-so-is-the-organization"),
        pytest.param("a.example.org", Zone({"example.org": "v=DMARC1; p=none; np=reject"}, {"a.example.org": FAILURE}),
                     id="5.3.6-existence-unknown"),
    ],
)  # fmt: skip
def test_dns_that_does_not_answer_makes_no_failure(author, zone):
    verdict = judge(zone, author)

    assert verdict.result is DmarcResult.TEMPERROR
    assert verdict.policy is NONE


def test_what_passes_needs_no_more_dns():
    records = {"example.org": "v=DMARC1; p=reject", "org": FAILURE}

    assert judge(records, "example.org", "example.org", path="x.example.org").result.value == "pass"


def test_5_3_6_a_walk_without_answer_is_no_failure():
    records = {"example.org": "v=DMARC1; p=reject", "org": FAILURE}

    assert judge(records, "example.org", "a.example.org").result is DmarcResult.TEMPERROR
    assert judge(records, "example.org", "example.net").result is DmarcResult.FAIL


def test_5_3_6_a_key_without_answer_is_no_failure():
    records = {"example.org": "v=DMARC1; p=reject"}
    unknown = dkim("mail.example.org", DkimResult.TEMPERROR)

    verdict = judge(records, "example.org", unknown)
    assert (verdict.result, verdict.policy) == (DmarcResult.TEMPERROR, REJECT)
    assert judge(records, "example.org", unknown, "example.org").result is DmarcResult.PASS
    assert judge(records, "other.test", unknown).result is DmarcResult.NONE
    assert judge(records, "example.org", dkim("evil.org", DkimResult.TEMPERROR)).result is DmarcResult.FAIL  # fmt: skip
    silent = spf("example.org", SpfResult.TEMPERROR)
    assert judge(records, "example.org", path=silent).result is DmarcResult.TEMPERROR
