"""A tenant is made whole or not at all, and erased without a rest."""

import time
import uuid

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError
from django.db import connection

from delivery.models import Content, Delivery, DeliveryEvent, Message
from routing.models import AuditEntry, LogPolicy
from tenants import services
from tenants.audit import first_break
from tenants.context import tenant_schema
from tenants.errors import BadSlug, NameTaken, NotConfirmed
from tenants.models import ClaimedDomain, Membership, PlatformAuditEntry, Tenant, User
from tenants.schema_models import shared_models_with_rows_of_tenants
from tests.timing import within_cpu

pytestmark = [pytest.mark.django_db, pytest.mark.real_schemas]


def schemas() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nspname FROM pg_namespace WHERE nspname ~ '^t[0-9]+$'")
        return {name for (name,) in cursor}


def test_a_tenant_is_ready_within_a_second():
    slugs = iter(["acme", "acme-two", "acme-three"])

    def made() -> Tenant:
        return services.create_tenant(
            slug=next(slugs), owner_email="Owner@Acme.example", actor="test"
        )

    began = time.monotonic()
    tenant = within_cpu(made, seconds=0.9)

    assert time.monotonic() - began < 10, "the database has the rest of the second to itself"
    assert tenant.schema_name == f"t{tenant.pk}"
    assert Membership.objects.get(tenant=tenant).user.email == "owner@acme.example"
    with tenant_schema(tenant.pk):
        assert LogPolicy.objects.get().message_days == 30
        assert AuditEntry.objects.get().action == "tenant.created"
        assert first_break(AuditEntry) is None
    assert PlatformAuditEntry.objects.filter(action="tenant.created", subject=tenant.slug).exists()


@pytest.mark.parametrize(
    "slug",
    [
        *("", "a'; drop schema public cascade; --", 'a"b', "pg_catalog", "pg-temp", "public"),
        *("information_schema", "information-schema", "x" * 64, "x" * 41, "Acme", "a b", "t17"),
        *("-a", "a-", "a--b", "a.b", "1a", "acmé", "a\n", "a\0", "admin", "../a", "a/b", "%61"),
    ],
)
def test_a_slug_that_is_no_slug_is_refused(slug):
    with pytest.raises(BadSlug):
        services.create_tenant(slug=slug, owner_email="a@b.example", actor="test")

    assert not Tenant.objects.exists()


@pytest.mark.parametrize("email", ["a\r\nb@c.example", "a@b.example\r\nBcc: c@d.example", "a", ""])
def test_an_owner_without_an_address_is_refused(email):
    with pytest.raises(ValidationError):
        services.create_tenant(slug="acme", owner_email=email, actor="test")

    assert not Tenant.objects.exists()


def test_the_same_slug_twice_is_refused(ada):
    with pytest.raises(NameTaken, match="already"):
        services.create_tenant(slug="ada", owner_email="other@b.example", actor="test")

    assert not User.objects.filter(email="other@b.example").exists()


def test_a_failure_in_the_middle_leaves_nothing(monkeypatch):
    def no_grants(schema_name):
        raise CommandError("no grants today")

    before = schemas()
    monkeypatch.setattr(services.tenants, "grant_schema", no_grants)

    with pytest.raises(CommandError):
        services.create_tenant(slug="acme", owner_email="a@acme.example", actor="test")

    assert schemas() == before
    assert not Tenant.objects.exists()
    assert not User.objects.exists()
    assert not PlatformAuditEntry.objects.exists()


def test_an_owner_who_has_an_account_keeps_it(ada):
    tenant = services.create_tenant(slug="second", owner_email="ADA@ada.example", actor="test")

    assert Membership.objects.get(tenant=tenant).user.memberships.count() == 2


def test_deleting_needs_the_name_typed(ada):
    with pytest.raises(NotConfirmed, match="ada"):
        services.delete_tenant(tenant=ada.tenant, typed="mallory", actor="test")

    assert Tenant.objects.filter(slug="ada").exists()


def test_a_deleted_tenant_leaves_only_a_tombstone(ada, mallory):
    ada.has_domain("example.org")
    mallory.has_domain("example.net")
    for tenant in (ada.tenant, mallory.tenant):
        has_queued_message(tenant.pk)

    services.delete_tenant(tenant=ada.tenant, typed="ada", actor="test")

    assert ada.tenant.schema_name not in schemas()
    assert list(ClaimedDomain.objects.values_list("name", flat=True)) == ["example.net"]
    for model in shared_models_with_rows_of_tenants():
        assert not model._base_manager.filter(tenant_id=ada.tenant.pk).exists(), model
    for model in (Message, Content, Delivery, DeliveryEvent):
        assert model._base_manager.filter(tenant_id=mallory.tenant.pk).count() == 1, model
    tombstone = PlatformAuditEntry.objects.last()
    assert (tombstone.action, tombstone.subject) == ("tenant.deleted", ada.tenant.schema_name)
    assert tombstone.new["delivery_message"] == 1


def test_suspending_and_resuming_is_audited(ada):
    services.suspend_tenant(tenant=ada.tenant, actor="test", for_abuse=True, reason="spam")
    assert Tenant.objects.get(slug="ada").standing == Tenant.Standing.ABUSIVE

    services.resume_tenant(tenant=ada.tenant, actor="test")

    assert Tenant.objects.get(slug="ada").standing == Tenant.Standing.ACTIVE
    changes = PlatformAuditEntry.objects.filter(action="tenant.standing")
    assert [entry.new["standing"] for entry in changes] == ["abusive", "active"]


def has_queued_message(tenant_id: int) -> None:
    message = Message.objects.create(
        id=uuid.uuid4(),
        tenant_id=tenant_id,
        direction="forward",
        client_ip="127.0.0.1",
        helo="client.example",
        protocol="ESMTP",
        size_octets=1,
        header_octets=1,
        chunk_count=1,
        smtputf8=False,
        eight_bit=False,
        log_level=3,
    )
    Content.objects.create(message_id=message.id, number=0, tenant_id=tenant_id, octets=b"x")
    Delivery.objects.create(message=message, tenant_id=tenant_id, recipient="a", destination="b")
    DeliveryEvent.objects.create(
        tenant_id=tenant_id, message_id=message.id, kind="accepted", data={}
    )
