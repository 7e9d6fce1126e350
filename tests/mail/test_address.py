"""One canonical form of an address or domain, and nothing else gets through."""

import ipaddress

import idna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mail.address import (
    NULL_PATH,
    Address,
    BarePostmaster,
    LiteralAddress,
    SourceRoute,
    canonical_domain,
    join_path,
    parse_address,
    parse_path,
    parse_reverse_path,
    split_path,
    unicode_domain,
)
from mail.errors import BadAddress, BadDomain, LocalPartTooLong

LONGEST_DOMAIN = ".".join(["d" * 61] * 4) + ".abcde"  # 253 octets

# Characters that UTS #46, bidi, joiners, hyphens and punycode turn on, as in IdnaTestV2.
IDNA_CHARACTERS = "aZ0-._\u00ad\u200c\u200d\u00df\u03c2\uff0e\u3002\uff61\uff21\u0130\u0301\u05d0\u0661\u06f1\u0915\u094d\u30fb\u4e00\u00b7l\u1e9e\u2260\U0001f600\ud800\u0000\u2028\x85\r\n@:[]%"
idna_like = st.text(st.sampled_from(IDNA_CHARACTERS), max_size=40)
punycode_like = st.from_regex(r"\A(?:[xX][nN]--[a-z0-9-]{0,20}\.){1,3}[a-z0-9-]{0,12}\Z")


@pytest.mark.parametrize(
    ("text", "local_part", "domain"),
    [
        ("ada@example.org", "ada", "example.org"),
        ("Ada.L+tag@EXAMPLE.Org", "Ada.L+tag", "example.org"),
        ("!#$%&'*+/=?^_`{|}~-@example.org", "!#$%&'*+/=?^_`{|}~-", "example.org"),
        ("ada@example.org.", "ada", "example.org"),
        ("ada@localhost", "ada", "localhost"),
        ("ada@3com.a-b.example", "ada", "3com.a-b.example"),
        ("ada@r3---sn.example.org", "ada", "r3---sn.example.org"),
        ('"a b"@example.org', "a b", "example.org"),
        ('"plain"@example.org', "plain", "example.org"),
        ('"a@b"@example.org', "a@b", "example.org"),
        (r'"a\"b\\c\d"@example.org', 'a"b\\cd', "example.org"),
        ('".a..b."@example.org', ".a..b.", "example.org"),
        ("用户@例子.广告", "用户", "xn--fsqu00a.xn--4rr70v"),
        ("u\u0308@example.org", "ü", "example.org"),
        ("a\u200db@example.org", "a\u200db", "example.org"),
    ],
)
def test_mailbox_has_a_local_part_as_meant_and_a_canonical_domain(text, local_part, domain):
    assert parse_address(text) == Address(local_part, domain)


@pytest.mark.parametrize(
    "text",
    ["", "@", "ada", "ada@", "@example.org", "a b@example.org", ".a@example.org", "a.@example.org",
     "a..b@example.org", '""@example.org', '"a"b@example.org', '"a@example.org', '"a""@example.org',
     "a@b@example.org", " ada@example.org", "ada@example.org ", "ada @example.org", "<ada@example.org>",
     "Ada <ada@example.org>", "ada(c)@example.org", "a,b@example.org", "a;b@example.org",
     "a\u037eb@example.org", "ada@exa mple.org", "ada@-example.org", "ada@example-.org",
     "ada@example..org", "ada@.example.org", "ada@example.org..", "ada@exa_mple.org", "ada@192.0.2.1",
     "ada@example.123", "ada@[192.0.2.1]", "ada@xn--.org", "ada@xn--a.org", "ada@\U0001f600.example",
     "a\u202eb@example.org", "a\u2066b@example.org", "\ufeffada@example.org", "a\u200bb@example.org",
     "a\u00a0b@example.org", "a\u3000b@example.org", "a\ud800b@example.org", "a\uffffb@example.org", "a\u00adb@example.org", "a\ue000b@example.org"],
)  # fmt: skip
def test_what_is_no_mailbox_is_refused(text):
    with pytest.raises(BadAddress):
        parse_address(text)


CONTROLS = ["\r", "\n", "\r\n", "\0", "\t", "\x0b", "\x0c", "\x1b", "\x1c", "\x7f", "\x85", "\u2028", "\u2029"]  # fmt: skip
ENCODED = ["%0d", "%0D%0A", "%00", "%0a", "%7f", "%c2%85", "%e2%80%a8", "%E2%80%A9", "%250d%250a"]


@pytest.mark.parametrize("bad", CONTROLS + ENCODED)
@pytest.mark.parametrize(
    "shape",
    ["{}ada@example.org", "a{}da@example.org", "ada{}@example.org", "ada@{}example.org",
     "ada@exam{}ple.org", "ada@example.org{}", '"a{}da"@example.org', '"a\\{}da"@example.org'],
)  # fmt: skip
def test_no_line_break_or_control_passes_anywhere(shape, bad):
    text = shape.format(bad)

    for parse in (parse_address, parse_path, parse_reverse_path):
        with pytest.raises(BadAddress):
            parse(text)


def test_percent_that_encodes_no_control_is_an_ordinary_character():
    assert parse_address("100%ada%40x@example.org").local_part == "100%ada%40x"


def test_limits_are_counted_in_octets_of_the_wire_form():
    assert parse_address("a" * 64 + "@example.org")
    assert parse_address("ü" * 32 + "@example.org")
    assert parse_address("a@" + LONGEST_DOMAIN[2:])
    assert canonical_domain(LONGEST_DOMAIN) == LONGEST_DOMAIN

    for text in (
        "a" * 65 + "@example.org",
        "ü" * 33 + "@example.org",
        '"' + "a b" * 21 + '"@example.org',
        "a@" + LONGEST_DOMAIN,
        "a" * 100_000 + "@example.org",
    ):
        with pytest.raises(LocalPartTooLong):
            parse_address(text)
    for domain in ("d" + LONGEST_DOMAIN, "d" * 64 + ".org", "ü" * 60 + ".org", "a." * 50_000):
        with pytest.raises(BadDomain):
            canonical_domain(domain)


def test_a_bulk_sender_above_64_octets_is_let_in_where_the_caller_says_so():
    path = "b" * 90 + "@example.org"

    assert parse_reverse_path(f"<{path}>", max_local_octets=200) == path
    with pytest.raises(LocalPartTooLong):
        parse_reverse_path(path)
    with pytest.raises(LocalPartTooLong):
        parse_reverse_path("b" * 250 + "@example.org", max_local_octets=254)


def test_rcpt_tells_a_domain_from_everything_that_is_never_relayed():
    ada = Address("ada", "example.org")

    assert parse_path("<ada@example.org>") == parse_path("ada@Example.org") == ada
    assert parse_path("<ada@[192.0.2.1]>") == LiteralAddress(
        "ada", ipaddress.IPv4Address("192.0.2.1")
    )
    assert str(parse_path("ada@[ipv6:2001:DB8::1]")) == "ada@[IPv6:2001:db8::1]"
    assert parse_path("<@a.example,@b.example:ada@example.org>") == SourceRoute(ada)
    assert parse_path("<PostMaster>") == BarePostmaster()


@pytest.mark.parametrize(
    "text",
    ["<>", "", "<<ada@example.org>>", "<ada@example.org", "<ada>", "<ada@[192.0.2.1>",
     "<ada@[192.0.2.256]>", "<ada@[2001:db8::1]>", "<ada@[IPv6:fe80::1%eth0]>", "<ada@[x:y]>",
     "<@a.example>", "<@a b:ada@example.org>", "<@a.example:>", "<\u1d56ostmaster>"],
)  # fmt: skip
def test_broken_rcpt_is_refused(text):
    with pytest.raises(BadAddress):
        parse_path(text)


def test_reverse_path_is_its_wire_form_and_null_stays_null():
    assert parse_reverse_path("<>") == NULL_PATH == ""
    assert parse_reverse_path('<"a b"@Example.ORG>') == '"a b"@example.org'
    assert parse_reverse_path("<@a.example:ada@example.org>") == "ada@example.org"
    assert parse_reverse_path("<ada@[192.0.2.1]>") == "ada@[192.0.2.1]"


@pytest.mark.parametrize(
    "text",
    ["xn--bcher-kva.example", "bücher.example", "BÜCHER.Example", "bu\u0308cher.example", "XN--BCHER-KVA.EXAMPLE",
     "bücher.example.", "bücher\uff0eexample", "bücher\u3002example", "ｂücher\uff61ｅxample", "bü\u00adcher.example"],
)  # fmt: skip
def test_one_domain_has_one_form_however_it_is_written(text):
    assert canonical_domain(text) == "xn--bcher-kva.example"


def test_sharp_s_and_joiners_are_kept_not_mapped_away():
    assert (
        canonical_domain("faß.example") == "xn--fa-hia.example" != canonical_domain("fass.example")
    )
    assert canonical_domain("\u0915\u094d\u200d\u0937.example").startswith("xn--")


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "a..b", "xn--", "xn--a", "xn--0", "xn--bcher-kva-", "xn--bcher-.example", "xn--fa-ß.example",
     "xn---bbk.example", "a\u200db.example", "a\u200c.example", "\u0301a.example", "a\u2024b", "a⒈com", "ａ\uff0f.example",
     "\u05d0a.example", "0a.\u05d0.example", "≠.example", "xn--1ch.example", "a_b.example", "127.0.0.1", "1\u3002\uff12.3", "exa%6dple.org"],
)  # fmt: skip
def test_invalid_domain_is_a_bad_domain(text):
    with pytest.raises(BadDomain):
        canonical_domain(text)


@given(
    st.one_of(
        idna_like,
        punycode_like,
        st.text(),
        st.text(st.characters(categories=["Cs", "Mn", "Cf", "Lo"])),
    )
)
def test_any_text_is_one_stable_a_label_form_or_a_bad_domain(text):
    try:
        domain = canonical_domain(text)
    except BadDomain:
        return

    assert domain.isascii()
    assert domain == domain.lower()
    assert len(domain) <= 253
    assert canonical_domain(domain) == canonical_domain(domain.upper() + ".") == domain
    assert canonical_domain(unicode_domain(domain)) == domain


@given(
    st.from_regex(r"\A[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?\.[a-z]{2,5}\Z").filter(
        lambda d: "--" not in d
    )
)
def test_plain_domains_are_read_like_the_idna_package_reads_them(domain):
    assert canonical_domain(domain) == idna.encode(domain, uts46=True).decode()


@pytest.mark.parametrize(
    ("domain", "shown"),
    [("xn--bcher-kva.example", "bücher.example"), ("example.org", "example.org"), ("xn--a.example", "xn--a.example")],
)  # fmt: skip
def test_pages_show_u_labels_and_leave_broken_ones_alone(domain, shown):
    assert unicode_domain(domain) == shown


@given(st.text(max_size=30))
def test_any_text_is_an_address_or_a_bad_address(text):
    for candidate in (text, f"{text}@example.org", f'"{text}"@example.org', f"ada@{text}"):
        try:
            address = parse_address(candidate)
        except BadAddress:
            continue
        assert parse_address(str(address)) == address
        assert str(address).replace("\u200c", "").replace("\u200d", "").isprintable()


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=20))
def test_every_printable_local_part_survives_quoting(local_part):
    path = join_path(local_part, "example.org")

    assert split_path(path) == (local_part, "example.org")


def test_a_path_is_never_written_with_a_line_break():
    for bad in ("a\rb", "a\nb", "a\x85b", "a\u2028b", "\0"):
        with pytest.raises(BadAddress):
            join_path(bad, "example.org")
