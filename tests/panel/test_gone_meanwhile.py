"""What a page is about goes away between its button and the service: said, and not an error."""

from __future__ import annotations

import pytest

from routing.models import Route
from routing.services import remove_domain, remove_route
from tenants.context import tenant_schema
from tenants.models import Membership, Tenant
from tenants.services.people import remove_member

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def quiet_bell(monkeypatch):
    monkeypatch.setattr("delivery.notices.bell.ring", lambda: None)


def just_before(monkeypatch, service: str, happens) -> None:
    """Let something happen when the view calls a service."""
    module, _, name = service.rpartition(".")
    real = getattr(__import__(module, fromlist=[name]), name)

    def late(**values):
        happens()
        return real(**values)

    monkeypatch.setattr(service, late)


def test_a_route_that_is_paused(ada, monkeypatch):
    ada.has_domain("example.org")
    ada.has_route("hi@example.org", "friend@away.example")
    with tenant_schema(ada.tenant.pk):
        url = ada.url("route-pause", Route.objects.get().pk)

    def remove() -> None:
        remove_route(tenant=ada.tenant, address="hi@example.org", actor="test")

    just_before(monkeypatch, "panel.routes.switching.set_mode", remove)
    answer = ada.client().post(url, {"mode": "defer"}, follow=True)

    assert answer.status_code == 200
    assert "There is no route hi@example.org" in answer.content.decode()


def test_a_member_whose_role_is_changed(ada, ben, monkeypatch):
    member = Membership.objects.get(tenant=ada.tenant, user__email=ben.email)
    url = ada.url("member-role", member.user_id)
    client = ada.client()
    version = client.get(url).context["form"]["version"].value()

    def remove() -> None:
        remove_member(tenant=ada.tenant, user_id=member.user_id, actor="test")

    just_before(monkeypatch, "panel.people.members.change_role", remove)
    answer = client.post(url, {"role": "editor", "version": version})

    assert answer.status_code == 422
    assert "not a member any more" in answer.content.decode()


def test_a_domain_that_gets_keys(ada, monkeypatch):
    ada.has_domain("example.org")

    def remove() -> None:
        remove_domain(tenant=ada.tenant, name="example.org", actor="test")

    just_before(monkeypatch, "panel.domains.keys.create_keys", remove)
    answer = ada.client().post(ada.url("domain-key-add", "example.org"))

    assert answer.status_code == 409
    assert "has no domain example.org" in answer.content.decode()


def test_the_power_to_ask_for_second_factors(ada, monkeypatch):
    Tenant.objects.filter(pk=ada.tenant.pk).update(requires_second_factor=True)
    monkeypatch.setattr("django_otp.middleware.is_verified", lambda user: True)

    def demote() -> None:
        Membership.objects.filter(tenant=ada.tenant).update(role="admin")

    just_before(monkeypatch, "panel.people.settings.require_second_factor", demote)
    answer = ada.client().post(ada.url("tenant-second-factor"), {"required": "no"}, follow=True)

    assert "Only an owner" in answer.content.decode()
    assert Tenant.objects.get(pk=ada.tenant.pk).requires_second_factor
