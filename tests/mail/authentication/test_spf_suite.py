"""SPF over real DNS: the openspf suite of RFC 7208, and servers that are down, slow, huge or mad."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from delivery.lookups import Limits, Resolver
from mail.authentication.spf_check import check_identity
from mail.authentication.values import SpfResult
from tests.delivery.dns_zone import Zone, serve
from tests.mail.authentication.spf_world import NOW
from tests.timing import within_cpu

SUITE = Path(__file__).parents[2] / "fixtures" / "spf" / "rfc7208-tests.json"
SCENARIOS = json.loads(SUITE.read_text())
USUAL = Limits()
QUICK = Limits(seconds_per_lookup=0.5, seconds_per_try=0.2)


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


def ask(zone, limits=USUAL, **identity):
    asked = {"client_ip": "192.0.2.1", "helo": "h.example", "reverse_path": "ada@a.example"}
    lookup = Resolver([zone.address], limits=limits)
    return check_identity(lookup, now=NOW, **(asked | identity))


def check(zone, limits=USUAL, **identity):
    async def one():
        return await ask(zone, limits, **identity)

    return asyncio.run(one())


async def run_scenario(zone, tests):
    lookup = Resolver([zone.address])
    return {
        name: await check_identity(
            lookup,
            client_ip=test["host"],
            helo=test["helo"],
            reverse_path=test["mailfrom"],
            now=NOW,
        )
        for name, test in tests.items()
    }


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
        result, explanation = found[name].result.value, found[name].explanation or "DEFAULT"
        if result not in expected or test.get("explanation", explanation) != explanation:
            wrong[name] = (found[name], expected, test.get("explanation"))
    assert wrong == {}


def test_every_verdict_of_the_suite_has_a_reason():
    reasons = []
    for scenario in SCENARIOS:
        with serve(zone_of(scenario["zonedata"])) as zone:
            found = asyncio.run(run_scenario(zone, scenario["tests"]))
        reasons += [check.reason for check in found.values()]

    assert len(reasons) == 203
    assert all(reason.isascii() and reason.isprintable() and reason for reason in reasons)


def test_a_server_that_fails_is_a_temporary_error():
    with serve(Zone({"a.example": ["FAIL"]})) as zone:
        found = check(zone)

    assert found.result is SpfResult.TEMPERROR
    assert found.reason == "DNS does not answer for the record of a.example"


def test_a_server_that_is_away_is_a_temporary_error_within_the_time_of_a_lookup():
    zone = Zone({})
    zone.address = ("127.0.0.1", 9)

    began = time.monotonic()
    found = check(zone, QUICK)

    assert found.result is SpfResult.TEMPERROR
    assert time.monotonic() - began < 8


def test_a_loop_of_cnames_is_a_temporary_error():
    zone = Zone({"a.example": [("CNAME", "b.example")], "b.example": [("CNAME", "a.example")]})
    with serve(zone):
        found = check(zone, QUICK)

    assert found.result is SpfResult.TEMPERROR


def test_a_cname_leads_to_the_record():
    zone = Zone({"a.example": [("CNAME", "b.example")], "b.example": [("TXT", "v=spf1 +all")]})
    with serve(zone):
        assert check(zone).result is SpfResult.PASS


def long_record(octets: int) -> list[str]:
    """A record that passes by its last network, in strings."""
    filler = "".join(f"ip4:10.{n // 250}.{n % 250}.0/24 " for n in range(3600))
    text = f"v=spf1 {filler[:octets].rpartition(' ')[0]} ip4:192.0.2.1 -all"
    return [text[at : at + 255] for at in range(0, len(text), 255)]


def test_a_record_as_large_as_our_resolver_reads_is_read_whole():
    with serve(Zone({"a.example": [("TXT", long_record(16_000))]})) as zone:
        found = check(zone)

    assert found.result is SpfResult.PASS


def test_a_larger_one_costs_next_to_nothing():
    with serve(Zone({"a.example": [("TXT", long_record(64_000))]})) as zone:
        found = within_cpu(lambda: check(zone), seconds=1)

    assert found.result is SpfResult.TEMPERROR


def test_five_large_records_are_more_than_one_evaluation_reads():
    text = "v=spf1 " + "ip4:10.1.1.0/24 " * 990
    strings = [text[at : at + 255] for at in range(0, len(text), 255)]
    names = {
        f"a{number}.example": [("TXT", [*strings, f" include:a{number + 1}.example -all"])]
        for number in range(5)
    }
    names["a.example"] = [("TXT", "v=spf1 include:a0.example -all")]

    with serve(Zone(names)) as zone:
        found = check(zone)

    assert found.result is SpfResult.PERMERROR
    assert "70000 octets" in found.reason


class Deaf:
    """DNS that never answers."""

    async def _never(self, *_):
        await asyncio.sleep(3600)

    mx = txt = ptr = addresses = _never


def test_a_thousand_checks_of_a_dead_resolver_do_not_hold_up_a_healthy_one():
    zone = Zone({"a.example": [("TXT", "v=spf1 ip4:192.0.2.1 -all")]})

    async def beside_the_dead():
        waiting = [
            asyncio.create_task(
                check_identity(
                    Deaf(),
                    client_ip="192.0.2.1",
                    helo="h.example",
                    reverse_path=f"ada@a{n}.example",
                    now=NOW,
                )
            )
            for n in range(1_000)
        ]
        await asyncio.sleep(0)
        began = time.monotonic()
        found = await ask(zone)
        spent = time.monotonic() - began
        for task in waiting:
            task.cancel()
        return found, spent, await asyncio.gather(*waiting, return_exceptions=True)

    with serve(zone):
        found, spent, ended = asyncio.run(beside_the_dead())

    assert found.result is SpfResult.PASS
    assert spent < 10
    assert all(isinstance(one, asyncio.CancelledError) for one in ended)


def test_the_time_is_the_callers_to_limit():
    async def limited():
        async with asyncio.timeout(0.1):
            await check_identity(
                Deaf(),
                client_ip="192.0.2.1",
                helo="h.example",
                reverse_path="ada@a.example",
                now=NOW,
            )

    with pytest.raises(TimeoutError):
        asyncio.run(limited())
