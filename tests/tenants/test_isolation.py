"""Tenants are kept apart by the database: which tables are shared, who may touch what."""

from __future__ import annotations

import threading
import uuid
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.apps import apps
from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError, close_old_connections, connection, transaction
from django.utils import timezone
from django_tenants.utils import schema_context

from delivery.models import Delivery, Message
from routing.models import Domain
from tenants import isolation
from tenants.models import SupportGrant, Tenant, User

pytestmark = [pytest.mark.django_db, pytest.mark.real_schemas]


@contextmanager
def acting_as(role: str, *, tenant_id: int | None = None, staff_id: int | None = None):
    """This transaction in another role, with what travels in our variables."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL ROLE {role}")
        cursor.execute(f"SET LOCAL mxax.tenant_id = '{tenant_id or ''}'")
        cursor.execute(f"SET LOCAL mxax.staff_id = '{staff_id or ''}'")
        yield cursor
        transaction.set_rollback(True)


def queued_message(tenant_id: int) -> Message:
    message = Message.objects.create(
        id=uuid.uuid4(),
        tenant_id=tenant_id,
        direction="forward",
        client_ip="192.0.2.1",
        helo="author.example",
        protocol="ESMTP",
        size_octets=1,
        header_octets=1,
        chunk_count=1,
        smtputf8=False,
        eight_bit=False,
        log_level=3,
    )
    Delivery.objects.create(
        message=message, tenant_id=tenant_id, recipient="hi@x.example", destination="a@y.example"
    )
    return message


def test_only_listed_tables_are_shared():
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        found = {name for (name,) in cursor}

    assert found == set(isolation.PUBLIC_GRANTS)


def test_only_listed_tables_are_in_a_tenant(ada):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = %s", [ada.tenant.schema_name]
        )
        found = {name for (name,) in cursor}

    assert found == set(isolation.TENANT_GRANTS)


def test_no_tenant_table_has_a_key_to_a_shared_one():
    shared = {app.split(".")[-1] for app in settings.SHARED_APPS}

    for app in settings.TENANT_APPS:
        for model in apps.get_app_config(app.split(".")[-1]).get_models():
            for field in model._meta.get_fields():
                if field.is_relation and field.many_to_one:
                    assert field.related_model._meta.app_label not in shared, field


def test_privileges_are_those_stated(ada):
    schema = ada.tenant.schema_name
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_schema, table_name, grantee, array_agg(privilege_type::text)"
            " FROM information_schema.role_table_grants WHERE table_schema IN ('public', %s)"
            " AND grantee <> 'mxax_owner' GROUP BY 1, 2, 3",
            [schema],
        )
        found = {(s, table, role): set(kinds) for s, table, role, kinds in cursor}

    stated = {
        (where, table, role): set(kinds.split(", "))
        for where, tables in (
            ("public", isolation.PUBLIC_GRANTS),
            (schema, isolation.TENANT_GRANTS),
        )
        for table, roles in tables.items()
        for role, kinds in roles.items()
        if "(" not in kinds
    }
    assert found == stated


def test_edge_and_worker_never_see_a_password_hash(ada):
    for role in ("mxax_edge", "mxax_worker"):
        with acting_as(role) as cursor:
            cursor.execute("SELECT email FROM tenants_user")
        with pytest.raises(DatabaseError, match="permission denied"), acting_as(role) as cursor:
            cursor.execute("SELECT password FROM tenants_user")


def test_no_role_passes_row_level_security_and_every_guard_is_forced():
    assert isolation.faults() == []


def test_doctor_hears_of_a_table_without_forced_security():
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE delivery_message NO FORCE ROW LEVEL SECURITY")

        (fault,) = isolation.faults()

        transaction.set_rollback(True)
    assert "delivery_message" in fault.what


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM tenants_servicekey LIMIT 1; DELETE FROM tenants_servicekey",
        "UPDATE tenants_user SET is_staff = true",
        "SELECT * FROM django_session",
        "SELECT * FROM otp_totp_totpdevice",
        "UPDATE {schema}.routing_route SET mode = 'drop'",
        "SELECT * FROM {schema}.routing_auditentry",
        "SELECT * FROM {schema}.messagelog_loggedevent",
        "SELECT * FROM {schema}.routing_dkimkey",
        "DROP SCHEMA {schema} CASCADE",
    ],
)
def test_the_edge_is_denied_what_it_does_not_need(ada, statement):
    with pytest.raises(DatabaseError, match=r"permission denied|must be owner"):
        with acting_as("mxax_edge") as cursor:
            cursor.execute(statement.format(schema=ada.tenant.schema_name))


@pytest.mark.parametrize("role", ["mxax_web", "mxax_support", "mxax_worker"])
@pytest.mark.parametrize("verb", ["UPDATE {t} SET action = 'x'", "DELETE FROM {t}"])
def test_an_audit_can_only_grow(ada, role, verb):
    for table in ("tenants_platformauditentry", f"{ada.tenant.schema_name}.routing_auditentry"):
        with pytest.raises(DatabaseError, match="permission denied"):
            with acting_as(role) as cursor:
                cursor.execute(verb.format(t=table))


def test_the_panel_sees_only_the_queue_of_the_tenant_it_opened(ada, mallory):
    queued_message(ada.tenant.id)
    queued_message(mallory.tenant.id)

    with acting_as("mxax_web", tenant_id=ada.tenant.id) as cursor:
        cursor.execute("SELECT DISTINCT tenant_id FROM delivery_message")
        seen = [row for (row,) in cursor]
    with acting_as("mxax_web") as cursor:
        cursor.execute("SELECT count(*) FROM delivery_message")
        without_tenant = cursor.fetchone()[0]

    assert seen == [ada.tenant.id]
    assert without_tenant == 0


def test_the_panel_cannot_write_for_another_tenant(ada, mallory):
    with pytest.raises(DatabaseError, match="row-level security"):
        with acting_as("mxax_web", tenant_id=ada.tenant.id) as cursor:
            cursor.execute(
                "INSERT INTO delivery_deliveryevent (tenant_id, message_id, kind, data)"
                " VALUES (%s, gen_random_uuid(), 'held', '{}')",
                [mallory.tenant.id],
            )


def test_support_sees_a_queue_only_with_an_active_grant(ada, mallory):
    staff = User.objects.create_user("support@service.example", is_staff=True)
    queued_message(ada.tenant.id)
    queued_message(mallory.tenant.id)
    now = timezone.now()
    SupportGrant.objects.create(
        tenant=ada.tenant,
        staff=staff,
        reason="asked where a message is",
        starts_at=now - timedelta(minutes=1),
        ends_at=now + timedelta(minutes=30),
    )
    SupportGrant.objects.create(
        tenant=mallory.tenant,
        staff=staff,
        reason="long ago",
        starts_at=now - timedelta(hours=3),
        ends_at=now - timedelta(hours=2),
    )

    with acting_as("mxax_support", staff_id=staff.id) as cursor:
        cursor.execute("SELECT DISTINCT tenant_id FROM delivery_message")
        seen = [row for (row,) in cursor]

    assert seen == [ada.tenant.id]


def test_a_grant_lasts_an_hour_at_most(ada):
    staff = User.objects.create_user("support@service.example", is_staff=True)
    now = timezone.now()

    with pytest.raises(DatabaseError, match="support_grant_one_hour"), transaction.atomic():
        SupportGrant.objects.create(
            tenant=ada.tenant,
            staff=staff,
            reason="too long",
            starts_at=now,
            ends_at=now + timedelta(minutes=61),
        )


@pytest.mark.parametrize(
    "name", ["public2", "pg_x", "information_schema", 't1"; DROP SCHEMA public; --', "t", "T1"]
)
def test_a_schema_name_that_people_chose_is_refused(name):
    with pytest.raises(DatabaseError, match="tenant_schema_name_is_generated"):
        with transaction.atomic():
            Tenant.objects.bulk_create([Tenant(schema_name=name, slug="chosen")])


def test_a_query_made_in_one_tenant_and_read_later_shows_that_it_moved(ada, mallory):
    """A queryset is evaluated in the schema that is open then: evaluate inside the context."""
    ada.has_domain("ada-only.example")
    with schema_context(ada.tenant.schema_name):
        lazy = Domain.objects.all()
        inside = [domain.name for domain in lazy.all()]
    with schema_context(mallory.tenant.schema_name):
        moved = [domain.name for domain in lazy]

    assert inside == ["ada-only.example"]
    assert moved == []


def test_the_cache_keeps_tenants_apart(ada, mallory):
    with schema_context(ada.tenant.schema_name):
        cache.set("secret", "of ada")
    with schema_context(mallory.tenant.schema_name):
        seen = cache.get("secret")

    assert seen is None


@pytest.mark.django_db(transaction=True)
def test_threads_that_alternate_tenants_never_see_another_ones_rows(ada, mallory):
    """Twenty threads on persistent connections, with exceptions in the middle."""
    schemas = {}
    for person in (ada, mallory):
        name = f"canary-{person.tenant.slug}.example"
        person.has_domain(name)
        schemas[person.tenant.schema_name] = name
    wrong: list[str] = []

    def alternate(seed: int) -> None:
        try:
            for step in range(100):
                schema = list(schemas)[(seed + step) % 2]
                try:
                    with schema_context(schema):
                        names = [domain.name for domain in Domain.objects.all()]
                        if names != [schemas[schema]]:
                            wrong.append(f"{schema}: {names}")
                        if step % 7 == 0:
                            raise ValueError("in the middle")
                        if step % 11 == 0:
                            with transaction.atomic():
                                Domain.objects.filter(pk=-1).delete()
                                transaction.set_rollback(True)
                except ValueError:
                    continue
        except BaseException as error:
            wrong.append(repr(error))
            raise
        finally:
            close_old_connections()
            connection.close()

    threads = [threading.Thread(target=alternate, args=(seed,)) for seed in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert wrong == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("breaks_at", ["GRANT SELECT", "CREATE POLICY own_rows"])
def test_applying_it_again_takes_no_right_away_from_processes_at_work(monkeypatch, breaks_at):
    """What a process at work would see in between is what stays after an error in between."""

    def rights():
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT has_table_privilege('mxax_edge', 'tenants_tenant', 'SELECT'), count(*)"
                " FROM pg_policies WHERE tablename = 'delivery_message'"
            )
            return cursor.fetchone()

    def broken(statements):
        return ["SELECT 1/0" if one.startswith(breaks_at) else one for one in statements]

    before = rights()
    grants, guard = isolation._public_grants, isolation._guard
    monkeypatch.setattr(isolation, "_public_grants", lambda: broken(grants()))
    monkeypatch.setattr(isolation, "_guard", lambda table: broken(guard(table)))

    with pytest.raises(DatabaseError):
        isolation.apply()

    assert rights() == before
    assert before[0]
