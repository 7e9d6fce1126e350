"""A route that is paused to hold its mail, in the panel."""

from __future__ import annotations

import pytest

from delivery.models import Delivery
from mail.facts import RouteMode
from mail.plan import Hold
from routing.models import Route
from routing.services import set_mode
from tenants.context import tenant_schema
from tests.delivery.test_holds import kept
from tests.panel.markup import faults

pytestmark = [pytest.mark.django_db, pytest.mark.filterwarnings("ignore:No directory at")]
ADDRESS = "hi@example.org"


@pytest.fixture(autouse=True)
def quiet_bell(monkeypatch):
    monkeypatch.setattr("delivery.bell.ring", lambda: None)


@pytest.fixture
def route(ada) -> Route:
    ada.has_domain("example.org")
    ada.has_route(ADDRESS, "friend@far.example")
    with tenant_schema(ada.tenant.pk):
        return Route.objects.get()


def press(person, name: str, route: Route, **values):
    return person.client().post(person.url(name, route.pk), values, follow=True)


def test_it_is_paused_to_hold_and_resumed(ada, route):
    press(ada, "route-pause", route, mode="hold")
    row = kept(ada, hold=Hold.ROUTE, days=7, route_id=route.pk)

    text = ada.client().get(ada.url("route", route.pk)).content.decode()
    assert faults(text) == []
    assert "1 delivery waits here" in text
    assert "deleted seven days after it came" in text
    press(ada, "route-resume", route)

    assert Delivery.objects.get(pk=row.pk).state == Delivery.State.QUEUED
    assert "waits here" not in ada.client().get(ada.url("route", route.pk)).content.decode()


def test_trying_it_says_where_and_when(ada, route):
    set_mode(tenant=ada.tenant, address=ADDRESS, mode=RouteMode.HOLD, actor="test")

    text = ada.client().get(ada.url("routes-try"), {"address": ADDRESS}).content.decode()

    assert "friend@far.example" in text
    assert "when the route is on again" in text


def test_deleting_it_says_what_becomes_of_what_is_held(ada, route):
    set_mode(tenant=ada.tenant, address=ADDRESS, mode=RouteMode.HOLD, actor="test")

    text = ada.client().get(ada.url("route-delete", route.pk)).content.decode()

    assert "stays held" in text


def test_mallory_cannot_resume_it(ada, mallory, route):
    set_mode(tenant=ada.tenant, address=ADDRESS, mode=RouteMode.HOLD, actor="test")
    row = kept(ada, hold=Hold.ROUTE, days=7, route_id=route.pk)
    mallory.has_domain("mallory.example")
    for number in range(route.pk):  # one of hers has the number of Ada's
        mallory.has_route(f"m{number}@mallory.example", "m@far.example")
        set_mode(
            tenant=mallory.tenant,
            address=f"m{number}@mallory.example",
            mode=RouteMode.ON,
            actor="test",
        )

    assert press(mallory, "route-resume", route).status_code == 200

    assert Delivery.objects.get(pk=row.pk).state == Delivery.State.HELD
