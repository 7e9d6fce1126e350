"""A route whose mail fails again and again is paused, and its owners hear of it once."""

from datetime import timedelta

import pytest
from django.utils import timezone

from delivery.models import Delivery, Message
from mail.ports import FailingRoute
from routing.listing import route_row
from routing.models import AuditEntry, Route
from routing.selectors import domain_snapshot
from routing.services import RouteEdit, edit_route, set_mode
from routing.services.failing import FailingRoutes, pause_failing
from tenants.context import tenant_schema
from tenants.models import Membership, User

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada(ada):
    ada.has_domain("example.org")
    ada.has_route("hi@example.org", "friend@away.example")
    return ada


def the_route(person):
    with tenant_schema(person.tenant.pk):
        return Route.objects.get()


def fail(person, began_at=None):
    """Twelve failures that began just now."""
    route = the_route(person)
    began = began_at or timezone.now()
    return pause_failing(
        tenant_id=person.tenant.pk, failing=[FailingRoute(route.pk, began), FailingRoute(99, began)]
    )


def notices_to(person):
    return Delivery.objects.filter(destination=person.email).count()


def test_it_is_paused_and_says_so(ada):
    fail(ada)

    assert domain_snapshot("example.org").routes.match("hi").route.mode.value == "refuse"
    with tenant_schema(ada.tenant.pk):
        assert route_row(the_route(ada).pk).state.value == "paused: its mail failed 12 times"
        entry = AuditEntry.objects.get(action="route.mode")
    assert (entry.actor, entry.new) == ("mxax", {"mode": "refuse", "because": "failures"})


def test_every_owner_is_told_once(ada):
    second = User.objects.create_user("second@away.example")
    Membership.objects.create(tenant=ada.tenant, user=second, role="owner")
    before = Message.objects.count()

    fail(ada)
    fail(ada)

    assert Message.objects.count() == before + 2
    assert notices_to(ada) == 1
    assert Delivery.objects.filter(destination="second@away.example").count() == 1


def test_the_edges_are_told(ada, monkeypatch):
    told = []
    monkeypatch.setattr("routing.services.failing.routes_changed", told.append)

    FailingRoutes().pause_failing(
        [FailingRoute(the_route(ada).pk, timezone.now())], tenant_id=ada.tenant.pk
    )

    assert told == ["example.org"]


def test_failures_before_the_last_change_do_not_count(ada):
    began = timezone.now() - timedelta(hours=1)
    edit_route(
        tenant=ada.tenant, address="hi@example.org", edit=RouteEdit(note="mended"), actor="test"
    )

    assert fail(ada, began) == []
    assert the_route(ada).mode == "on"


def test_a_route_that_is_resumed_may_fail_anew(ada):
    from mail.facts import RouteMode

    fail(ada)
    set_mode(tenant=ada.tenant, address="hi@example.org", mode=RouteMode.ON, actor="test")
    assert fail(ada, timezone.now() - timedelta(hours=2)) == []

    fail(ada)

    assert the_route(ada).paused_because == "failures"
    assert notices_to(ada) == 2


def test_a_tenant_that_is_gone_is_passed_over(ada):
    assert pause_failing(tenant_id=10**6, failing=[FailingRoute(1, timezone.now())]) == []
