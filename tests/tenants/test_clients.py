"""Who asks over HTTP: the peer, or what a proxy of ours says of him; nobody chooses his own."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest
from django.test import RequestFactory

from tenants.clients import client_ip, network_of

PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.fixture
def ask(settings):
    settings.ENV = replace(settings.ENV, trusted_proxies=PROXIES)

    def asked(peer: str, forwarded_for: str | None = None) -> str | None:
        more = {} if forwarded_for is None else {"HTTP_X_FORWARDED_FOR": forwarded_for}
        return client_ip(RequestFactory().get("/", REMOTE_ADDR=peer, **more))

    return asked


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("192.0.2.7", None, "192.0.2.7"),
        ("192.0.2.7", "198.51.100.1", "192.0.2.7"),  # not one of ours: what it says is nothing
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "203.0.113.9, 198.51.100.1", "198.51.100.1"),  # the first was made up
        ("10.0.0.1", "203.0.113.9, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "127.0.0.1, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "rubbish", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, rubbish", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("fd00::1", "2001:db8::7", "2001:db8::7"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("192.0.2.7", "10.0.0.1", "192.0.2.7"),
        ("", "198.51.100.1", None),
    ],
)
def test_the_client_is_the_last_hop_that_is_not_ours(ask, peer, forwarded_for, client):
    assert ask(peer, forwarded_for) == client


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7/32"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7/32"),
        (None, "unknown"),
        ("", "unknown"),
    ],
)
def test_what_counts_as_one_client(address, network):
    assert network_of(address) == network
