"""What is left of a tenant that was deleted: nothing that names him (H15).

A canary is in every place that a tenant can write to; afterwards every text and every blob of the
whole database is searched for it. Sealed columns are searched as they are: they cannot be opened
without their row.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.db import connection

from routing.models import LogPolicy, Route
from routing.services import create_credential
from routing.services.tokens import create_token
from tenants.audit import Actor, first_break, record_in_tenant
from tenants.clock import database_now
from tenants.context import tenant_schema
from tenants.models import Membership, PlatformAuditEntry, SupportGrant, User
from tenants.services.invitations import invite
from tenants.services.owners import delete_own_tenant, rename_tenant
from tests.tenants.test_tenants_are_made_and_erased import has_queued_message

pytestmark = pytest.mark.django_db

CANARY = "kanarie"


@pytest.fixture(autouse=True)
def quiet_bell(monkeypatch):
    monkeypatch.setattr("delivery.notices.bell.ring", lambda: None)


@pytest.fixture
def canary_tenant(ada):
    """Ada's tenant, whose every word has the canary in it; her own account has not."""
    from tenants.services import create_tenant
    from tests.cast import Person

    owner = Person(
        ada.email, create_tenant(slug=CANARY, owner_email=ada.email, actor=actor_of(ada))
    )
    rename_tenant(tenant=owner.tenant, name=f"{CANARY} & Co", actor=actor_of(ada))
    owner.has_domain(f"{CANARY}.example")
    owner.has_domain(f"waiting.{CANARY}.example", verified=False)
    owner.has_route(f"{CANARY}@{CANARY}.example", f"{CANARY}@far.example")
    owner.has_route(f"asked@{CANARY}.example", f"asked-{CANARY}@far.example", confirmed=False)
    invite(
        tenant=owner.tenant,
        email=f"{CANARY}@guests.example",
        role=Membership.Role.VIEWER,
        actor=actor_of(ada),
    )
    _more(owner)
    return owner


def _more(owner) -> None:
    tenant, now = owner.tenant, database_now()
    create_credential(tenant=tenant, label=CANARY, domain=f"{CANARY}.example", actor="test")
    create_token(tenant=tenant, label=CANARY, scopes=["read"], actor="test")
    sam = User.objects.create_user("sam@service.example", is_staff=True)
    SupportGrant.objects.create(
        tenant=tenant, staff=sam, reason=CANARY, starts_at=now, ends_at=now + timedelta(minutes=5)
    )
    has_queued_message(tenant.pk)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE delivery_delivery SET recipient = %s, destination = %s WHERE tenant_id = %s",
            [f"{CANARY}@{CANARY}.example", f"{CANARY}@far.example", tenant.pk],
        )
    with tenant_schema(tenant.pk):
        Route.objects.update(note=CANARY)
        record_in_tenant("route.changed", CANARY, actor=Actor(CANARY), new={"note": CANARY})
        cache.set(CANARY, CANARY, 60)


def actor_of(person) -> Actor:
    return Actor(person.email, person.user.pk, "192.0.2.7")


def places_with(word: str) -> set[str]:
    """Every table of the database in which a row has the word, in any column."""
    found = set()
    with connection.cursor() as cursor:
        for schema, table in list(_tables(cursor)):
            cursor.execute(
                f'SELECT count(*) FROM "{schema}"."{table}" AS row'
                " WHERE row::text ILIKE %s OR row::text ILIKE %s",
                [f"%{word}%", f"%{word.encode().hex()}%"],
            )
            if cursor.fetchone()[0]:
                found.add(f"{schema}.{table}")
    return found


def _tables(cursor) -> Iterator[tuple[str, str]]:
    cursor.execute(
        "SELECT schemaname, tablename FROM pg_tables"
        " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    )
    yield from cursor.fetchall()


def test_the_canary_is_everywhere_before(canary_tenant):
    schema = canary_tenant.tenant.schema_name

    assert places_with(CANARY) >= {
        *("public.tenants_tenant", "public.tenants_claimeddomain", "public.tenants_invitation"),
        *("public.tenants_platformauditentry", "public.tenants_supportgrant"),
        *("public.delivery_delivery", f"{schema}.routing_route", f"{schema}.routing_domain"),
        *(f"{schema}.routing_destination", f"{schema}.routing_auditentry"),
        *(f"{schema}.routing_apitoken", f"{schema}.routing_smtpcredential"),
    }


def test_nothing_names_a_deleted_tenant(canary_tenant, ada):
    delete_own_tenant(tenant=canary_tenant.tenant, typed=CANARY, actor=actor_of(ada))

    assert places_with(CANARY) == set()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_namespace WHERE nspname = %s",
            [canary_tenant.tenant.schema_name],
        )
        assert cursor.fetchone() == (0,)


def test_the_tombstone_names_neither_tenant_nor_person(canary_tenant, ada):
    before = PlatformAuditEntry.objects.filter(tenant_slug=CANARY).count()

    delete_own_tenant(tenant=canary_tenant.tenant, typed=CANARY, actor=actor_of(ada))

    pseudonym = canary_tenant.tenant.schema_name
    entries = PlatformAuditEntry.objects.filter(tenant_slug=pseudonym).order_by("id")
    assert entries.count() == before + 1
    tombstone = entries.last()
    assert (tombstone.action, tombstone.subject) == ("tenant.deleted", pseudonym)
    assert (tombstone.actor, tombstone.actor_id, tombstone.client_ip) == ("an owner", None, None)
    assert tombstone.new["delivery_message"] >= 1
    for entry in entries.exclude(pk=tombstone.pk):
        assert (entry.actor, entry.actor_id, entry.subject, entry.salt) == ("", None, "", "")
        assert (entry.client_ip, entry.old, entry.new) == (None, None, None)


def test_the_platforms_chain_is_whole_afterwards_and_others_keep_their_words(canary_tenant, ada):
    words = PlatformAuditEntry.objects.filter(tenant_slug="ada").values_list("subject", flat=True)
    before = list(words)

    delete_own_tenant(tenant=canary_tenant.tenant, typed=CANARY, actor=actor_of(ada))

    assert first_break(PlatformAuditEntry) is None
    assert list(words) == before != []


def test_an_entry_emptied_without_a_tombstone_is_a_break(canary_tenant):
    from tenants.audit import erase_from_platform

    erase_from_platform(tenant_slug=CANARY, pseudonym="t999")

    first = PlatformAuditEntry.objects.filter(tenant_slug="t999").order_by("id").first()
    assert first_break(PlatformAuditEntry) == first.pk


@pytest.mark.parametrize(
    "change", [{"actor": "mallory"}, {"subject": "x"}, {"new": {"a": 1}}, {"action": "x"}]
)
def test_nothing_is_written_into_an_emptied_entry_later(canary_tenant, ada, change):
    delete_own_tenant(tenant=canary_tenant.tenant, typed=CANARY, actor=actor_of(ada))
    emptied = PlatformAuditEntry.objects.filter(salt="").order_by("id").first()

    PlatformAuditEntry.objects.filter(pk=emptied.pk).update(**change)

    assert first_break(PlatformAuditEntry) == emptied.pk


def test_the_cache_is_per_schema_and_the_schemas_name_is_never_given_again(canary_tenant, ada):
    from tenants.services import create_tenant

    delete_own_tenant(tenant=canary_tenant.tenant, typed=CANARY, actor=actor_of(ada))

    again = create_tenant(slug=CANARY, owner_email=ada.email, actor="test")
    assert again.schema_name != canary_tenant.tenant.schema_name
    with tenant_schema(again.pk):
        assert cache.get(CANARY) is None
        assert LogPolicy.objects.count() == 1


@pytest.fixture
def canary_person(ada):
    """Ben, whose every address has the canary in it; he did things in Ada's tenant too."""
    from tenants.audit import record_platform

    user = User.objects.create_user(f"{CANARY}@ben.example", "correct horse battery")
    actor = Actor(user.email, user.pk, "192.0.2.9")
    record_platform("account.name", user.email, actor=actor, new={"name": CANARY})
    record_platform(
        "tenant.created", "ada", actor="op", tenant_slug="ada", new={"owner": user.email}
    )
    record_platform("domain.claimed", "example.org", actor=actor, tenant_slug="ada")
    moved = {"old": {"email": user.email}, "new": {"email": f"new-{CANARY}@ben.example"}}
    record_platform("account.address", f"new-{CANARY}@ben.example", actor=actor, **moved)
    User.objects.filter(pk=user.pk).update(email=f"new-{CANARY}@ben.example")
    record_platform("support.attempts_forgotten", f"new-{CANARY}@ben.example", actor="op")
    return User.objects.get(pk=user.pk)


def test_nothing_of_the_service_names_a_deleted_person(canary_person, ada):
    from tenants.services.accounts import delete_account

    before = PlatformAuditEntry.objects.filter(actor=ada.email).count()
    actor = Actor(canary_person.email, canary_person.pk, "192.0.2.9")
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL ROLE mxax_web")

    delete_account(user=canary_person, typed=canary_person.email, actor=actor)

    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == ("mxax_web",)
        cursor.execute("SET LOCAL ROLE mxax_owner")
    # The mail that says so is still in the queue.
    assert {place for place in places_with(CANARY) if "delivery_" not in place} == set()
    entries = PlatformAuditEntry.objects.filter(tenant_slug=f"account {canary_person.pk}")
    assert [(one.action, one.subject) for one in entries.order_by("id")][-1] == (
        "account.deleted",
        f"account {canary_person.pk}",
    )
    assert entries.count() == 6
    assert first_break(PlatformAuditEntry) is None
    assert PlatformAuditEntry.objects.filter(actor=ada.email).count() == before


def test_who_has_the_address_of_somebody_deleted_keeps_his_entries(canary_person, ada):
    """An address that a person gave up may be somebody else's by now."""
    from tenants.audit import record_platform
    from tenants.services.accounts import delete_account

    record_platform("account.created", f"{CANARY}@ben.example", actor=Actor("x", ada.user.pk))

    actor = Actor(canary_person.email, canary_person.pk, "192.0.2.9")
    delete_account(user=canary_person, typed=canary_person.email, actor=actor)

    assert PlatformAuditEntry.objects.get(action="account.created").actor == "x"
    assert first_break(PlatformAuditEntry) is None


def test_a_person_emptied_without_a_tombstone_is_a_break(canary_person):
    from tenants.audit import erase_person_from_platform

    user = canary_person
    erase_person_from_platform(user_id=user.pk, address=user.email, pseudonym="account 9")

    first = PlatformAuditEntry.objects.filter(tenant_slug="account 9").order_by("id").first()
    assert first_break(PlatformAuditEntry) == first.pk


def test_an_account_is_deleted_where_the_panel_has_a_login_of_its_own(canary_person, monkeypatch):
    from tenants.services.accounts import delete_account

    monkeypatch.setattr("tenants.services.powers.OWNER", "a_role_that_is_not_there")

    actor = Actor(canary_person.email, canary_person.pk, "192.0.2.9")
    delete_account(user=canary_person, typed=canary_person.email, actor=actor)

    assert not User.objects.filter(pk=canary_person.pk).exists()
    assert first_break(PlatformAuditEntry) is None
