"""SPF as RFC 7208 has it: the openspf suite through our wrapper, our resolver and a real DNS server."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from delivery.lookups import Answer, Limits, Outcome, Resolver
from delivery.spf import SpfChecker, SpfResult
from tests.delivery.dns_zone import Zone, serve

SUITE = Path(__file__).parents[1] / "fixtures" / "spf" / "rfc7208-tests.json"
SCENARIOS = json.loads(SUITE.read_text())


def zone_of(data):
    """The suite's zone: SPF records are TXT unless TXT is given, TIMEOUT makes the server fail."""
    return Zone({name: list(_records(records)) for name, records in data.items()})


def _records(records):
    pairs = [pair for record in records if record != "TIMEOUT" for pair in record.items()]
    if "TIMEOUT" in records:
        yield "FAIL"
    has_txt = any(kind == "TXT" for kind, _ in pairs)
    for kind, value in pairs:
        if value == "TIMEOUT":
            yield "FAIL"
        elif kind == "SPF":
            if not has_txt:
                yield ("TXT", value or [""])  # no string at all cannot be sent by DNS
        elif value != "NONE":
            yield (kind, value)


async def check(zone, **identity):
    checker = SpfChecker(Resolver([zone.address]))
    try:
        return await checker.check_identity(**identity)
    finally:
        checker.close()


async def run_scenario(zone, tests):
    checker = SpfChecker(Resolver([zone.address]))
    try:
        return {
            name: await checker.check_identity(
                client_ip=test["host"],
                helo=test["helo"],
                reverse_path=test["mailfrom"],
                default_explanation="DEFAULT",
            )
            for name, test in tests.items()
        }
    finally:
        checker.close()


def test_the_suite_is_whole():
    assert sum(len(scenario["tests"]) for scenario in SCENARIOS) == 203


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario["description"])
def test_the_openspf_suite_passes(scenario):
    tests = scenario["tests"]

    with serve(zone_of(scenario["zonedata"])) as zone:
        found = asyncio.run(run_scenario(zone, tests))

    wrong = {}
    for name, test in tests.items():
        expected = test["result"] if isinstance(test["result"], list) else [test["result"]]
        result, explanation = found[name].result.value, found[name].explanation
        if result not in expected or test.get("explanation", explanation) != explanation:
            wrong[name] = (found[name], expected, test.get("explanation"))
    assert wrong == {}


def including(count):
    names = {f"s{n}.example": [("TXT", "v=spf1 ?all")] for n in range(count)}
    record = " ".join(f"include:{name}" for name in names)
    return Zone({"a.example": [("TXT", f"v=spf1 {record} +all")], **names})


@pytest.mark.parametrize(("count", "result"), [(10, SpfResult.PASS), (11, SpfResult.PERMERROR)])
def test_ten_lookups_are_allowed(count, result):
    with serve(including(count)) as zone:
        found = asyncio.run(
            check(zone, client_ip="192.0.2.1", helo="h.example", reverse_path="ada@a.example")
        )

    assert found.result is result


@pytest.mark.parametrize(("count", "result"), [(2, SpfResult.PASS), (3, SpfResult.PERMERROR)])
def test_two_void_lookups_are_allowed(count, result):
    record = " ".join(f"a:void{n}.example" for n in range(count))
    with serve(Zone({"a.example": [("TXT", f"v=spf1 {record} +all")]})) as zone:
        found = asyncio.run(
            check(zone, client_ip="192.0.2.1", helo="h.example", reverse_path="ada@a.example")
        )

    assert found.result is result


def test_eleven_mx_are_an_error():
    hosts = [("MX", (10, f"mx{n}.example")) for n in range(11)]
    with serve(Zone({"a.example": [("TXT", "v=spf1 mx +all"), *hosts]})) as zone:
        found = asyncio.run(
            check(zone, client_ip="192.0.2.1", helo="h.example", reverse_path="ada@a.example")
        )

    assert found.result is SpfResult.PERMERROR


def test_of_eleven_ptr_names_ten_are_looked_at():
    names = [("PTR", f"p{n}.b.example") for n in range(11)]
    zone = Zone({"a.example": [("TXT", "v=spf1 ptr -all")], "1.2.0.192.in-addr.arpa": names})
    with serve(zone):
        found = asyncio.run(
            check(zone, client_ip="192.0.2.1", helo="h.example", reverse_path="ada@a.example")
        )

    assert found.result in (SpfResult.FAIL, SpfResult.PERMERROR)
    assert len({name for name, kind in zone.asked if kind == "A"}) <= 10


def test_an_include_loop_is_an_error():
    zone = Zone({
        "a.example": [("TXT", "v=spf1 include:b.example -all")],
        "b.example": [("TXT", "v=spf1 include:a.example -all")],
    })  # fmt: skip
    with serve(zone):
        found = asyncio.run(
            check(zone, client_ip="192.0.2.1", helo="h.example", reverse_path="ada@a.example")
        )

    assert found.result is SpfResult.PERMERROR


def test_a_long_record_in_many_strings_is_read_whole():
    filler = [f"ip4:10.{n // 250}.{n % 250}.0/24 " for n in range(400)]
    strings = ["v=spf1 ", *filler, "ip4:192.0.2.1 -all"]
    with serve(Zone({"a.example": [("TXT", strings)]})) as zone:
        found = asyncio.run(
            check(zone, client_ip="192.0.2.1", helo="h.example", reverse_path="ada@a.example")
        )

    assert found.result is SpfResult.PASS


def test_two_records_are_an_error():
    with serve(Zone({"a.example": [("TXT", "v=spf1 +all"), ("TXT", "v=spf1 -all")]})) as zone:
        found = asyncio.run(
            check(zone, client_ip="192.0.2.1", helo="h.example", reverse_path="ada@a.example")
        )

    assert found.result is SpfResult.PERMERROR


def test_both_identities_are_checked_and_only_the_reverse_path_counts():
    zone = Zone({"h.example": [("TXT", "v=spf1 -all")], "a.example": [("TXT", "v=spf1 +all")]})

    async def verdict():
        checker = SpfChecker(Resolver([zone.address]))
        try:
            return await checker.check(
                client_ip="192.0.2.1", helo="h.example", reverse_path="ada@a.example"
            )
        finally:
            checker.close()

    with serve(zone):
        found = asyncio.run(verdict())

    assert (found.helo.result, found.mail_from.result, found.passed) == (
        SpfResult.FAIL,
        SpfResult.PASS,
        True,
    )


@pytest.mark.parametrize(
    "helo", ["[192.0.2.1]", "", "localhost", "münchen.example", "-" * 300, "a..b"]
)
def test_a_strange_helo_has_no_policy(helo):
    with serve(Zone({})) as zone:
        found = asyncio.run(check(zone, client_ip="192.0.2.1", helo=helo, reverse_path=""))

    assert found.result is SpfResult.NONE


class SilentLookup:
    """DNS that never answers."""

    async def _never(self, *_):
        await asyncio.sleep(3600)

    mx = txt = ptr = addresses = _never


def test_silence_is_a_temporary_error_and_nothing_waits_longer_than_allowed():
    async def many():
        checker = SpfChecker(SilentLookup(), max_seconds=0.5)
        try:
            return await asyncio.gather(*(
                checker.check_identity(client_ip="192.0.2.1", helo="h.example", reverse_path=f"ada@a{n}.example")
                for n in range(60)
            ))  # fmt: skip
        finally:
            checker.close()

    started = time.monotonic()
    found = asyncio.run(many())

    assert {check.result for check in found} == {SpfResult.TEMPERROR}
    assert time.monotonic() - started < 3


class BrokenLookup:
    """DNS that is down."""

    async def _fail(self, *_):
        return Answer(Outcome.FAILURE)

    mx = txt = ptr = addresses = _fail


def test_a_dead_resolver_is_a_temporary_error():
    async def one():
        checker = SpfChecker(BrokenLookup())
        try:
            return await checker.check(
                client_ip="192.0.2.1", helo="h.example", reverse_path="ada@a.example"
            )
        finally:
            checker.close()

    assert asyncio.run(one()).mail_from.result is SpfResult.TEMPERROR


def test_a_lookup_that_is_too_slow_fails_within_its_limit():
    async def one():
        resolver = Resolver(
            [("127.0.0.1", 9)], limits=Limits(seconds_per_lookup=0.5, seconds_per_try=0.2)
        )
        return await resolver.txt("a.example")

    started = time.monotonic()
    answer = asyncio.run(one())

    assert answer.failed
    assert time.monotonic() - started < 2
