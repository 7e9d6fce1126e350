"""What the settings of an installation make of the door."""

from ipaddress import ip_network

import pytest

from mxax.env import Environment, read_environment
from smtp_edge import hygiene
from smtp_edge.limits import Limits
from smtp_edge.shared_counts import OwnCounts
from smtp_edge.verification import NOBODY
from tests.smtp_edge.listening import World


def settings(**given: str) -> Environment:
    """An environment in which little is set."""
    names = {
        "MXAX_TRUSTED_PROXIES": "10.0.0.0/8",
        "MXAX_UNLIMITED_CLIENTS": "192.0.2.0/24",
        "MXAX_CONNECTIONS_PER_MINUTE": "7",
    }
    return read_environment(names | given)


def door(env: Environment, limits: Limits | None = None):
    return hygiene.doorkeeper(
        env,
        limits or Limits(),
        counts=OwnCounts(),
        threads=None,
        reporter=World(),
        verifier=NOBODY,
    )


def test_what_is_set_is_a_limit_and_the_rest_stays():
    limits = hygiene.hygienic(Limits(recipients=11), settings())

    assert (limits.connections_per_minute, limits.recipients) == (7, 11)
    assert limits.messages_per_minute == 3000


def test_proxies_are_those_of_http_unless_smtp_has_its_own():
    assert hygiene.proxies(settings()) == (ip_network("10.0.0.0/8"),)
    assert hygiene.proxies(settings(MXAX_SMTP_PROXIES="none")) == ()


@pytest.mark.parametrize(
    ("ip", "is_unlimited"),
    [("192.0.2.9", True), ("10.1.2.3", True), ("127.0.0.1", False), ("unknown", False)],
)
def test_trusted_networks_and_proxies_are_unlimited(ip, is_unlimited):
    assert door(settings()).visit(ip).is_unlimited is is_unlimited


def test_nobody_is_asked_where_nothing_is_set():
    assert door(settings()).lists is None


def test_lists_are_asked_also_where_nothing_is_verified(monkeypatch):
    monkeypatch.setattr(hygiene, "resolver_from_settings", lambda: object())

    assert door(settings(MXAX_DNSBL="bl.example")).lists
    assert door(settings(), Limits(greeting_seconds=1)).lookup is not None
