"""A day before mail of a paused route is deleted its owners hear of it, once."""

from __future__ import annotations

import email
from datetime import timedelta
from email import policy as mail_policy

import pytest
from django.utils import timezone

from delivery import holds, housekeeping
from delivery.kept_content import FailedContent
from delivery.models import Delivery, Message
from mail.facts import RouteMode
from mail.plan import Hold
from routing.models import Route
from routing.services import remove_route, set_mode
from tenants.context import tenant_schema
from tenants.models import Membership
from tenants.services import suspend_tenant
from tenants.services.owners import pause_mail
from tests.delivery.test_holds import ADA, ADDRESS, FRIEND, kept, quiet_bell

__all__ = ["quiet_bell"]
pytestmark = [pytest.mark.django_db, pytest.mark.filterwarnings("ignore:No directory at")]


@pytest.fixture
def route(ada) -> Route:
    ada.has_domain("example.org")
    ada.has_route(ADDRESS, FRIEND)
    paused(ada, ADDRESS)
    return the_route(ada)


def paused(person, address: str, mode: RouteMode = RouteMode.HOLD) -> None:
    set_mode(tenant=person.tenant, address=address, mode=mode, actor=ADA)


def the_route(person) -> Route:
    with tenant_schema(person.tenant.pk):
        return Route.with_trash.select_related("domain").get()


def waits(person, route: Route, *, ends_in: timedelta) -> Delivery:
    row = kept(person, hold=Hold.ROUTE, days=7, route_id=route.pk)
    Delivery.objects.filter(pk=row.pk).update(held_until=timezone.now() + ends_in)
    return row


def told() -> list[tuple[str, str, str]]:
    """(to, subject, text on one line) of what was queued for owners."""
    found = []
    for one in Message.objects.filter(direction="notice").order_by("id"):
        octets = b"".join(FailedContent(one.tenant_id, one.id, one.chunk_count, True).octets())
        mail = email.message_from_bytes(octets, policy=mail_policy.default)
        found.append((mail["To"], mail["Subject"], " ".join(mail.get_content().split())))
    return found


def six_days_later(person) -> None:
    with tenant_schema(person.tenant.pk):
        Route.with_trash.update(held_told_at=timezone.now() - timedelta(days=6, seconds=1))


def test_owners_hear_of_it_a_day_before(ada, ben, route):
    waits(ada, route, ends_in=timedelta(hours=23))
    waits(ada, route, ends_in=timedelta(hours=5))
    waits(ada, route, ends_in=timedelta(days=3))
    Membership.objects.get(user=ben.user, tenant=ada.tenant)

    housekeeping._sweep_queue()

    ((to, subject, text),) = told()
    assert to == "ada@ada.example"
    assert subject == "Mail held for a paused route is deleted tomorrow"
    assert f"{ADDRESS}: 2 messages are deleted within a day, the first on" in text
    assert f"/t/ada/routes/{route.pk}/" in text


def test_what_ends_later_is_no_news(ada, route):
    waits(ada, route, ends_in=timedelta(days=1, minutes=1))

    assert holds.tell_of_ends() == 0
    assert told() == []


def test_they_hear_of_it_once(ada, route):
    waits(ada, route, ends_in=timedelta(hours=23))

    counts = [holds.tell_of_ends() for _ in range(3)]
    waits(ada, route, ends_in=timedelta(hours=20))

    assert counts == [1, 0, 0]
    assert holds.tell_of_ends() == 0
    assert len(told()) == 1


def test_a_pause_that_goes_on_is_told_of_again_after_six_days(ada, route):
    waits(ada, route, ends_in=timedelta(hours=23))
    holds.tell_of_ends()
    changed_at = the_route(ada).changed_at

    six_days_later(ada)

    assert holds.tell_of_ends() == 1
    assert len(told()) == 2
    assert the_route(ada).changed_at == changed_at  # else failures would count anew


def test_several_routes_are_one_mail(ada, route):
    ada.has_route("sales@example.org", FRIEND)
    paused(ada, "sales@example.org")
    with tenant_schema(ada.tenant.pk):
        both = list(Route.objects.select_related("domain").order_by("pk"))
    for one in both:
        waits(ada, one, ends_in=timedelta(hours=2))

    assert holds.tell_of_ends() == 2
    ((_, _, text),) = told()
    assert ADDRESS in text
    assert "sales@example.org: 1 message is deleted" in text


def test_a_route_in_the_trash_is_told_of_too(ada, route):
    waits(ada, route, ends_in=timedelta(hours=2))
    remove_route(tenant=ada.tenant, address=ADDRESS, actor=ADA)

    assert holds.tell_of_ends() == 1
    assert "in the trash" in told()[0][2]


def test_neither_routes_that_are_on_nor_quarantine_nor_stopped_tenants(ada, mallory, route):
    waits(ada, route, ends_in=timedelta(hours=2))
    kept(mallory, hold=Hold.QUARANTINE, days=1)
    suspend_tenant(tenant=ada.tenant, actor="root", for_abuse=True)
    assert holds.tell_of_ends() == 0

    with tenant_schema(ada.tenant.pk):
        Route.objects.update(mode=RouteMode.ON.value)
    ada.tenant.standing = "active"
    ada.tenant.save()

    assert holds.tell_of_ends() == 0
    assert told() == []


def test_owners_who_paused_their_tenant_are_told_too(ada, route):
    waits(ada, route, ends_in=timedelta(hours=2))
    pause_mail(tenant=ada.tenant, actor=ADA)

    assert holds.tell_of_ends() == 1
