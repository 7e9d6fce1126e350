"""The doctor sees what is wrong, and says what to do."""

import dataclasses
import json
import socket
import threading

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection

from delivery.models import WorkerHeartbeat
from mxax.env import HostPort
from ops.doctor import database, machine, network
from ops.doctor.finding import Health
from ops.management.commands.doctor import examine
from tenants.clock import database_now
from tenants.keys import ensure_service_keys
from tenants.models import PlatformAuditEntry, Tenant
from tenants.vault import vault
from tests.delivery.dns_zone import Zone, serve

pytestmark = pytest.mark.django_db


@pytest.fixture
def env(monkeypatch):
    def change(**fields):
        monkeypatch.setattr(settings, "ENV", dataclasses.replace(settings.ENV, **fields))

    return change


def test_a_sound_database_has_no_errors(ada):
    ensure_service_keys()

    findings = list(database.database_findings())

    assert {f.what for f in findings if f.health is not Health.OK} == set()
    assert {"database", "durability", "migrations", "data key", "signing keys", "audit"} <= {
        f.what for f in findings
    }


def test_commits_that_do_not_wait_for_the_disk_are_an_error():
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit = off")

    found = database.check_durability()

    assert found.health is Health.ERROR
    assert "synchronous_commit = off" in found.seen


def test_a_schema_that_is_behind_is_named(ada):
    assert database.check_migrations().health is Health.OK
    with connection.cursor() as cursor:
        cursor.execute(
            f"DELETE FROM {ada.tenant.schema_name}.django_migrations WHERE app = 'routing'"
        )

    found = database.check_migrations()

    assert found.health is Health.ERROR
    assert ada.tenant.schema_name in found.seen


def test_a_tenant_without_a_schema_is_behind():
    Tenant.objects.bulk_create([Tenant(slug="ghost", schema_name="t999999")])

    assert "t999999" in database.check_migrations().seen


def test_another_data_key_is_an_error(env):
    env(data_keys=(b"another key of thirty-two octets",))
    vault.cache_clear()

    try:
        assert database.check_data_key().health is Health.ERROR
    finally:
        vault.cache_clear()


def test_application_only_isolation_is_said(env):
    env(database_roles=False)

    (found,) = database.check_isolation()

    assert (found.health, found.seen) == (Health.WARNING, "isolation: application only")


def test_an_edited_audit_is_an_error(ada):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE tenants_platformauditentry SET subject = 'other'")

    assert database.check_audit().health is Health.ERROR
    assert PlatformAuditEntry.objects.exists()


def test_workers_are_alive_for_fifteen_seconds():
    assert machine.check_workers().health is Health.ERROR

    WorkerHeartbeat.objects.create(name="one", at=database_now())

    assert machine.check_workers().health is Health.OK


def test_a_clock_that_is_off_is_noticed(monkeypatch):
    assert machine.check_clock().health is Health.OK
    real = machine.time.time

    monkeypatch.setattr(machine.time, "time", lambda: real() + 3600)

    assert machine.check_clock().health is Health.ERROR


def test_a_domain_above_our_names_asks_for_strict_alignment(ada, env):
    env(service_domain="mail.friends.example", forward_domain="fwd.friends.example")
    ada.has_domain("friends.example")

    (found,) = [f for f in machine.check_names() if f.what == "alignment"]

    assert "adkim=s; aspf=s" in found.cure


def test_the_catcher_is_said(env):
    env(smarthost=settings.ENV.catcher_listen)
    assert network.check_smarthost().health is Health.WARNING


@pytest.mark.parametrize(
    ("names", "seen"),
    [
        ({"mx.ours.example": [("A", "192.0.2.1")]}, "the reverse name of 192.0.2.1 is nothing"),
        ({}, "has no address in DNS"),
        (
            {"mx.ours.example": [("A", "192.0.2.1")],
             "1.2.0.192.in-addr.arpa": [("PTR", "dsl-7.provider.example")]},
            "is dsl-7.provider.example, not mx.ours.example",
        ),
        (
            {"mx.ours.example": [("A", "192.0.2.1")],
             "1.2.0.192.in-addr.arpa": [("PTR", "mx.ours.example")]},
            "name each other",
        ),
    ],
)  # fmt: skip
def test_direct_delivery_wants_names_that_lead_back(env, names, seen):
    with serve(Zone(names)) as zone:
        env(
            smarthost=None,
            service_domain="mx.ours.example",
            dns_servers=(HostPort(*zone.address),),
            allow_private_next_hops=False,
        )

        found = network.check_smarthost()

    assert seen in found.seen
    assert found.health is (Health.OK if "each other" in seen else Health.WARNING)


def test_direct_delivery_into_private_networks_is_warned_of(env):
    env(smarthost=None, allow_private_next_hops=True)

    assert "MXAX_ALLOW_PRIVATE_NEXT_HOPS" in network.check_smarthost().cure


@pytest.mark.parametrize(
    ("greeting", "health"),
    [(b"220 mx ready\r\n", Health.OK), (b"554 no\r\n", Health.ERROR), (b"", Health.ERROR)],
)
def test_the_edge_must_greet(env, greeting, health):
    with socket.create_server(("127.0.0.1", 0)) as server:
        env(mx_listen=HostPort("127.0.0.1", server.getsockname()[1]))
        thread = threading.Thread(target=answer_once, args=(server, greeting))
        thread.start()

        found = network.check_edge()

        thread.join(5)
    assert found.health is health


def answer_once(server: socket.socket, greeting: bytes) -> None:
    client, _ = server.accept()
    with client:
        client.sendall(greeting)


def test_nothing_running_is_a_report_and_not_a_traceback(env, capsys, monkeypatch):
    def away() -> None:
        raise OperationalError("connection refused\nIs the server running?")

    monkeypatch.setattr(connection, "ensure_connection", away)
    nowhere = HostPort("127.0.0.1", 1)
    env(mx_listen=nowhere, celery_broker_url="redis://127.0.0.1:1/0", dns_servers=(nowhere,))
    monkeypatch.setattr("routing.resolver.LOOK_UP_SECONDS", 1.0)

    with pytest.raises(CommandError, match=r"lines are errors"):
        call_command("doctor", "--json")

    rows = json.loads(capsys.readouterr().out)
    errors = {row["what"] for row in rows if row["health"] == "error"}
    assert {"database", "broker", "edge"} <= errors
    assert all(row["cure"] for row in rows if row["health"] != "ok")
    assert "\n" not in "".join(row["seen"] for row in rows)


def test_every_line_that_is_not_ok_has_a_cure(env, monkeypatch):
    monkeypatch.setattr("routing.resolver.LOOK_UP_SECONDS", 1.0)
    env(dns_servers=(HostPort("127.0.0.1", 1),), mx_listen=HostPort("127.0.0.1", 1))

    assert all(found.cure for found in examine() if found.health is not Health.OK)
