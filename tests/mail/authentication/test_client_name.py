"""A client's name is believed where it leads back to the address (RFC 8601, 2.7.3)."""

from __future__ import annotations

import asyncio

import pytest

from mail.authentication.client_name import client_name
from mail.authentication.values import ClientName, ClientNameResult
from tests.mail.authentication.spf_world import FAIL, MemoryDns

REVERSE = "1.2.0.192.in-addr.arpa"
HERE = [("A", "192.0.2.1")]


def name_of(names, client_ip="192.0.2.1"):
    return asyncio.run(client_name(MemoryDns(names), client_ip))


def test_a_name_that_leads_back_is_the_clients():
    found = name_of({REVERSE: [("PTR", "MTA.A.Example.")], "mta.a.example": HERE})

    assert found == ClientName(ClientNameResult.PASS, "mta.a.example")


def test_the_first_name_that_leads_back_is_taken():
    names = [
        ("PTR", "nx.example"),
        ("PTR", "down.example"),
        ("PTR", "b.example"),
        ("PTR", "a.example"),
    ]

    found = name_of({REVERSE: names, "down.example": [FAIL], "a.example": HERE, "b.example": HERE})

    assert found == ClientName(ClientNameResult.PASS, "b.example")


@pytest.mark.parametrize("client_ip", ["2001:db8::1", "2001:0DB8:0::1"])
def test_ipv6_is_asked_for_in_its_own_zone(client_ip):
    reverse = f"1.{'0.' * 23}8.b.d.0.1.0.0.2.ip6.arpa"

    found = name_of(
        {reverse: [("PTR", "a.example")], "a.example": [("AAAA", "2001:DB8:0:0::1")]}, client_ip
    )

    assert found.result is ClientNameResult.PASS


def test_ipv4_inside_ipv6_is_ipv4():
    names = {REVERSE: [("PTR", "a.example")], "a.example": HERE}

    assert name_of(names, "::ffff:192.0.2.1").result is ClientNameResult.PASS


@pytest.mark.parametrize(
    ("names", "result"),
    [
        ({}, ClientNameResult.PERMERROR),
        ({REVERSE: []}, ClientNameResult.PERMERROR),
        ({REVERSE: [FAIL]}, ClientNameResult.TEMPERROR),
        ({REVERSE: [("PTR", "mx.google.example")]}, ClientNameResult.FAIL),
        (
            {REVERSE: [("PTR", "a.example")], "a.example": [("A", "192.0.2.2")]},
            ClientNameResult.FAIL,
        ),
        ({REVERSE: [("PTR", "a.example")], "a.example": [FAIL]}, ClientNameResult.TEMPERROR),
    ],
)
def test_a_name_that_is_not_shown_to_be_the_clients_is_not_told(names, result):
    assert name_of(names) == ClientName(result, "")


@pytest.mark.parametrize("client_ip", ["", "unknown", "1.2.3", "\x00", "::1::"])
def test_what_is_no_address_has_no_name(client_ip):
    assert name_of({}, client_ip).result is ClientNameResult.PERMERROR


def test_ten_names_are_looked_at():
    names = {f"p{n}.example": HERE if n == 10 else [] for n in range(500)}
    dns = MemoryDns(names | {REVERSE: [("PTR", name) for name in names]})

    found = asyncio.run(client_name(dns, "192.0.2.1"))

    assert found.result is ClientNameResult.FAIL
    assert len(dns.asked) == 11
