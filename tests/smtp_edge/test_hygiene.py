"""What the settings of an installation make of the door."""

from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

import pytest

from mail.dns_lists import parse_list_zones
from smtp_edge import hygiene
from smtp_edge.limits import Limits
from smtp_edge.shared_counts import OwnCounts
from smtp_edge.verification import NOBODY
from tests.smtp_edge.listening import World


@dataclass
class Settings:
    """An environment in which little is set."""

    trusted_proxies: tuple[Any, ...] = (ip_network("10.0.0.0/8"),)
    smtp_proxies: tuple[Any, ...] | None = None
    connections_per_minute: int = 7
    unlimited_clients: tuple[Any, ...] = (ip_network("192.0.2.0/24"),)
    dns_block_lists: tuple[Any, ...] = field(default_factory=tuple)


def door(env: Settings, limits: Limits | None = None):
    return hygiene.doorkeeper(
        env,
        limits or Limits(),
        counts=OwnCounts(),
        threads=None,
        reporter=World(),
        verifier=NOBODY,
    )


def test_what_is_set_is_a_limit_and_the_rest_stays():
    limits = hygiene.hygienic(Limits(messages_per_minute=11), Settings())

    assert (limits.connections_per_minute, limits.messages_per_minute) == (7, 11)


def test_proxies_are_those_of_http_unless_smtp_has_its_own():
    assert hygiene.proxies(Settings()) == (ip_network("10.0.0.0/8"),)
    assert hygiene.proxies(Settings(smtp_proxies=())) == ()


@pytest.mark.parametrize(
    ("ip", "is_unlimited"),
    [("192.0.2.9", True), ("10.1.2.3", True), ("127.0.0.1", False), ("unknown", False)],
)
def test_trusted_networks_and_proxies_are_unlimited(ip, is_unlimited):
    assert door(Settings()).visit(ip).is_unlimited is is_unlimited


def test_nobody_is_asked_where_nothing_is_set():
    assert door(Settings()).lists is None


def test_lists_are_asked_also_where_nothing_is_verified(monkeypatch):
    monkeypatch.setattr(hygiene, "resolver_from_settings", lambda: object())

    assert door(Settings(dns_block_lists=parse_list_zones("bl.example"))).lists
    assert door(Settings(), Limits(greeting_seconds=1)).lookup is not None
