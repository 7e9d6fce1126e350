"""A tenant's audit is cut from the old end only, and stays a chain (H16)."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, transaction

from routing.models import AuditEntry, LogPolicy
from tenants import audit
from tenants.audit import Actor, first_break, record_in_tenant
from tenants.audit_cut import cut_audit
from tenants.context import tenant_schema

pytestmark = pytest.mark.django_db


@pytest.fixture
def days_ago(monkeypatch):
    """Entries are written as if so many days had not passed yet."""
    real = audit.lock_chain

    def choose(days: int) -> None:
        monkeypatch.setattr(audit, "lock_chain", lambda c: real(c) - timedelta(days=days))

    return choose


@pytest.fixture
def old_audit(db, days_ago):
    """A tenant with an entry for each of these days ago, besides those of its making."""
    from tenants.services import create_tenant

    days_ago(500)
    tenant = create_tenant(slug="ada", owner_email="ada@ada.example", actor="test")
    with tenant_schema(tenant.pk):
        for days in (400, 366, 300, 100, 89, 1):
            days_ago(days)
            record_in_tenant("route.added", f"{days}@ada.example", actor=Actor("ada", 1))
    days_ago(0)
    return tenant


def said(tenant) -> list[str]:
    with tenant_schema(tenant.pk):
        return list(AuditEntry.objects.order_by("id").values_list("subject", flat=True))


def break_of(tenant) -> int | None:
    with tenant_schema(tenant.pk):
        return first_break(AuditEntry)


@contextmanager
def working_as(role: str):
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL ROLE {role}")
        yield
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL ROLE mxax_owner")


def test_what_is_older_than_the_policy_goes_and_the_rest_is_whole(old_audit):
    removed = cut_audit(old_audit.pk)

    assert removed == 3
    assert said(old_audit) == [
        *("300@ada.example", "100@ada.example", "89@ada.example", "1@ada.example", "audit")
    ]
    assert break_of(old_audit) is None


def test_the_policy_decides(old_audit):
    with tenant_schema(old_audit.pk):
        LogPolicy.objects.update(audit_days=90)

    assert cut_audit(old_audit.pk) == 5
    assert said(old_audit)[0] == "89@ada.example"
    assert break_of(old_audit) is None


def test_a_dry_run_only_counts(old_audit):
    assert cut_audit(old_audit.pk, dry_run=True) == 3
    assert len(said(old_audit)) == 7


def test_a_second_cut_follows_the_first(old_audit, days_ago):
    cut_audit(old_audit.pk)
    assert cut_audit(old_audit.pk) == 0  # nothing to do writes nothing
    assert said(old_audit).count("audit") == 1

    with tenant_schema(old_audit.pk):
        LogPolicy.objects.update(audit_days=99)
    assert cut_audit(old_audit.pk) == 2
    assert break_of(old_audit) is None


def test_everything_old_may_go_at_once(ada, days_ago):
    days_ago(400)
    with tenant_schema(ada.tenant.pk):
        AuditEntry.objects.all().delete()
        record_in_tenant("tenant.created", "ada", actor="test")
    days_ago(0)

    assert cut_audit(ada.tenant.pk) == 1
    assert said(ada.tenant) == ["audit"]
    assert break_of(ada.tenant) is None


def test_an_entry_taken_out_without_a_word_shows(old_audit):
    with tenant_schema(old_audit.pk):
        AuditEntry.objects.order_by("id")[0].delete()
        first = AuditEntry.objects.order_by("id").first().pk

    assert break_of(old_audit) == first


def test_an_entry_changed_before_the_cut_shows_behind_it(old_audit):
    cut_audit(old_audit.pk)
    with tenant_schema(old_audit.pk):
        second = AuditEntry.objects.order_by("id")[1]
        AuditEntry.objects.filter(pk=second.pk).update(actor="mallory")

    assert break_of(old_audit) == second.pk


def test_the_worker_cuts_though_it_may_not_delete(old_audit):
    with working_as("mxax_worker"):
        assert cut_audit(old_audit.pk) == 3
    with (
        pytest.raises(DatabaseError, match="permission denied"),
        working_as("mxax_worker"),
        tenant_schema(old_audit.pk),
    ):
        AuditEntry.objects.all()._raw_delete("default")


@pytest.mark.parametrize("role", ["mxax_web", "mxax_edge", "mxax_support"])
def test_nobody_else_cuts(old_audit, role):
    with pytest.raises(DatabaseError, match="permission denied"), working_as(role):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT public.mxax_cut_audit(%s, clock_timestamp() - interval '400 days')",
                [old_audit.pk],
            )


def test_the_last_ninety_days_are_out_of_reach(old_audit):
    with pytest.raises(DatabaseError, match="at least 90 days"), working_as("mxax_worker"):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT public.mxax_cut_audit(%s, clock_timestamp() - interval '89 days')",
                [old_audit.pk],
            )
