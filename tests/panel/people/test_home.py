"""The first page of a tenant: what needs somebody, the figures, the first steps."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from delivery.messagelog.models import RouteDay
from tenants.clock import database_now
from tenants.context import tenant_schema
from tenants.models import ClaimedDomain, DomainCheck, SupportGrant, User
from tests.timing import within_cpu

pytestmark = pytest.mark.django_db


def home(person) -> str:
    answer: Any = person.client().get(person.url("home"))
    assert answer.status_code == 200
    html: str = answer.content.decode()
    assert "<script" not in html
    return html


def counted(person, days_ago: int, **counts: int) -> None:
    with tenant_schema(person.tenant.pk):
        day = (database_now() - timedelta(days=days_ago)).date()
        RouteDay.objects.create(route_id=0, day=day, **counts)
        RouteDay.objects.create(route_id=7, day=day, **counts)


def test_an_empty_tenant_shows_the_first_steps(ada):
    html = home(ada)

    assert "First steps" in html
    assert "Add a domain" in html
    assert "Mail flows" not in html


def test_a_viewer_is_shown_no_steps_that_he_cannot_take(ada, ben):
    assert "First steps" not in home(ben)


def test_steps_that_were_taken_are_marked_and_go_when_all_are(ada):
    ada.has_domain("example.org")
    assert home(ada).count(">done<") == 2

    ada.has_route("hi@example.org", "a@far.example")
    counted(ada, 1, accepted=1, delivered=1)
    assert "First steps" not in home(ada)


def test_what_is_broken_is_named(ada):
    ada.has_domain("waiting.example", verified=False)
    for name in ("broken.example", "lost.example", "xn--bcher-kva.example"):
        ada.has_domain(name)
    ada.has_route("hi@broken.example", "asked@far.example", confirmed=False)
    DomainCheck.objects.create(claim=ClaimedDomain.objects.get(name="broken.example"), works=False)
    ClaimedDomain.objects.filter(name="lost.example").update(proof_missing_since=database_now())

    html = home(ada)

    for text in ("waiting.example", "broken.example", "lost.example", "1 destination is not"):
        assert text in html
    assert "bücher" not in html  # it works


def test_failures_of_today_are_told_and_thirty_days_summed(ada):
    counted(ada, 0, accepted=3, delivered=1, failed=2)
    counted(ada, 29, accepted=1000, delivered=1000)
    counted(ada, 30, accepted=500)

    html = home(ada)

    assert "2 deliveries failed today" in html
    assert "1\u202f003" in html
    assert "1\u202f503" not in html


def test_support_that_may_look_in_is_told_on_every_page(ada):
    sam = User.objects.create_user("sam@service.example", is_staff=True)
    now = database_now()
    SupportGrant.objects.create(
        tenant=ada.tenant,
        staff=sam,
        reason="Ticket 4711",
        starts_at=now,
        ends_at=now + timedelta(minutes=30),
    )
    for name in ("home", "people", "settings", "audit"):
        html = ada.client().get(ada.url(name)).content.decode()
        assert "Ticket 4711" in html
        assert "sam@service.example" in html


def test_the_page_takes_few_queries_with_two_hundred_domains(ada, django_assert_max_num_queries):
    now = database_now()
    ClaimedDomain.objects.bulk_create(
        ClaimedDomain(
            tenant=ada.tenant,
            name=f"d{n}.example",
            token="x",
            state="verified",
            proof="dns",
            verified_at=now,
        )
        for n in range(200)
    )
    client = ada.client()

    with django_assert_max_num_queries(12):
        client.get(ada.url("home"))


def test_six_thousand_domains_are_looked_through_at_once(ada):
    now = database_now()
    served = {"state": "verified", "proof": "dns", "verified_at": now}
    claims = ClaimedDomain.objects.bulk_create(
        ClaimedDomain(tenant=ada.tenant, name=f"d{number}.example", token="t" * 40, **values)
        for number, values in enumerate([served, {}] * 3000)
    )
    looked_at = [{"text": "v=spf1 include:mx.ax ~all", "why": "It names us."}] * 40
    DomainCheck.objects.bulk_create(
        DomainCheck(claim=claim, checked_at=now, works=False, report=looked_at) for claim in claims
    )

    html = within_cpu(lambda: home(ada), seconds=1)

    assert "2997 more" in html
