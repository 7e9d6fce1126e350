"""Records are read or refused, whatever octets they are, in time that grows with their length."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from mail.authentication.spf_record import Mechanism, is_spf_record, parse_record
from mail.authentication.values import SpfResult
from mail.errors import BadSpfRecord
from mail.lookups import Answer, MxRecord, Outcome
from tests.mail.authentication.spf_world import MemoryDns, check
from tests.timing import within_cpu


def test_a_record_is_read_into_its_terms():
    record = parse_record(b"v=spf1  mx/24//64 ?a:b.example -ip4:10.0.0.0/8 x=y redirect=c.example ")

    assert [(one.text, one.result, one.mechanism) for one in record.directives] == [
        ("mx/24//64", SpfResult.PASS, Mechanism.MX),
        ("?a:b.example", SpfResult.NEUTRAL, Mechanism.A),
        ("-ip4:10.0.0.0/8", SpfResult.FAIL, Mechanism.IP4),
    ]
    assert record.directives[0].lengths == (24, 64)
    assert record.redirect is not None
    assert record.explanation is None


@pytest.mark.parametrize("octets", [b"v=spf1", b"V=SPF1 -all", b"v=spf1 "])
def test_the_version_makes_an_spf_record(octets):
    assert is_spf_record(octets)


@pytest.mark.parametrize(
    "octets", [b"", b"v=spf", b"v=spf10", b"v=spf1\t-all", b" v=spf1", b"v=spf1,"]
)
def test_anything_else_is_another_text(octets):
    assert not is_spf_record(octets)


@pytest.mark.parametrize("terms", [
    "all:x", "all/8", "all.", "--all", "foo", "foo:bar", ":", "=", "-", "include", "exists", "exists/24",
    "include:", "a:", "a/", "a//", "a/33", "a//129", "a/024", "a/24/64", "a:b.example/x", "a:example",
    "a:b.123", "a:b.-x", "a:b.x-", "ptr/24", "ip4", "ip4:", "ip4:1.2.3", "ip4:1.2.3.4/33", "ip4:1.2.3.4//64",
    "ip4:01.2.3.4", "ip4:1.2.3.4/", "ip6:1.2.3.4", "ip6:fe80::1%eth0", "ip6:::/129", "redirect=", "exp=",
    "exp=a.example exp=a.example", "redirect=a.example REDIRECT=a.example", "x=%", "x=%{", "x=%{d", "x=%{y}",
    "a:%{d0}.example", "a:%{dr1}.example", "a:%{c}.example", "a:%{t}.example", "a:%{r}.example", "a\t",
    "a:\x00.example", "ü", "a:ü.example", "1a=b", f"a:{'x.' * 600}example",
])  # fmt: skip
def test_an_error_anywhere_makes_the_record_none(terms):
    with pytest.raises(BadSpfRecord):
        parse_record(f"v=spf1 +all {terms}".encode())


@pytest.mark.parametrize("terms", [
    "a:foo:bar/baz.example", "a:%{d}/24", "a:b.example.", "a:b.x--y", "a:%%", "x= x= y.z-_=%{c}", "-ALL", "a:b.1x",
    "exists:%{d127}.a-b", "exists:%{d99999999999999999999}", "exists:%{D2R.-+,/_=}.example", "ip6:::1/0", "a/0//0",
    f"x=%{{d{'9' * 5_000}}}",
])  # fmt: skip
def test_odd_but_allowed(terms):
    assert parse_record(f"v=spf1 {terms}".encode())


RECORD_TEXT = some.text(
    some.sampled_from(list("adilmpxsocvhrt%{}:=/.-+~? 0123456789\x00\xff\t"))
    | some.characters(max_codepoint=0xFF)
)


@settings(max_examples=1_000, deadline=None)
@given(some.binary() | RECORD_TEXT.map(lambda text: b"v=spf1 " + text.encode("latin-1", "replace")))
def test_any_octets_are_read_or_refused(octets):
    with contextlib.suppress(BadSpfRecord):
        parse_record(octets)


@settings(max_examples=1_000, deadline=None)
@given(
    record=some.binary()
    | RECORD_TEXT.map(lambda text: ("v=spf1 " + text).encode("latin-1", "replace")),
    text=RECORD_TEXT,
    helo=some.text(),
    local_part=some.text(),
    domain=some.sampled_from(["a.example", "h.example"]) | some.text(),
    client_ip=some.ip_addresses().map(str) | some.text(),
)
def test_any_identity_and_any_record_come_to_a_verdict(
    record, text, helo, local_part, domain, client_ip
):
    names = {
        "a.example": [("TXT", record)],
        "h.example": [("TXT", b"v=spf1 -all exp=%{l}.why.a.example")],
    }
    why = f"{local_part}.why.a.example"
    found = check(
        MemoryDns(names | {why: [("TXT", text)]}),
        helo=helo,
        reverse_path=f"{local_part}@{domain}",
        client_ip=client_ip,
    )

    assert found.reason.isascii()
    assert found.reason.isprintable()
    assert len(found.reason) <= 300
    assert found.explanation.isprintable()
    assert len(found.explanation) <= 400


class Generous:
    """DNS of somebody who wants to keep us busy: one record everywhere, and many of everything."""

    def __init__(self, record: bytes) -> None:
        self.record, self.asked = record, 0

    def _answer(self, *records):
        self.asked += 1
        return Answer(Outcome.FOUND, records)

    async def txt(self, name):
        return self._answer(self.record)

    async def addresses(self, name, family):
        return self._answer(*["198.51.100.7"] * 500)

    async def mx(self, name):
        return self._answer(*[MxRecord(1, f"m{n}.a.example") for n in range(10)])

    async def ptr(self, name):
        return self._answer(*[f"m{n}.a.example" for n in range(500)])


def large(term: str) -> str:
    return term * (64_000 // len(term))


MACROS = "%{l1r-}" * 140


@pytest.mark.parametrize("terms", [
    large("ip4:1.2.3.4 ") + "redirect=a.example", large("ip6:2001:db8::1/64 ") + "include:a.example",
    large("ip4:1.2.3.4 ") + "x", "a" + large("/"), "a:" + large("a-") + ".example", "a:x." + large("a"),
    "a:%{d" + large("9") + "}.example", "a:" + large("%{l}") + ".example", large(f"a:{MACROS}.example "),
    large(f"include:{MACROS}.a.example "), large("x=%{l1r.-+,/_=} "), large("mx "), large("ptr "), large(" "),
    large("include:%{p}.a.example "), large("exists:%{p} "), large("\x00"), large("%{"), large("="),
    "exp=%{d}.example " + "-all",
], ids=lambda terms: terms[:20])  # fmt: skip
@pytest.mark.parametrize("local_part", ["ada", "." * 900, "-." * 450])
def test_a_hostile_record_costs_little(terms, local_part):
    def checked() -> Generous:
        dns = Generous(f"v=spf1 {terms}".encode())
        check(dns, reverse_path=f"{local_part}@a.example")
        return dns

    assert within_cpu(checked, seconds=1).asked <= 150
