"""Who asks over HTTP: the peer, or what a proxy of ours says of him; nobody chooses his own."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest
from django.test import RequestFactory

from panel.middleware import scheme_of_trusted_proxies
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
        ("fe80::1%eth0", None, "fe80::1"),
        ("fd00::1%2", "fe80::7%eth1", "fe80::7"),
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
        ("fe80::1%eth0", "fe80::/64"),
        ("%eth0", "unknown"),
        (None, "unknown"),
        ("", "unknown"),
    ],
)
def test_what_counts_as_one_client(address, network):
    assert network_of(address) == network


@pytest.mark.parametrize(
    ("peer", "is_secure"),
    [("127.0.0.1", True), ("::1", True), ("10.1.2.3", True), ("203.0.113.9", False)],
)
def test_only_a_proxy_of_ours_says_that_a_client_came_by_https(settings, peer, is_secure):
    settings.ENV = replace(settings.ENV, trusted_proxies=PROXIES)
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    seen: list[bool] = []
    ask = scheme_of_trusted_proxies(lambda request: seen.append(request.is_secure()))

    ask(RequestFactory().get("/", REMOTE_ADDR=peer, HTTP_X_FORWARDED_PROTO="https"))

    assert seen == [is_secure]
