"""The database role of the web process may do what these pages need."""

import pytest
from django.db import connection

from routing.models import Destination, Route
from routing.selectors import route_lines
from tenants.context import tenant_schema
from tests.panel.routes.test_bulk import HEAD, preview, saved

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore:No directory at"),
]


@pytest.fixture
def as_the_web():
    """From its call on the connection works in the role of the panel."""

    def become(role: str = "mxax_web") -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET ROLE {role}")

    yield become
    become("mxax_owner")


def test_all_that_an_editor_does(ada, as_the_web):
    ada.has_domain("example.org")
    ada.has_route("hi@example.org", "friend@away.example")
    ada.has_route("x@example.org", "unasked@away.example", confirmed=False)
    with tenant_schema(ada.tenant.pk):
        route = Route.objects.get(pattern="hi").pk
        destination = Destination.objects.get(address="unasked@away.example").pk
    client = ada.client()
    as_the_web()

    new = {"address": "new@example.org", "destinations": "new@away.example"}
    done = [client.post(ada.url("route-add"), new)]
    edit = client.get(ada.url("route-edit", route)).context["form"]
    typed = {name: edit[name].value() or "" for name in edit.fields} | {"note": "web"}
    done.append(client.post(ada.url("route-edit", route), typed))
    for name in ("route-pause", "route-resume", "route-test", "route-delete", "route-restore"):
        done.append(client.post(ada.url(name, route), {"mode": "defer"}))
    done.append(client.post(ada.url("destination-ask", destination)))
    text = (
        HEAD + "hi@example.org,friend@away.example,,changed,\r\nin@example.org,a@b.example,,,\r\n"
    )
    done.append(saved(ada, preview(ada, text, client), client))
    looks = [client.get(ada.url("routes-try"), {"address": "hi@example.org"})]
    looks += [client.get(ada.url("routes")), client.get(ada.url("route", route))]
    exported = b"".join(client.get(ada.url("routes-export")).streaming_content).decode()

    as_the_web("mxax_owner")
    assert [answer.status_code for answer in done] == [303] * len(done)
    assert [answer.status_code for answer in looks] == [200] * len(looks)
    assert "in@example.org" in exported
    notes = {line.address: line.note for line in route_lines(ada.tenant)}
    assert notes["hi@example.org"] == "changed"


def test_the_worker_pauses_and_empties_the_trash(ada, as_the_web):
    from datetime import timedelta

    from django.utils import timezone

    from mail.ports import FailingRoute
    from routing.services import purge_trash, remove_route
    from routing.services.failing import pause_failing

    ada.has_domain("example.org")
    ada.has_route("old@example.org", "old@away.example")
    ada.has_route("hi@example.org", "friend@away.example")
    remove_route(tenant=ada.tenant, address="old@example.org", actor="test")
    long_ago = timezone.now() - timedelta(days=31)
    with tenant_schema(ada.tenant.pk):
        Route.with_trash.filter(pattern="old").update(removed_at=long_ago)
        Destination.objects.update(created_at=long_ago)
        route = Route.objects.get()
    as_the_web("mxax_worker")

    paused = pause_failing(
        tenant_id=ada.tenant.pk, failing=[FailingRoute(route.pk, timezone.now())]
    )
    gone = purge_trash(tenant=ada.tenant)

    as_the_web("mxax_owner")
    assert ([one.pk for one in paused], gone) == ([route.pk], 2)
