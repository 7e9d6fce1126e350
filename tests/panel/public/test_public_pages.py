"""Pages for everybody: true, whole, and without a query but for the status."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.urls import reverse

from delivery.latency import BOUNDS, Latency, percentile
from delivery.models import ServicePulse, WorkerHeartbeat
from delivery.pulse import feel_pulse, last_day
from panel.public.privacy import kept_of_mail, kept_of_people
from panel.public.providers import PROVIDERS
from tenants.clock import database_now
from tests.panel.markup import faults

pytestmark = pytest.mark.django_db

STILL = ("landing", "how-it-works", "dns-help", "privacy")


def page(client: Any, name: str, *args: object) -> str:
    return client.get(reverse(f"public:{name}", args=args)).content.decode()


@pytest.fixture
def healthy(monkeypatch):
    """The edge answers and the loops live, or not."""
    from delivery.health import Check

    said = {"database": True, "edge": True, "workers": True}
    monkeypatch.setattr(
        "delivery.pulse.check_all", lambda: tuple(Check(n, ok, "") for n, ok in said.items())
    )
    return said


def test_pages_that_stand_still_ask_the_database_nothing(client, django_assert_num_queries):
    for name in STILL:
        with django_assert_num_queries(0):
            assert faults(page(client, name)) == [], name


def test_each_provider_has_a_page_and_others_have_none(client):
    for provider in PROVIDERS:
        assert faults(page(client, "dns-provider", provider.slug)) == []
    assert client.get("/dns-help/nobody/").status_code == 404


@pytest.mark.parametrize(("sign_up", "word"), [(True, "Open an account"), (False, "by invitation")])
def test_the_landing_page_offers_an_account_only_where_one_can_be_made(
    client, monkeypatch, sign_up, word
):
    changed = dataclasses.replace(settings.ENV, sign_up=sign_up)
    monkeypatch.setattr("panel.public.views.settings.ENV", changed)

    assert word in page(client, "landing")


def test_the_privacy_page_says_what_is_set(client, monkeypatch, settings):
    assert "30 days by default" in page(client, "privacy")
    settings.SESSION_IDLE_SECONDS = 7 * 3600
    monkeypatch.setattr(
        "panel.public.privacy.KEPT_DAYS",
        {"refusal tallies": 3, "service events": 1, "usage": 60, "notice tallies": 45},
    )

    told = page(client, "privacy")

    assert "after 7 hours without use" in told
    assert "3 days" in told
    assert "1 day</td>" in told


# Nothing of a person is in these: keys of the service, its own state, and what Django needs.
OF_NOBODY = {
    *("tenants_sealedsecret", "tenants_servicekey", "tenants_datakeyproof"),
    *("delivery_workerheartbeat", "delivery_servicepulse", "delivery_retentionrun"),
    *("delivery_quarantinedigest", "django_content_type", "auth_permission", "auth_group"),
    *("auth_group_permissions", "tenants_user_groups", "tenants_user_user_permissions"),
    # Never written: the admin sites keep the audit, recovery codes are our own.
    *("django_admin_log", "otp_static_staticdevice", "otp_static_statictoken"),
}


def test_the_privacy_page_tells_of_every_table():
    told = {table for one in (*kept_of_mail(), *kept_of_people()) for table in one.tables}
    there = {model._meta.db_table for model in apps.get_models(include_auto_created=True)}

    assert there - OF_NOBODY == told


def test_the_privacy_page_tells_how_long_greylisting_remembers(client):
    assert "36 days after his last message" in page(client, "privacy")


def test_pages_say_whether_mail_is_scanned(client, monkeypatch):
    assert "no scanner is set up" in page(client, "how-it-works")
    changed = dataclasses.replace(settings.ENV, clamd=("127.0.0.1:3310",))
    monkeypatch.setattr("panel.public.views.settings.ENV", changed)

    assert "Scanners give each message a score" in page(client, "how-it-works")
    assert "scanners of this installation" in page(client, "privacy")


def test_without_a_measurement_the_status_claims_nothing(client):
    told = page(client, "status")

    assert "Not measured yet" in told
    assert "100 %" not in told


def test_the_status_counts_the_minutes_and_the_time_to_delivery(client, healthy):
    fast, slow = Latency(), Latency()
    WorkerHeartbeat.objects.create(name="w1", at=database_now(), latency=fast.counts())
    feel_pulse()
    ServicePulse.objects.update(minute=database_now() - timedelta(minutes=2))
    for _ in range(96):
        fast.observe(0.05)
    for _ in range(4):
        fast.observe(50)
    for _ in range(900):
        slow.observe(0.05)
    WorkerHeartbeat.objects.update(latency=fast.counts())
    WorkerHeartbeat.objects.create(name="w2", at=database_now(), latency=slow.counts())

    feel_pulse()

    day = last_day()
    assert day.whole.delivered == 1000
    assert day.whole.p95_seconds == 0.056
    told = page(client, "status")
    assert "Mail is flowing" in told
    assert "100 %" in told
    assert "56 ms" in told


def test_a_minute_in_which_the_edge_did_not_answer_is_never_rounded_away(client, healthy):
    now = database_now().replace(second=0, microsecond=0)
    for back in range(600):
        ServicePulse.objects.create(
            minute=now - timedelta(minutes=back + 1),
            accepts=back != 300,
            sends=True,
            queue_age_seconds=back,
            latency=[],
            seen={},
        )

    told = page(client, "status")

    assert "99.83 %" in told
    assert "10 min" in told


def test_a_service_that_is_down_says_so(client, healthy):
    healthy["edge"] = False
    feel_pulse()

    assert "Something is wrong" in page(client, "status")
    assert faults(page(client, "status")) == []


def test_old_minutes_go(healthy):
    ServicePulse.objects.create(
        minute=database_now() - timedelta(days=9),
        accepts=True,
        sends=True,
        queue_age_seconds=0,
        latency=[],
        seen={},
    )

    feel_pulse()

    assert ServicePulse.objects.count() == 1


def test_a_percentile_is_the_bound_of_its_class():
    counts = [0] * (len(BOUNDS) + 1)
    assert percentile(counts, 0.95) is None
    counts[0], counts[-1] = 95, 5
    assert percentile(counts, 0.95) == BOUNDS[0]
    counts[-1] = 6
    assert percentile(counts, 0.95) == float("inf")
