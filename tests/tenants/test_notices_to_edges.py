"""An edge hears of a change when it is committed, and only then."""

import psycopg
import pytest
from django.conf import settings
from django.db import connection, transaction

from mail.facts import RouteMode
from routing.services import add_domain, add_route, remove_domain, remove_route, set_mode
from tenants.changes import CHANNEL, OutsideTransaction, routes_changed
from tenants.models import Membership, User
from tenants.services import create_tenant, delete_tenant, resume_tenant, suspend_tenant
from tenants.services.people import change_role


@pytest.fixture
def heard(transactional_db):
    """The names in the notices since it was last called."""
    target = connection.get_connection_params()
    with psycopg.connect(
        host=target["host"],
        port=target["port"],
        user=target["user"],
        password=target["password"],
        dbname=settings.DATABASES["default"]["NAME"],
        autocommit=True,
    ) as ear:
        ear.execute(f"LISTEN {CHANNEL}")

        def names() -> list[str]:
            ear.execute("SELECT pg_notify(%s, '.')", [CHANNEL])  # heard after all before it
            heard = set()
            for notice in ear.notifies(timeout=60):
                if notice.payload == ".":
                    break
                heard.add(notice.payload)
            return sorted(heard)

        yield names


@pytest.fixture
def acme(heard):
    tenant = create_tenant(slug="acme", owner_email="o@acme.example", actor="test")
    yield tenant
    delete_tenant(tenant=tenant, typed="acme", actor="test")


def test_every_change_is_heard(acme, heard):
    by = {"tenant": acme, "actor": "test"}
    where = {**by, "address": "hi@example.org"}
    for change in (
        lambda: add_domain(name="Example.ORG", by_operator=True, **by),
        lambda: add_route(destinations=["a@x.example"], confirmed=True, **where),
        lambda: set_mode(mode=RouteMode.DEFER, **where),
        lambda: remove_route(**where),
        lambda: remove_domain(name="example.org", **by),
    ):
        change()
        assert heard() == ["example.org"]
    suspend_tenant(for_abuse=False, **by)
    assert heard() == ["*"]
    resume_tenant(**by)
    assert heard() == ["*"]


def test_a_new_owner_is_heard_of_for_each_domain(acme, heard):
    """Mail for postmaster@ goes to the owners."""
    add_domain(tenant=acme, name="example.org", by_operator=True, actor="test")
    other = User.objects.create_user("new@acme.example")
    Membership.objects.create(tenant=acme, user=other, role="viewer")
    heard()

    change_role(tenant=acme, user_id=other.pk, role=Membership.Role.EDITOR, actor="test")
    assert heard() == []

    change_role(tenant=acme, user_id=other.pk, role=Membership.Role.OWNER, actor="test")
    assert heard() == ["example.org"]


def test_what_is_rolled_back_is_not_heard(heard):
    with transaction.atomic():
        routes_changed("example.org")
        transaction.set_rollback(True)

    assert heard() == []


def test_a_notice_outside_a_transaction_is_a_mistake(heard):
    with pytest.raises(OutsideTransaction):
        routes_changed("example.org")
