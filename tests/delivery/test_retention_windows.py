"""A pass looks at what came of age since the last one, and at everything where that may not do."""

from datetime import UTC, datetime, timedelta

import pytest

from delivery import retention
from delivery.messagelog.models import LoggedEvent
from delivery.models import RetentionRun
from delivery.retention import apply_to_tenant
from delivery.retention_windows import OVERLAP, Window, seen_to_until, windows_of
from mail.facts import LogLevel
from routing.services.logpolicy import Keeping, set_policy
from tenants.audit import Actor
from tenants.context import tenant_schema
from tests.delivery.log_words import (
    a_trace_id,
    accepted,
    age_log,
    attempted,
    logged_messages,
    the_log_writer_runs,
)
from tests.delivery.test_housekeeping import ago
from tests.delivery.test_retention import of_domain

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def same_day(monkeypatch):
    """No day begins while a test runs, however far its clock goes."""
    last = RetentionRun.objects.order_by("finished_at")
    monkeypatch.setattr("delivery.retention_windows.database_now", lambda: last.get().finished_at)


def walks_from_the_oldest(tenant, monkeypatch) -> int:
    """How many walks of a pass begin at the oldest row."""
    from_the_oldest = []
    walk = retention._walk

    def watched(rows, values, window):
        from_the_oldest.append(window.after == "-infinity")
        return walk(rows, values, window)

    monkeypatch.setattr(retention, "_walk", watched)
    apply_to_tenant(tenant.pk)
    monkeypatch.setattr(retention, "_walk", walk)
    return sum(from_the_oldest)


def ids_of(tenant) -> set:
    return {one.trace_id for one in logged_messages(tenant)}


def seen_to_until_in(person):
    with tenant_schema(person.tenant.pk):
        return seen_to_until(person.tenant.pk)


def mail_of_each_age(tenant, ages, *, to=("hi@ada.example",)) -> list:
    """One message of each age in days, oldest first; to the last of `to` or to them in order."""
    ids = []
    recipients = [*to, *to[-1:] * len(ages)]
    for older, younger, to in zip(ages, [*ages[1:], 0], recipients, strict=False):
        ids.append(a_trace_id())
        accepted(tenant, ids[-1], recipients=((to, "f@far.example"),))
        attempted(tenant, ids[-1], "f@far.example", "delivered", recipient=to)
        the_log_writer_runs()
        age_log(tenant, older - younger)
    return ids


def test_where_all_days_are_the_same_there_is_one_window_from_the_oldest_on():
    assert windows_of((30,), NOON) == [Window(30)]
    assert windows_of((1, 30), None) == [Window(1)]
    assert windows_of((1, 30), NOON) == [
        Window(1, NOON - OVERLAP - timedelta(days=1)),
        Window(30, NOON - OVERLAP - timedelta(days=30)),
    ]


def test_mail_of_a_domain_with_shorter_days_goes_as_it_comes_of_age(ada, same_day):
    of_domain(ada.tenant, "short.example", message_days=1, attempt_days=1)
    apply_to_tenant(ada.tenant.pk)
    ages, to = [29.99, 20, 0.99, 0.98], ("a@ada.example",) * 3 + ("hi@short.example",)
    oldest, old, young, short = mail_of_each_age(ada.tenant, ages, to=to)
    RetentionRun.objects.update(finished_at=ago(minutes=1))

    apply_to_tenant(ada.tenant.pk)
    assert ids_of(ada.tenant) == {oldest, old, young, short}
    for _ in range(3):  # a pass every half an hour
        age_log(ada.tenant, 0.02)
        assert seen_to_until_in(ada) is not None
        apply_to_tenant(ada.tenant.pk)

    assert ids_of(ada.tenant) == {old, young}
    with tenant_schema(ada.tenant.pk):
        assert set(LoggedEvent.objects.values_list("trace_id", flat=True)) == {old, young}


def test_a_pass_that_comes_late_makes_up_for_the_time_between(ada, same_day):
    of_domain(ada.tenant, "short.example", message_days=1, attempt_days=1)
    mail_of_each_age(ada.tenant, [0.5, 0.1], to=("hi@short.example",))
    apply_to_tenant(ada.tenant.pk)
    assert len(ids_of(ada.tenant)) == 2

    age_log(ada.tenant, 5)
    apply_to_tenant(ada.tenant.pk)

    assert ids_of(ada.tenant) == set()


def test_only_the_first_pass_of_a_day_reads_all(ada, monkeypatch):
    of_domain(ada.tenant, "short.example", message_days=1, attempt_days=1, refused_days=1)
    now = [NOON]
    monkeypatch.setattr("delivery.retention_windows.database_now", lambda: now[0])
    assert walks_from_the_oldest(ada.tenant, monkeypatch) > 5

    RetentionRun.objects.update(finished_at=NOON - timedelta(minutes=15))
    assert walks_from_the_oldest(ada.tenant, monkeypatch) == 0
    RetentionRun.objects.update(finished_at=NOON - timedelta(hours=13))
    assert walks_from_the_oldest(ada.tenant, monkeypatch) > 5


def test_after_a_change_of_policies_or_domains_all_is_read(ada, same_day, monkeypatch):
    of_domain(ada.tenant, "short.example", message_days=1)
    mail_of_each_age(ada.tenant, [20, 10])
    apply_to_tenant(ada.tenant.pk)
    assert seen_to_until_in(ada) is not None

    keeping = Keeping(LogLevel.METADATA, 15, 15, 15, 0)
    set_policy(tenant=ada.tenant, keeping=keeping, actor=Actor("ada"))
    assert seen_to_until_in(ada) is None
    apply_to_tenant(ada.tenant.pk)

    assert len(ids_of(ada.tenant)) == 1
    ada.has_domain("example.org")
    assert seen_to_until_in(ada) is None
    monkeypatch.setattr("delivery.retention_windows._CHANGES_WHAT_ENDS", ("never.",))
    assert seen_to_until_in(ada) is not None
    monkeypatch.setattr("delivery.retention_windows.MOST_CHANGES", 1)
    assert seen_to_until_in(ada) is None  # more was changed than anybody looks through
