"""May this client use this reverse-path? Limits, identities, reasons (RFC 7208)."""

from __future__ import annotations

import asyncio

import pytest

from mail.authentication.values import SpfResult
from tests.mail.authentication.spf_world import FAIL, NOW, MemoryDns, check, check_both, said

PASS, NEUTRAL, NONE = SpfResult.PASS, SpfResult.NEUTRAL, SpfResult.NONE
SPF_FAIL, PERMERROR, TEMPERROR = SpfResult.FAIL, SpfResult.PERMERROR, SpfResult.TEMPERROR


def spf(record):
    return [("TXT", record)]


# What a person reads


@pytest.mark.parametrize(
    ("record", "result", "reason"),
    [
        ("v=spf1 ip4:192.0.2.0/24 -all", PASS, "ip4:192.0.2.0/24 in the record of a.example"),
        ("v=spf1 ip4:10.0.0.0/8 -all", SPF_FAIL, "-all in the record of a.example"),
        ("v=spf1", NEUTRAL, "nothing in the record of a.example matches"),
        ("hello", NONE, "a.example has no SPF record"),
        ("v=spf1 foo", PERMERROR, "the record of a.example has an unknown mechanism"),
        ("v=spf1 include:b.example", PERMERROR, "the record of a.example includes b.example, which has none"),
        ("v=spf1 redirect=b.example", PERMERROR, "the record of a.example redirects to b.example, which has none"),
    ],
)  # fmt: skip
def test_the_reason_says_which_term_in_which_record(record, result, reason):
    found = said(record)

    assert (found.result, found.reason, found.domain) == (result, reason, "a.example")


def test_the_reason_follows_includes_and_redirects():
    dns = {
        "a.example": spf("v=spf1 redirect=b.example"),
        "b.example": spf("v=spf1 include:c.example -all"),
        "c.example": spf("v=spf1 ip4:192.0.2.1 -all"),
    }

    assert check(dns).reason == (
        "include:c.example in the record of b.example, by ip4:192.0.2.1 in the record of c.example, "
        "to which a.example redirects"
    )


def test_a_reason_is_short_whatever_a_stranger_writes():
    deep = {
        f"{'d' * 60}{n}.example": spf(f"v=spf1 include:{'d' * 60}{n + 1}.example") for n in range(9)
    }
    deep |= {
        "a.example": spf(f"v=spf1 include:{'d' * 60}0.example"),
        f"{'d' * 60}9.example": spf("v=spf1 +all"),
    }

    assert check(deep).result is PASS
    assert len(check(deep).reason) == 300


# Limits (4.6.4)


def including(count):
    names = {f"s{n}.example": spf("v=spf1 ?all") for n in range(count)}
    return {
        "a.example": spf(f"v=spf1 {' '.join(f'include:{name}' for name in names)} +all")
    } | names


@pytest.mark.parametrize(("count", "result"), [(10, PASS), (11, PERMERROR)])
def test_ten_terms_may_ask_dns(count, result):
    assert check(including(count)).result is result


def test_a_redirect_is_one_of_the_ten():
    ten = " ".join(["a:one.example"] * 10)
    dns = {"one.example": [("A", "10.0.0.1")], "b.example": spf("v=spf1 +all")}

    assert check(dns | {"a.example": spf(f"v=spf1 {ten[14:]} redirect=b.example")}).result is PASS
    assert check(dns | {"a.example": spf(f"v=spf1 {ten} redirect=b.example")}).result is PERMERROR


def test_terms_behind_the_one_that_matches_are_not_counted():
    assert said("v=spf1 ip4:192.0.2.1 " + "a:nx.example " * 20).result is PASS


@pytest.mark.parametrize("what", ["a", "mx", "exists"])
@pytest.mark.parametrize(("count", "result"), [(2, PASS), (3, PERMERROR)])
def test_two_terms_may_find_nothing(what, count, result):
    terms = " ".join(f"{what}:void{n}.example" for n in range(count))

    assert said(f"v=spf1 {terms} +all").result is result


@pytest.mark.parametrize(("count", "result"), [(2, PASS), (3, PERMERROR)])
def test_a_client_without_a_name_is_found_in_vain(count, result):
    assert said(f"v=spf1 {'ptr ' * count} +all").result is result


def test_a_name_of_the_client_is_asked_for_once():
    names = {"p.a.example": [("A", "10.0.0.1")], "1.2.0.192.in-addr.arpa": [("PTR", "p.a.example")]}
    dns = MemoryDns(names | {"a.example": spf("v=spf1 ptr ptr ptr -all")})

    assert check(dns).result is SPF_FAIL
    assert dns.asked.count(("p.a.example", "A")) == 1


def test_a_name_that_only_ends_alike_is_not_below():
    here = [("A", "192.0.2.1")]
    names = {"evila.example": here, "1.2.0.192.in-addr.arpa": [("PTR", "evila.example")]}

    assert check(names | {"a.example": spf("v=spf1 ptr -all")}).result is SPF_FAIL
    assert check(names | {"a.example": spf("v=spf1 ptr:evila.example -all")}).result is PASS


def test_hosts_of_one_mx_are_void_once():
    hosts = {f"mx{n}.example": [("AAAA", "2001:db8::1")] for n in range(5)}
    exchanges = [("MX", (10, name)) for name in hosts]

    assert check(hosts | {"a.example": spf("v=spf1 mx +all") + exchanges}).result is PASS


def test_a_null_mx_is_neither_a_host_nor_void():
    dns = {"a.example": [*spf("v=spf1 mx mx mx +all"), ("MX", (0, ""))]}

    assert check(dns).result is PASS


@pytest.mark.parametrize(("count", "result"), [(10, PASS), (11, PERMERROR)])
def test_ten_mx_are_looked_at(count, result):
    hosts = {f"mx{n}.example": [("A", "10.0.0.1")] for n in range(count)}
    exchanges = [("MX", (10, name)) for name in hosts]

    assert check(hosts | {"a.example": spf("v=spf1 mx +all") + exchanges}).result is result


def test_of_eleven_names_of_the_client_ten_are_looked_at():
    names = {f"p{n}.a.example": [("A", "192.0.2.1" if n == 10 else "10.0.0.1")] for n in range(11)}
    dns = MemoryDns(
        names
        | {"a.example": spf("v=spf1 ptr -all")}
        | {"1.2.0.192.in-addr.arpa": [("PTR", name) for name in names]}
    )

    assert check(dns).result is SPF_FAIL
    assert sum(kind == "A" for _, kind in dns.asked) == 10


def test_loops_of_includes_and_redirects_end():
    for how in ("include:", "redirect="):
        dns = MemoryDns({
            "a.example": spf(f"v=spf1 {how}b.example"), "b.example": spf(f"v=spf1 {how}a.example"),
        })  # fmt: skip
        assert check(dns).result is PERMERROR
        assert len(dns.asked) == 11


def test_two_records_are_an_error_and_other_texts_are_none():
    both = {"a.example": spf("v=spf1 +all") + spf("v=spf1 -all")}
    other = {"a.example": spf("v=spf10 -all") + spf("v=spf1 +all") + spf("V=SPF1-all")}

    assert check(both).result is PERMERROR
    assert check(other).result is PASS


# DNS that does not answer


@pytest.mark.parametrize(
    "term",
    [
        "include:down.example",
        "a:down.example",
        "mx:down.example",
        "exists:down.example",
        "redirect=down.example",
    ],
)
def test_dns_that_fails_is_a_temporary_error(term):
    found = check({"a.example": spf(f"v=spf1 {term}"), "down.example": [FAIL]})

    assert found.result is TEMPERROR
    assert "down.example" in found.reason


def test_where_dns_fails_for_a_name_of_the_client_the_name_is_skipped():
    dns = {
        "a.example": [*spf("v=spf1 ptr -all"), ("A", "192.0.2.1")],
        "down.a.example": [FAIL],
        "1.2.0.192.in-addr.arpa": [("PTR", "down.a.example"), ("PTR", "a.example")],
    }

    assert check(dns).result is PASS
    assert check(dns | {"1.2.0.192.in-addr.arpa": [FAIL]}).result is SPF_FAIL


def test_dns_that_fails_behind_the_match_does_not_matter():
    dns = {"a.example": spf("v=spf1 ip4:192.0.2.1 a:down.example"), "down.example": [FAIL]}

    assert check(dns).result is PASS


# Identities


@pytest.mark.parametrize("helo", [
    "[192.0.2.1]", "[IPv6:2001:db8::1]", "192.0.2.1", "", "localhost", "-" * 300, "a..b", ".", "a.b.",
    "x@a.example", "a b.example", "\x00.example", f"{'x' * 64}.example", "\udc80.example", "ü" * 2_000,
])  # fmt: skip
def test_a_strange_helo_has_no_policy(helo):
    assert said("v=spf1 -all", helo=helo, reverse_path="").result is NONE


@pytest.mark.parametrize(
    "path",
    [
        "ada",
        "@",
        "ada@",
        "ada@localhost",
        "ada@[192.0.2.1]",
        "ada@a..example",
        "a" * 1_100 + "@a.example",
    ],
)
def test_a_reverse_path_without_a_name_to_ask_has_no_policy(path):
    assert said("v=spf1 -all", reverse_path=path).result is NONE


def test_a_client_without_an_address_has_no_policy():
    assert said("v=spf1 +all", client_ip="").result is NONE


def test_both_identities_are_checked_and_only_the_reverse_path_counts():
    dns = MemoryDns({"h.example": spf("v=spf1 -all"), "a.example": spf("v=spf1 +all")})
    asked = {"client_ip": "192.0.2.1", "helo": "h.example", "now": NOW}

    both = asyncio.run(check_both(dns, reverse_path="ada@a.example", **asked))
    returned = asyncio.run(check_both(dns, reverse_path="", **asked))

    assert (both.helo.result, both.mail_from.result, both.passed) == (SPF_FAIL, PASS, True)
    assert returned.mail_from is returned.helo
    assert not returned.passed


def test_a_domain_in_unicode_is_asked_for_by_its_a_label():
    dns = {"xn--mnchen-3ya.example": spf("v=spf1 ip4:192.0.2.1 -all")}

    assert check(dns, reverse_path="ada@MÜNCHEN.example").result is PASS
    assert check(dns, helo="münchen.example", reverse_path="").result is PASS


def test_a_term_with_a_local_part_beyond_ascii_never_matches():
    dns = MemoryDns({"a.example": spf("v=spf1 exists:%{l}.b.example ?all")})

    found = check(dns, reverse_path="jürgen@a.example")

    assert (found.result, found.by_local_part) == (NEUTRAL, True)
    assert dns.asked == [("a.example", "TXT")]


def test_case_and_a_last_dot_make_no_difference():
    assert said("V=SpF1 IP4:192.0.2.1 -ALL", reverse_path="ada@A.Example.").result is PASS


def test_ipv4_inside_ipv6_is_ipv4():
    assert said("v=spf1 ip4:192.0.2.1 -all", client_ip="::ffff:192.0.2.1").result is PASS
    assert said("v=spf1 ip6:::ffff:192.0.2.1 -all", client_ip="::ffff:192.0.2.1").result is SPF_FAIL


def test_both_lengths_of_a_network_belong_to_their_own_family():
    dns = {"a.example": [*spf("v=spf1 a/24//64 -all"), ("A", "192.0.2.9"), ("AAAA", "2001:db8::9")]}

    assert check(dns, client_ip="192.0.2.77").result is PASS
    assert check(dns, client_ip="192.0.3.9").result is SPF_FAIL
    assert check(dns, client_ip="2001:db8::7:7").result is PASS
    assert check(dns, client_ip="2001:db8:0:1::9").result is SPF_FAIL


# Macros


def test_a_result_that_looked_at_the_local_part_says_so():
    dns = {
        "a.example": spf("v=spf1 ip4:198.51.100.1 exists:%{l}.users.example -all"),
        "ada.users.example": [("A", "127.0.0.2")],
    }
    ada, mallory = check(dns), check(dns, reverse_path="mallory@a.example")
    early = check(dns, client_ip="198.51.100.1")

    assert (ada.result, ada.by_local_part) == (PASS, True)
    assert (mallory.result, mallory.by_local_part) == (SPF_FAIL, True)
    assert (early.result, early.by_local_part) == (PASS, False)


@pytest.mark.parametrize(
    ("macro", "looks"), [("s", True), ("L", True), ("o", False), ("d", False), ("h", False)]
)
def test_only_two_macros_look_at_the_local_part(macro, looks):
    assert said(f"v=spf1 exists:%{{{macro}}}.b.example").by_local_part is looks


def test_looking_inside_an_include_counts_as_well():
    dns = {
        "a.example": spf("v=spf1 include:b.example -all"),
        "b.example": spf("v=spf1 exists:%{s}.x.example"),
    }

    assert check(dns).by_local_part is True


def explained(text, **identity):
    dns = {
        "a.example": spf("v=spf1 -all exp=why.%{d}"),
        "why.a.example": spf(text),
        "1.2.0.192.in-addr.arpa": [("PTR", "p.a.example")],
        "p.a.example": [("A", "192.0.2.1")],
    }
    return check(dns, **identity).explanation


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%{i} may not: see %{r} %{t}", "192.0.2.1 may not: see unknown 1772366400"),
        ("%{s} %{l} %{o} %{d} %{h} %{v} %{c}", "ada@a.example ada a.example a.example h.example in-addr 192.0.2.1"),
        ("%{p}", "p.a.example"),
        ("%{S} 100%% %_ %-", "ada%40a.example 100%   %20"),
        ("%{d1r} %{i2} %{ir-} %{i200}", "a 2.1 192.0.2.1 192.0.2.1"),
        ("%{bad", ""),
        ("ü", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_a_failure_is_explained_in_the_owners_words(text, expected):
    assert explained(text) == expected


def test_ipv6_is_written_with_dots_for_dns_and_with_colons_for_people():
    text = explained("%{i} %{c} %{v}", client_ip="2001:db8::1")

    assert text == f"2.0.0.1.0.D.B.8.{'0.' * 23}1 2001:db8::1 ip6"


def test_an_explanation_is_printable_and_short():
    assert explained("%{h}", helo="a\r\n250 ok\x1b[0m") == "a??250 ok?[0m"
    assert explained("%{l} " * 500) == ("ada " * 100)
    assert explained("x" * 4_001) == ""


def test_octets_that_are_no_text_are_explained_all_the_same():
    assert explained("%{L} %{l}", reverse_path="\udc80@a.example") == "%3F ?"


def test_only_a_failure_is_explained_and_by_the_record_that_failed():
    dns = MemoryDns({
        "a.example": spf("v=spf1 include:b.example redirect=c.example exp=a-why.example"),
        "b.example": spf("v=spf1 -all exp=b-why.example"),
        "c.example": spf("v=spf1 ~ip4:198.51.100.1 -all exp=c-why.example"),
        "c-why.example": spf("by %{d}"),
    })  # fmt: skip

    assert check(dns).explanation == "by c.example"
    assert check(dns, client_ip="198.51.100.1").explanation == ""
    assert not any(name in ("a-why.example", "b-why.example") for name, _ in dns.asked)


def test_two_texts_or_none_explain_nothing():
    dns = {"a.example": spf("v=spf1 -all exp=why.example")}

    for answer in ([], [FAIL], spf("one") + spf("two")):
        assert check(dns | {"why.example": answer}).explanation == ""


def test_a_name_that_becomes_too_long_loses_labels_on_the_left():
    dns = MemoryDns({"a.example": spf("v=spf1 exists:%{l}.b.example -all")})

    check(dns, reverse_path=f"{'x' * 60}.{'abcdefgh.' * 27}z@a.example")

    asked = dns.asked[-1][0]
    assert asked.endswith(".z.b.example")
    assert 253 - 9 < len(asked) <= 253
    assert asked.startswith("abcdefgh.")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["x.example", "b.a.example", "a.example"], "a.example"),
        (["x.example", "b.a.example"], "b.a.example"),
        (["nx.example", "x.example"], "x.example"),
        (["nx.example"], "unknown"),
        ([], "unknown"),
    ],
)
def test_the_name_of_the_client_is_the_nearest_that_leads_back(names, expected):
    here = [("A", "192.0.2.1")]
    dns = MemoryDns({
        "a.example": spf("v=spf1 exists:%{p}.seen.example ?all") + here,
        "b.a.example": here, "x.example": here,
        "1.2.0.192.in-addr.arpa": [("PTR", name) for name in names],
    })  # fmt: skip

    check(dns)

    assert dns.asked[-1] == (f"{expected}.seen.example", "A")
