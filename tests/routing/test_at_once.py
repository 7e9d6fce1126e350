"""Domains are added and removed while somebody changes a route: one waits, and neither fails."""

from __future__ import annotations

import pytest

from routing.models import Domain, Route
from routing.services import add_domain, edit_route, remove_domain, routes
from routing.services.routes import RouteEdit
from tenants.context import tenant_schema
from tenants.models import ClaimedDomain
from tests.at_once import during

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def edit(ada):
    """Somebody's change of Ada's route."""
    ada.has_domain("example.org")
    ada.has_route("hi@example.org", "friend@away.example")
    wanted = RouteEdit(note="for friends")
    return lambda: edit_route(tenant=ada.tenant, address="hi@example.org", edit=wanted, actor="ada")


def test_a_domain_is_removed_while_one_of_its_routes_is_changed(ada, edit, monkeypatch):
    def remove() -> None:
        remove_domain(tenant=ada.tenant, name="example.org", actor="ben")

    assert during(monkeypatch, routes, edit, remove) == []
    with tenant_schema(ada.tenant.pk):
        assert not Domain.objects.exists()
        assert not Route.objects.exists()


def test_an_operator_adds_a_domain_while_a_route_is_changed(ada, edit, monkeypatch):
    def add() -> None:
        add_domain(tenant=ada.tenant, name="other.example", actor="op", by_operator=True)

    assert during(monkeypatch, routes, edit, add) == []
    assert ClaimedDomain.objects.get(name="other.example").state == "verified"
    with tenant_schema(ada.tenant.pk):
        assert Route.objects.get().note == "for friends"
