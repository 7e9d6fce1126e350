"""Routes that are taken away, brought back, changed, or come to their end."""

from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from django.db import connection
from django.utils import timezone

from mail.facts import RouteMode
from routing.listing import Wanted, routes_where
from routing.models import AuditEntry, Destination, Route, RouteDestination
from routing.selectors import domain_snapshot, route_lines
from routing.services import (
    RouteEdit,
    add_route,
    confirm_destination,
    edit_route,
    purge_trash,
    remove_route,
    restore_route,
    set_mode,
)
from tenants.context import tenant_schema
from tenants.errors import DestinationRefused, ExpiryRefused, RouteRefused, UnknownName
from tests.timing import within_cpu

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada(ada):
    ada.has_domain("example.org")
    ada.has_route("hi@example.org", "friend@away.example")
    return ada


def match(local_part):
    return domain_snapshot("example.org").routes.match(local_part)


def remove(person, address="hi@example.org"):
    return remove_route(tenant=person.tenant, address=address, actor="test")


def restore(person, route):
    return restore_route(tenant=person.tenant, route_id=route.pk, actor="test")


def edit(person, address="hi@example.org", **values):
    return edit_route(tenant=person.tenant, address=address, edit=RouteEdit(**values), actor="test")


def in_tenant(person):
    return tenant_schema(person.tenant.pk)


def moved(person, **columns):
    with in_tenant(person):
        Route.with_trash.update(**columns)


def actions(person):
    with in_tenant(person):
        return list(AuditEntry.objects.order_by("id").values_list("action", flat=True))


def test_a_removed_route_is_unknown_at_once_and_comes_back_as_it_was(ada):
    route = remove(ada)

    assert match("hi") is None
    assert route_lines(ada.tenant) == []

    restore(ada, route)

    assert match("hi").route.destinations == ("friend@away.example",)
    assert actions(ada)[-2:] == ["route.removed", "route.restored"]


def test_the_edges_are_told_of_removing_and_restoring(ada, monkeypatch):
    told = []
    monkeypatch.setattr("routing.services.trash.routes_changed", told.append)

    restore(ada, remove(ada))

    assert told == ["example.org", "example.org"]


def test_a_catch_all_takes_over_from_a_removed_route(ada):
    ada.has_route("*@example.org", "rest@away.example")

    remove(ada)

    assert match("hi").route.destinations == ("rest@away.example",)


def test_the_place_of_a_removed_route_is_free(ada):
    old = remove(ada)
    ada.has_route("hi@example.org", "other@away.example")

    with pytest.raises(RouteRefused, match="already"):
        restore(ada, old)

    assert match("hi").route.destinations == ("other@away.example",)


def test_a_route_that_would_tie_stays_in_the_trash(ada):
    ada.has_route("a*@example.org", "friend@away.example")
    old = remove(ada, "a*@example.org")
    ada.has_route("*a@example.org", "friend@away.example")

    with pytest.raises(RouteRefused, match="ties"):
        restore(ada, old)


def test_a_route_that_would_close_a_circle_stays_in_the_trash(ada):
    ada.has_route("a@example.org", "b@example.org")
    old = remove(ada, "a@example.org")
    ada.has_route("b@example.org", "a@example.org")

    with pytest.raises(RouteRefused, match="circle"):
        restore(ada, old)


def test_nobody_restores_a_route_of_another_tenant(ada, mallory):
    old = remove(ada)

    with pytest.raises(UnknownName):
        restore(mallory, old)


def test_what_is_in_the_trash_is_not_asked_for_again(ada):
    ada.has_route("later@example.org", "unasked@away.example", confirmed=False)
    remove(ada, "later@example.org")

    from routing.services import ask_again

    with pytest.raises(UnknownName):
        ask_again(tenant=ada.tenant, address="unasked@away.example", actor="test")


def test_after_thirty_days_it_is_gone_with_the_destinations_nobody_names(ada):
    ada.has_route("stays@example.org", "kept@away.example")
    remove(ada)
    long_ago = timezone.now() - timedelta(days=30, hours=1)
    with in_tenant(ada):
        Route.with_trash.filter(removed_at__isnull=False).update(removed_at=long_ago)
        Destination.objects.update(created_at=long_ago, asked_at=None)

    assert purge_trash(tenant=ada.tenant, dry_run=True) == 1
    assert purge_trash(tenant=ada.tenant) == 2

    with in_tenant(ada):
        assert Route.with_trash.count() == 1
        assert [one.address for one in Destination.objects.all()] == ["kept@away.example"]
    assert actions(ada)[-1] == "route.purged"


def test_a_day_before_nothing_is_gone(ada):
    remove(ada)
    moved(ada, removed_at=timezone.now() - timedelta(days=29))

    assert purge_trash(tenant=ada.tenant) == 0

    with in_tenant(ada):
        assert routes_where(state=Wanted.TRASH).count() == 1


def test_a_route_past_its_end_is_not_there(ada):
    ada.has_route("*@example.org", "rest@away.example")
    moved(ada, expires_at=None)
    with in_tenant(ada):
        Route.objects.filter(pattern="hi").update(expires_at=timezone.now())

    assert match("hi").route.destinations == ("rest@away.example",)
    assert {line.address: line.state for line in route_lines(ada.tenant)} == {
        "*@example.org": "on",
        "hi@example.org": "expired",
    }


def test_a_snapshot_says_how_long_it_holds(ada):
    assert domain_snapshot("example.org").good_for_seconds is None

    edit(ada, expires_at=timezone.now() + timedelta(hours=2))
    ada.has_route("later@example.org", "friend@away.example")
    edit(ada, "later@example.org", expires_at=timezone.now() + timedelta(days=2))

    assert 7190 < domain_snapshot("example.org").good_for_seconds <= 7200


@pytest.mark.parametrize(
    "end", [datetime(2020, 1, 1, tzinfo=UTC), datetime(2999, 1, 1, tzinfo=UTC)]
)
def test_an_end_lies_ahead_and_not_beyond_ten_years(ada, end):
    with pytest.raises(ExpiryRefused):
        edit(ada, expires_at=end)


def test_the_end_of_a_route_may_not_close_a_circle(ada):
    ada.has_route("relay@example.org", "hi@example.org")
    ada.has_route("*@example.org", "relay@example.org")

    # While hi@ is there its mail goes away; then relay@ -> hi@ falls to the catch-all -> relay@.
    with pytest.raises(RouteRefused, match="circle"):
        edit(ada, expires_at=timezone.now() + timedelta(days=1))


def test_an_edit_changes_what_it_names_and_asks_only_who_is_new(ada):
    edit(ada, destinations=["new@away.example", "friend@away.example"], note=" for friends ")

    with in_tenant(ada):
        route = Route.objects.get()
        entry = AuditEntry.objects.get(action="route.changed")
        asked = list(AuditEntry.objects.filter(action="destination.asked"))
    assert route.note == "for friends"
    assert match("hi").route.destinations == ("friend@away.example",)
    assert match("hi").route.unconfirmed == 1
    assert entry.old == {"destinations": ["friend@away.example"], "note": None}
    assert entry.new["destinations"] == ["new@away.example", "friend@away.example"]
    assert [one.subject for one in asked][-1] == "new@away.example"
    assert "friend@away.example" not in [one.subject for one in asked]


def test_an_edit_that_is_refused_changes_nothing(ada):
    with pytest.raises(DestinationRefused):
        edit(ada, destinations=["no address"], note="new")
    with pytest.raises(RouteRefused, match="circle"):
        edit(ada, destinations=["hi@example.org"], note="new")

    with in_tenant(ada):
        assert Route.objects.get().note == ""
        assert RouteDestination.objects.count() == 1


def test_a_destination_taken_out_gets_nothing_more(ada):
    edit(ada, destinations=["other@away.example"])
    confirm_destination(tenant=ada.tenant, address="other@away.example", actor="test")

    assert match("hi").route.destinations == ("other@away.example",)


def test_a_domain_has_two_hundred_patterns_with_a_star_at_most(ada):
    with in_tenant(ada):
        domain = Route.objects.get().domain
        Route.objects.bulk_create(
            Route(domain=domain, pattern=f"{n:03}-*", pattern_key=f"{n:03}-*") for n in range(200)
        )

    with pytest.raises(RouteRefused, match="200"):
        ada.has_route("more-*@example.org", "friend@away.example")
    ada.has_route("more@example.org", "friend@away.example")


def test_resuming_forgets_why_it_was_paused(ada):
    moved(ada, mode="refuse", paused_because="failures")

    set_mode(tenant=ada.tenant, address="hi@example.org", mode=RouteMode.ON, actor="test")

    with in_tenant(ada):
        assert Route.objects.get().paused_because == ""


def test_the_lists_states_are_what_the_edge_answers(ada):
    ada.has_route("paused@example.org", "friend@away.example")
    set_mode(tenant=ada.tenant, address="paused@example.org", mode=RouteMode.DROP, actor="test")
    ada.has_route("unasked@example.org", "nobody@away.example", confirmed=False)
    ada.has_route("ended@example.org", "friend@away.example")
    with in_tenant(ada):
        Route.objects.filter(pattern="ended").update(expires_at=timezone.now())
    ada.has_route("gone@example.org", "friend@away.example")
    remove(ada, "gone@example.org")

    with in_tenant(ada):
        found = {
            wanted.value: [one.pattern for one in routes_where(state=wanted)] for wanted in Wanted
        }

    assert found == {
        "on": ["hi"],
        "paused": ["paused"],
        "unconfirmed": ["unasked"],
        "expired": ["ended"],
        "trash": ["gone"],
    }


def test_five_thousand_routes_that_end_are_judged_quickly(ada):
    """Each end is looked at for circles, but only where mail stays inside at all."""
    with in_tenant(ada):
        domain = Route.objects.get().domain
        now = timezone.now()
        Route.objects.bulk_create(
            Route(
                domain=domain,
                pattern=f"u{n}",
                pattern_key=f"u{n}",
                expires_at=now + timedelta(days=1, minutes=n),
            )
            for n in range(5000)
        )
        connection.cursor().execute("ANALYZE")
    addresses = (f"x{n}@example.org" for n in count())

    def add() -> None:
        add_route(
            tenant=ada.tenant,
            address=next(addresses),
            destinations=["y@away.example"],
            actor="test",
        )

    within_cpu(add, seconds=2)
