"""Who holds mail, who may let it go, and when it ends by itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from delivery import holds, housekeeping, queue_services, tenant_queue
from delivery.acceptance import KeptMessage, insert_messages
from delivery.models import Content, Delivery, DeliveryEvent, Message, QuarantineDigest
from delivery.queue_selectors import queue_status
from delivery.queue_services import Selection
from delivery.schedule import SCHEDULE
from mail.facts import RouteMode
from mail.plan import Hold, PlannedDelivery
from routing.models import Destination, Route
from routing.owner_tokens import stop_token
from routing.services import RouteEdit, edit_route, remove_route, restore_route, set_mode
from routing.services.bulk import apply_import
from routing.services.confirmations import stop_by_owner
from tenants.audit import Actor
from tenants.context import tenant_schema
from tenants.errors import NotAllowed
from tenants.services import suspend_tenant
from tenants.services.tenants import delete_tenant
from tests.delivery.conftest import BODY, HEADER, a_message

pytestmark = [pytest.mark.django_db, pytest.mark.filterwarnings("ignore:No directory at")]
State = Delivery.State
ADA = Actor("ada@ada.example")
ADDRESS, FRIEND = "hi@example.org", "friend@far.example"


@pytest.fixture(autouse=True)
def quiet_bell(monkeypatch):
    monkeypatch.setattr("delivery.bell.ring", lambda: None)


def kept(person, *, hold=Hold.NONE, days=0, route_id=None, **more) -> Delivery:
    """A message in the queue as the edge keeps it, held from the first moment."""
    octets = HEADER + b"\r\n" + BODY
    planned = PlannedDelivery(
        ADDRESS, FRIEND, route_id, hold=hold, hold_reason=f"{hold.name} said so", hold_days=days
    )
    plan = replace(a_message(), tenant_id=person.tenant.pk, deliveries=(planned,), **more)
    insert_messages([KeptMessage(plan, (octets,), 0, 1)])
    return Delivery.objects.get(message_id=plan.trace_id)


def state(row: Delivery) -> tuple[int, int]:
    return Delivery.objects.filter(pk=row.pk).values_list("state", "hold")[0]


def release_as_member(person, row: Delivery) -> int:
    return tenant_queue.release(tenant_id=person.tenant.pk, trace_id=row.message_id, actor=ADA)


@pytest.fixture
def route(ada) -> Route:
    ada.has_domain("example.org")
    ada.has_route(ADDRESS, FRIEND)
    return paused(ada)


def paused(person, mode=RouteMode.HOLD) -> Route:
    return set_mode(tenant=person.tenant, address=ADDRESS, mode=mode, actor="test")


def test_what_is_held_from_the_first_moment_says_so_in_the_log(ada):
    row = kept(ada, hold=Hold.QUARANTINE, days=14)

    assert state(row) == (State.HELD, Hold.QUARANTINE)
    assert timedelta(days=13) < row.held_until - timezone.now() < timedelta(days=15)
    event = DeliveryEvent.objects.get(kind="held")
    assert event.data["reason"] == "QUARANTINE said so"


@pytest.mark.parametrize("holder", [Hold.TENANT, Hold.ROUTE, Hold.QUARANTINE])
def test_a_member_releases_what_his_side_holds(ada, holder):
    row = kept(ada, hold=holder, days=7)

    assert release_as_member(ada, row) == 1

    row.refresh_from_db()
    assert (row.state, row.hold, row.hold_reason, row.held_until) == (State.QUEUED, 0, "", None)
    assert row.released_at is not None


@pytest.mark.parametrize("holder", [Hold.NONE, Hold.OPERATOR, Hold.SUSPECT])
def test_what_the_operator_holds_only_he_lets_go(ada, holder):
    row = kept(ada)
    Delivery.objects.update(state=State.HELD, hold=holder, leases_lost=5)

    with pytest.raises(NotAllowed, match="The operator holds this message"):
        release_as_member(ada, row)

    row.refresh_from_db()
    assert (row.state, row.leases_lost) == (State.HELD, 5)
    assert queue_services.release(Selection(ids=(row.pk,)), ring=lambda: None) == 1
    row.refresh_from_db()
    assert (row.state, row.leases_lost, row.hold) == (State.QUEUED, 0, 0)


def test_each_hold_names_its_holder(ada):
    mine, his = kept(ada), kept(ada)

    tenant_queue.hold(tenant_id=ada.tenant.pk, trace_id=mine.message_id, actor=ADA)
    queue_services.hold(Selection())

    assert [state(mine)[1], state(his)[1]] == [Hold.TENANT, Hold.OPERATOR]


def test_an_operator_who_names_a_message_takes_over_its_hold(ada):
    row = kept(ada, hold=Hold.QUARANTINE, days=14)

    assert queue_services.hold(Selection(tenant_id=ada.tenant.pk)) == 0
    assert queue_services.hold(Selection(trace_id=row.message_id)) == 1

    row.refresh_from_db()
    assert (row.hold, row.held_until) == (Hold.OPERATOR, None)
    with pytest.raises(NotAllowed):
        release_as_member(ada, row)


def test_a_route_that_is_on_again_lets_its_mail_go(ada, route):
    mine, other = (kept(ada, hold=Hold.ROUTE, days=7, route_id=n) for n in (route.pk, 0))

    paused(ada, RouteMode.ON)

    assert [state(one)[0] for one in (mine, other)] == [State.QUEUED, State.HELD]
    event = DeliveryEvent.objects.get(kind="released")
    assert event.data["reason"] == "released by its route, which is on again"


def test_it_goes_where_it_was_planned_to_go(ada, route):
    row = kept(ada, hold=Hold.ROUTE, days=7, route_id=route.pk)

    edit = RouteEdit(destinations=["other@far.example"], mode=RouteMode.ON)
    edit_route(tenant=ada.tenant, address=ADDRESS, edit=edit, actor="test")

    assert state(row)[0] == State.QUEUED
    assert Delivery.objects.get(pk=row.pk).destination == FRIEND


def test_an_import_that_switches_it_on_does_the_same(ada, route):
    row = kept(ada, hold=Hold.ROUTE, days=7, route_id=route.pk)

    text = f"address,destinations,mode\n{ADDRESS},{FRIEND},on\n"
    apply_import(tenant=ada.tenant, text=text, actor="test")

    assert state(row)[0] == State.QUEUED


@pytest.mark.parametrize("mode", [RouteMode.REFUSE, RouteMode.DEFER, RouteMode.DROP])
def test_another_pause_lets_nothing_go(ada, route, mode):
    row = kept(ada, hold=Hold.ROUTE, days=7, route_id=route.pk)

    paused(ada, mode)
    holds.release_for_routes_on()

    assert state(row) == (State.HELD, Hold.ROUTE)


def test_of_a_stopped_tenant_nothing_goes_until_his_mail_flows(ada, route):
    row = kept(ada, hold=Hold.ROUTE, days=7, route_id=route.pk)
    suspend_tenant(tenant=ada.tenant, actor="root", for_abuse=True)

    paused(ada, RouteMode.ON)

    assert state(row)[0] == State.HELD


def test_what_came_in_while_the_route_was_switched_on_is_found_later(ada, route, mallory):
    paused(ada, RouteMode.ON)
    late = kept(ada, hold=Hold.ROUTE, days=7, route_id=route.pk)
    hers = kept(mallory, hold=Hold.ROUTE, days=7, route_id=route.pk)

    housekeeping._sweep_queue()

    assert state(late)[0] == State.QUEUED
    assert state(hers)[0] == State.HELD, "a route with the same number is another tenant's"


def test_mail_of_a_route_in_the_trash_stays_and_is_released_by_hand(ada, route):
    one, two = (kept(ada, hold=Hold.ROUTE, days=7, route_id=route.pk) for _ in range(2))
    remove_route(tenant=ada.tenant, address=ADDRESS, actor="test")
    holds.release_for_routes_on()
    assert state(one)[0] == State.HELD

    release_as_member(ada, one)
    restore_route(tenant=ada.tenant, route_id=route.pk, actor="test")

    assert (state(one)[0], state(two)[0]) == (State.QUEUED, State.HELD)


def test_whoever_stops_the_forwarding_gets_nothing_that_was_held(ada, route):
    kept(ada, hold=Hold.ROUTE, days=7, route_id=route.pk)
    with tenant_schema(ada.tenant.pk):
        friend = Destination.objects.get()
    token = stop_token(ada.tenant.pk, friend.pk, FRIEND)

    stop_by_owner(str(token), client_ip=None)

    assert not Delivery.objects.exists()
    assert not Content.objects.exists()


@pytest.mark.parametrize(
    ("holder", "why"),
    [
        (Hold.QUARANTINE, "nobody released it from quarantine in time"),
        (Hold.ROUTE, "its route was paused for longer than mail is kept"),
    ],
)
def test_at_its_end_it_is_deleted_with_its_content_and_the_log_says_why(ada, holder, why):
    over, waits = (kept(ada, hold=holder, days=7) for _ in range(2))
    Delivery.objects.filter(pk=over.pk).update(held_until=timezone.now() - timedelta(seconds=1))

    housekeeping._sweep_queue()

    assert list(Message.objects.values_list("pk", flat=True)) == [waits.message_id]
    assert Content.objects.count() == 1
    event = DeliveryEvent.objects.get(kind="deleted")
    assert (event.message_id, event.data["reason"]) == (over.message_id, why)


def test_the_end_is_looked_for_every_ten_minutes():
    assert SCHEDULE["sweep the queue"]["schedule"] == 600.0


def test_what_waits_by_policy_makes_the_queue_no_older(ada):
    waits, released, held = (kept(ada, hold=Hold.QUARANTINE, days=14) for _ in range(3))
    Message.objects.update(accepted_at=timezone.now() - timedelta(days=10))
    queue_services.release(Selection(ids=(released.pk,)), ring=lambda: None)
    assert queue_status().oldest_age_seconds < 60

    queue_services.hold(Selection(ids=(held.pk,)))
    assert queue_status().oldest_age_seconds > 800_000
    assert state(waits) == (State.HELD, Hold.QUARANTINE)


def test_an_erased_tenant_leaves_nothing_in_quarantine(ada, mallory):
    kept(ada, hold=Hold.QUARANTINE, days=14)
    hers = kept(mallory, hold=Hold.QUARANTINE, days=14)
    for person in (ada, mallory):
        QuarantineDigest.objects.create(tenant_id=person.tenant.pk, sent_at=timezone.now())

    delete_tenant(tenant=ada.tenant, typed="ada", actor="root")

    assert list(Delivery.objects.values_list("pk", flat=True)) == [hers.pk]
    assert list(Content.objects.values_list("message_id", flat=True)) == [hers.message_id]
    assert [one.pk for one in QuarantineDigest.objects.all()] == [mallory.tenant.pk]


def test_what_an_operator_or_a_member_holds_has_no_end(ada):
    row = kept(ada)
    queue_services.hold(Selection())

    housekeeping._sweep_queue()

    assert state(row) == (State.HELD, Hold.OPERATOR)
