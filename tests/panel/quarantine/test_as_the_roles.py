"""The database roles may do what the quarantine needs, the web's in its own tenant only."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client

from delivery import holds, queue_services
from delivery.held_room import held_octets
from delivery.models import Delivery, Message
from delivery.quarantine_digest import send_digests
from delivery.quarantine_links import LinkAction, decision_link
from mail.facts import RouteMode
from mail.plan import Hold
from routing.models import Route
from routing.services import set_mode
from tenants.context import tenant_schema
from tests.delivery.test_holds import ADDRESS, FRIEND, kept
from tests.panel.quarantine.test_quarantine_pages import quarantined, quiet_bell

__all__ = ["quiet_bell"]
pytestmark = [pytest.mark.django_db, pytest.mark.filterwarnings("ignore:No directory at")]
State = Delivery.State


@pytest.fixture
def become():
    """From its call on the connection works in a role."""

    def change(role: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET ROLE {role}")

    yield change
    change("mxax_owner")


@pytest.fixture
def route(ada) -> Route:
    ada.has_domain("example.org")
    ada.has_route(ADDRESS, FRIEND)
    set_mode(tenant=ada.tenant, address=ADDRESS, mode=RouteMode.HOLD, actor="test")
    with tenant_schema(ada.tenant.pk):
        return Route.objects.get()


def test_the_panel_looks_and_decides(ada, mallory, route, become):
    rows = [quarantined(ada) for _ in range(4)]
    hers = quarantined(mallory)
    waits = kept(ada, hold=Hold.ROUTE, days=7, route_id=route.pk)
    link = decision_link(
        LinkAction.RELEASE, tenant_id=ada.tenant.pk, user_id=ada.user.pk, delivery_id=rows[3].pk
    )
    client = ada.client()
    become("mxax_web")

    assert client.get(ada.url("quarantine")).status_code == 200
    assert client.post(ada.url("quarantined-look", rows[0].pk)).status_code == 200
    for what, row in zip(("release", "allow", "delete"), rows, strict=False):
        assert client.post(ada.url(f"quarantined-{what}", row.pk)).status_code == 303
    assert client.post(ada.url("quarantined-release", hers.pk)).status_code == 404
    assert client.post(ada.url("route-resume", route.pk)).status_code == 303
    path = "/held/" + link.split("/held/")[1]
    assert Client().get(path).status_code == 200
    assert Client().post(path).status_code == 303

    become("mxax_owner")
    found = dict(Delivery.objects.values_list("pk", "state"))
    released = [rows[0].pk, rows[1].pk, rows[3].pk, waits.pk]
    assert found == dict.fromkeys(released, State.QUEUED) | {hers.pk: State.HELD}


def test_the_worker_tells_releases_and_ends(ada, route, become, monkeypatch):
    from datetime import timedelta

    from delivery import quarantine_digest

    monkeypatch.setattr(quarantine_digest, "SETTLED", timedelta(0))
    gone = quarantined(ada)
    Delivery.objects.filter(pk=gone.pk).update(held_until=gone.message.accepted_at)
    quarantined(ada)
    set_mode(tenant=ada.tenant, address=ADDRESS, mode=RouteMode.ON, actor="test")
    waits = kept(ada, hold=Hold.ROUTE, days=7, route_id=route.pk)
    become("mxax_worker")

    told = send_digests()
    released = holds.release_for_routes_on()
    ended = queue_services.delete_expired()

    become("mxax_owner")
    assert (told, released, ended) == (1, 1, 1)
    assert Message.objects.filter(direction="notice").count() == 1
    assert Delivery.objects.get(pk=waits.pk).state == State.QUEUED


def test_the_worker_tells_of_what_ends_tomorrow(ada, route, become):
    waits = kept(ada, hold=Hold.ROUTE, days=7, route_id=route.pk)
    Delivery.objects.filter(pk=waits.pk).update(held_until=waits.message.accepted_at)
    become("mxax_worker")

    told = [holds.tell_of_ends(), holds.tell_of_ends()]

    become("mxax_owner")
    assert told == [1, 0]
    assert Message.objects.filter(direction="notice").count() == 1


@pytest.mark.parametrize("role", ["mxax_web", "mxax_edge", "mxax_worker"])
def test_each_role_sees_how_much_is_held(ada, mallory, become, role):
    size = quarantined(ada).message.size_octets
    quarantined(mallory)
    become(role)

    with tenant_schema(ada.tenant.pk):
        assert held_octets(ada.tenant.pk) == size + 4096
