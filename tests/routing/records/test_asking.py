"""Real questions to real servers on the loopback: who knows, who is old, who is silent."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest
from dnslib import MX, TXT

from routing.records import asking
from routing.records.asking import DnsAsker
from routing.records.values import Outcome, Question
from routing.resolver import Server, TxtResolver
from tests.routing.zone import Zone, served

NAME = "acme.example"
MAIL = Question(NAME, "MX")
TEXT = Question(f"_dmarc.{NAME}", "TXT")


@pytest.fixture(scope="module")
def running():
    with served(Zone()) as own, served(Zone()) as cache:
        yield own, cache


@pytest.fixture
def zone(running):
    """The zone's own server."""
    running[0].clear()
    return running[0]


@pytest.fixture
def cache(running):
    """A resolver that says what it remembers."""
    running[1].clear()
    return running[1]


def ask(*questions, zone, cache, **more):
    sources = TxtResolver(
        servers=(Server("127.0.0.1", cache.port),),
        **{"authoritative_port": zone.port, "private_servers": True, **more},
    )
    return asyncio.run(DnsAsker(sources).ask(questions))


def test_the_zones_server_and_a_resolver_are_heard_apart(zone, cache):
    zone.records[(f"{NAME}.", "MX")] = [MX("mx.new.example", 10), MX("Mx.Other.example", 20)]
    cache.records[(f"{NAME}.", "MX")] = [MX("mx.old.example", 5)]

    seen = ask(MAIL, zone=zone, cache=cache)[MAIL]

    assert [answer.values for answer in seen.authoritative] == [
        ("10 mx.new.example", "20 mx.other.example")
    ]
    assert seen.resolver.values == ("5 mx.old.example",)
    assert (f"{NAME}.", "MX", False) in zone.asked
    assert (f"{NAME}.", "MX", True) in cache.asked


def test_a_long_text_comes_whole_over_tcp(zone, cache):
    long = "v=DMARC1; p=none; rua=" + ",".join(f"mailto:a{n}@b.example" for n in range(150))
    zone.publish(TEXT.name, long)
    cache.publish(TEXT.name, long)

    seen = ask(TEXT, zone=zone, cache=cache)[TEXT]

    assert seen.authoritative[0].values == (long,)
    assert seen.resolver.values == (long,)


def test_null_mx_and_aliases(zone, cache):
    cache.records[(f"{NAME}.", "MX")] = [MX(".", 0)]
    zone.publish_cname(TEXT.name, "elsewhere.example")
    zone.records[("elsewhere.example.", "TXT")] = [TXT(b"v=DMARC1; p=none")]

    seen = ask(MAIL, TEXT, zone=zone, cache=cache)

    assert seen[MAIL].resolver.values == ("0 .",)
    assert seen[TEXT].authoritative[0].alias == "elsewhere.example"
    assert seen[TEXT].authoritative[0].values == ("v=DMARC1; p=none",)


def test_nothing_there_and_trouble_are_two_things(zone, cache):
    zone.publish(NAME, "x")
    zone.fails.add(f"{TEXT.name}.")
    cache.fails.add(f"{TEXT.name}.")

    seen = ask(MAIL, TEXT, Question("nothing.acme.example", "TXT"), zone=zone, cache=cache)

    assert seen[MAIL].authoritative[0].outcome is Outcome.NO_DATA
    assert seen[TEXT].resolver.detail == "the name server could not find out (SERVFAIL)"
    assert not any(answer.is_known for answer in seen[TEXT].authoritative)
    (nothing,) = [s for q, s in seen.items() if q.name.startswith("nothing")]
    assert nothing.resolver.outcome is Outcome.NXDOMAIN


def test_a_zone_may_not_send_us_into_our_own_network(zone, cache):
    seen = ask(MAIL, zone=zone, cache=cache, private_servers=False)[MAIL]

    assert seen.authoritative == ()
    assert zone.asked == []


@pytest.fixture
def hasty(monkeypatch):
    """The bounds of a look a tenth as wide."""
    assert asking.QUERY_SECONDS < asking.LOOK_SECONDS < 5
    for bound in ("QUERY_SECONDS", "LOOK_SECONDS"):
        monkeypatch.setattr(asking, bound, getattr(asking, bound) / 10)


def test_silence_is_bounded_and_hides_nothing_else(zone, cache, hasty):
    with socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        cache.records[(f"{NAME}.", "MX")] = [MX("mxax.test", 10)]
        began = time.monotonic()

        seen = ask(
            *(MAIL, TEXT, *(Question(f"n{n}.{NAME}", "TXT") for n in range(8))),
            zone=zone,
            cache=cache,
            authoritative_port=silent.getsockname()[1],
        )

    assert time.monotonic() - began < 5
    assert seen[MAIL].resolver.values == ("10 mxax.test",)
    assert {one.outcome for one in seen[MAIL].authoritative} == {Outcome.UNKNOWN}


def test_with_nobody_to_ask_all_is_unknown_within_five_seconds(zone, hasty):
    with socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        gone = type("Gone", (), {"port": silent.getsockname()[1]})
        began = time.monotonic()

        seen = ask(MAIL, TEXT, zone=zone, cache=gone)

    assert time.monotonic() - began < 5
    heard = [one for look in seen.values() for one in (*look.authoritative, look.resolver)]
    assert {one.outcome for one in heard} == {Outcome.UNKNOWN}


def test_a_name_too_long_for_the_dns_is_no_crash(zone, cache):
    long = Question("selector._domainkey." + ".".join(["a" * 60] * 4), "TXT")

    seen = ask(long, MAIL, zone=zone, cache=cache)

    assert "too long" in seen[long].resolver.detail
    assert seen[MAIL].resolver.is_known
