"""Domains are added and removed while somebody changes a route: one waits, and neither fails."""

from __future__ import annotations

import threading
import time

import pytest
from django.db import connection, connections

from routing.models import Domain, Route
from routing.services import add_domain, edit_route, remove_domain, routes
from routing.services.routes import RouteEdit
from tenants.context import tenant_schema
from tenants.models import ClaimedDomain

PATIENCE_SECONDS = 10


@pytest.fixture
def ada_with_a_route(ada):
    ada.has_domain("example.org")
    ada.has_route("hi@example.org", "friend@away.example")
    return ada


def somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT 1 FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock')"
        )
        return bool(cursor.fetchone()[0])


def during_an_edit(ada, monkeypatch, act) -> list[Exception]:
    """Call `act` while a route is saved and not yet in the audit; gives what went wrong."""
    saved, failures = threading.Event(), []
    record = routes.record_in_tenant

    def record_later(*args, **values) -> None:
        saved.set()
        until = time.monotonic() + PATIENCE_SECONDS
        while not somebody_waits() and time.monotonic() < until:
            time.sleep(0.02)
        record(*args, **values)

    def alone(work) -> None:
        try:
            work()
        except Exception as error:
            failures.append(error)
        finally:
            connections.close_all()

    def edit() -> None:
        wanted = RouteEdit(note="for friends")
        edit_route(tenant=ada.tenant, address="hi@example.org", edit=wanted, actor="ada")

    monkeypatch.setattr(routes, "record_in_tenant", record_later)
    editing = threading.Thread(target=alone, args=(edit,))
    editing.start()
    assert saved.wait(PATIENCE_SECONDS)
    alone(act)
    editing.join()
    return failures


@pytest.mark.django_db(transaction=True)
def test_a_domain_is_removed_while_one_of_its_routes_is_changed(ada_with_a_route, monkeypatch):
    ada = ada_with_a_route

    def remove() -> None:
        remove_domain(tenant=ada.tenant, name="example.org", actor="ben")

    assert during_an_edit(ada, monkeypatch, remove) == []
    with tenant_schema(ada.tenant.pk):
        assert not Domain.objects.exists()
        assert not Route.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_an_operator_adds_a_domain_while_a_route_is_changed(ada_with_a_route, monkeypatch):
    ada = ada_with_a_route

    def add() -> None:
        add_domain(tenant=ada.tenant, name="other.example", actor="op", by_operator=True)

    assert during_an_edit(ada, monkeypatch, add) == []
    assert ClaimedDomain.objects.get(name="other.example").state == "verified"
    with tenant_schema(ada.tenant.pk):
        assert Route.objects.get().note == "for friends"
