"""A destination that can take no mail is refused when it is saved (E15); DNS trouble stops nobody."""

import dataclasses
import socket
import threading
import time

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from mxax.setting_values import HostPort
from routing import mail_exchangers
from routing.mail_exchangers import configured_questions, domains_without_mail
from routing.models import Destination, Route
from routing.services import add_route
from tenants.context import tenant_schema
from tenants.errors import DestinationRefused
from tests.delivery.dns_zone import Zone, serve

pytestmark = pytest.mark.django_db

WORLD = {
    "takes.example": [("MX", (10, "mx.takes.example"))],
    "null.example": [("MX", (0, ""))],
    "alias.example": [("CNAME", "null.example")],
    "implicit.example": [("A", "192.0.2.7")],
    "implicit6.example": [("AAAA", "2001:db8::7")],
    "empty.example": [("TXT", ["nothing else"])],
    "inside.example": [("MX", (10, "localhost")), ("MX", (20, "127.0.0.1"))],
    "broken.example": ["FAIL"],
    "hosted.example": [("MX", (0, ""))],
}


@pytest.fixture(scope="module")
def running_zone():
    with serve(Zone(WORLD)) as zone:
        yield zone


@pytest.fixture
def zone(running_zone):
    running_zone.asked.clear()
    return running_zone


@pytest.fixture
def env(monkeypatch):
    def change(**fields):
        monkeypatch.setattr(settings, "ENV", dataclasses.replace(settings.ENV, **fields))

    return change


@pytest.fixture
def direct(zone, env):
    env(smarthost=None, dns_servers=(HostPort(*zone.address),))


@pytest.fixture
def by_smarthost(zone, env):
    env(smarthost=HostPort("127.0.0.1", 25), dns_servers=(HostPort(*zone.address),))


@pytest.fixture
def ada(ada):
    ada.has_domain("example.org")
    return ada


def nothing_saved(ada) -> bool:
    with tenant_schema(ada.tenant.pk):
        return not Route.objects.exists() and not Destination.objects.exists()


@pytest.mark.parametrize("domain", ["takes.example", "implicit.example", "implicit6.example"])
def test_a_domain_that_takes_mail_is_saved(ada, direct, domain):
    ada.has_route("hi@example.org", f"friend@{domain}")

    assert not nothing_saved(ada)


@pytest.mark.parametrize(
    ("domain", "word"),
    [
        ("null.example", "null MX"),
        ("alias.example", "null MX"),
        ("missing.example", "is not in the DNS"),
        ("empty.example", "neither MX records nor an address"),
    ],
)
def test_a_domain_that_takes_none_is_refused_and_named(ada, direct, domain, word):
    with pytest.raises(DestinationRefused, match=word) as refusal:
        ada.has_route("hi@example.org", "friend@takes.example", f"friend@{domain}")

    assert f"friend@{domain}" in str(refusal.value)
    assert nothing_saved(ada)


def test_the_command_says_why(ada, direct):
    with pytest.raises(CommandError, match=r"friend@null\.example.*null MX"):
        call_command("route", "add", "ada", "hi@example.org", "friend@null.example")

    assert nothing_saved(ada)


def test_where_its_hosts_are_is_for_delivery_to_judge(ada, direct, zone):
    ada.has_route("hi@example.org", "friend@inside.example")

    assert zone.asked == [("inside.example", "MX")]


def test_a_server_that_fails_stops_nobody(ada, direct):
    started = time.monotonic()

    ada.has_route("hi@example.org", "friend@broken.example")

    assert time.monotonic() - started < 20
    assert not nothing_saved(ada)


def test_a_server_that_is_silent_stops_nobody_for_long(ada, env, monkeypatch):
    assert mail_exchangers.ALL_SECONDS == 3
    monkeypatch.setattr(mail_exchangers, "ALL_SECONDS", 0.6)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        env(smarthost=None, dns_servers=(HostPort(*silent.getsockname()),))
        started = time.monotonic()

        ada.has_route("hi@example.org", *(f"friend@silent{n}.example" for n in range(20)))

    assert time.monotonic() - started < 6, "one after the other: 12 s"
    assert not nothing_saved(ada)


def test_who_waits_for_silent_servers_leaves_threads_to_others(ada, env):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        env(smarthost=None, dns_servers=(HostPort(*silent.getsockname()),))
        questions = configured_questions()
        waiting = [
            threading.Thread(target=domains_without_mail, args=([f"silent{n}.example"], questions))
            for n in range(mail_exchangers.AT_ONCE)
        ]
        for one in waiting:
            one.start()
        for _ in waiting:
            silent.recv(512)  # each has asked
        started = time.monotonic()

        ada.has_route("hi@example.org", "friend@silent.example")

        assert time.monotonic() - started < mail_exchangers.ALL_SECONDS - 0.5
        for one in waiting:
            one.join()
    assert not nothing_saved(ada)


def test_a_machine_without_resolvers_stops_nobody(ada, env, monkeypatch):
    monkeypatch.setattr("dns.resolver.BaseResolver.read_resolv_conf", _no_resolvers)
    env(smarthost=None, dns_servers=())

    ada.has_route("hi@example.org", "friend@null.example")


def _no_resolvers(*args):
    import dns.resolver

    raise dns.resolver.NoResolverConfiguration


def test_a_smarthost_may_know_names_that_the_dns_does_not(ada, by_smarthost):
    ada.has_route("hi@example.org", "friend@missing.example", "friend@empty.example")

    with pytest.raises(DestinationRefused, match="null MX"):
        ada.has_route("ho@example.org", "friend@null.example")


def test_nothing_is_asked_where_no_resolver_was_named(ada, zone, env):
    env(smarthost=HostPort("127.0.0.1", 25), dns_servers=())

    ada.has_route("hi@example.org", "friend@null.example")

    assert configured_questions() is None
    assert zone.asked == []


def test_mail_that_stays_here_needs_no_records(ada, mallory, direct, zone):
    mallory.has_domain("hosted.example")

    ada.has_route("hi@example.org", "friend@hosted.example")

    assert zone.asked == []


def test_a_claim_that_nobody_proved_is_no_way_around(ada, mallory, direct):
    mallory.has_domain("hosted.example", verified=False)

    with pytest.raises(DestinationRefused, match="null MX"):
        ada.has_route("hi@example.org", "friend@hosted.example")


def test_each_domain_is_asked_about_once(ada, direct, zone):
    add_route(
        tenant=ada.tenant,
        address="hi@example.org",
        destinations=["a@takes.example", "b@Takes.Example", "c@takes.example"],
        actor="test",
    )

    assert zone.asked == [("takes.example", "MX")]
