"""H14: what a tenant keeps for so many days is gone after them, by kind, domain and recipient."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from delivery import retention
from delivery.messagelog.models import LoggedEvent, LoggedMessage, LoggedName, RouteDay
from delivery.models import Delivery, RefusalTally, RetentionRun
from delivery.retention import apply_to_tenant, longest_wait
from mail.facts import LogLevel
from ops.doctor import machine
from ops.doctor.finding import Health
from routing.models import Domain, LogPolicy
from tenants.context import tenant_schema
from tests.delivery.log_words import (
    a_trace_id,
    accepted,
    age_log,
    attempted,
    logged_kinds,
    logged_messages,
    refused,
    the_log_writer_runs,
)
from tests.delivery.test_housekeeping import ago, policy
from tests.delivery.test_queue_services import in_queue

pytestmark = pytest.mark.django_db
State = Delivery.State


def of_domain(tenant, name: str, **days) -> None:
    with tenant_schema(tenant.pk):
        domain = Domain.objects.create(name=name)
        LogPolicy.objects.create(domain=domain, **days)


def names(tenant) -> set[str]:
    with tenant_schema(tenant.pk):
        return set(LoggedName.objects.values_list("name", flat=True))


@pytest.mark.parametrize("days", [0, 1, 7, 30])
def test_an_hour_after_its_days_nothing_is_left(ada, days):
    policy(ada.tenant, message_days=days, refused_days=days, attempt_days=days)
    trace_id = a_trace_id()
    accepted(ada.tenant, trace_id)
    attempted(ada.tenant, trace_id, "friend@far.example", "delivered")
    refused(ada.tenant, a_trace_id(), "nobody@ada.example")
    the_log_writer_runs()

    age_log(ada.tenant, days - 1 / 24)
    apply_to_tenant(ada.tenant.pk)
    before = len(logged_kinds(ada.tenant)), len(logged_messages(ada.tenant))
    age_log(ada.tenant, 2 / 24)
    apply_to_tenant(ada.tenant.pk)

    assert before == (3, 2)
    with tenant_schema(ada.tenant.pk):
        for model in (LoggedEvent, LoggedMessage, LoggedName):
            assert model.objects.count() == 0


def test_counts_of_a_day_go_after_four_hundred_days(ada):
    policy(ada.tenant, message_days=0, refused_days=0, attempt_days=0)
    today = timezone.now().date()
    with tenant_schema(ada.tenant.pk):
        for back in (0, 399, 402):
            RouteDay.objects.create(route_id=0, day=today - timedelta(days=back))

    apply_to_tenant(ada.tenant.pk, dry_run=True)
    apply_to_tenant(ada.tenant.pk)

    with tenant_schema(ada.tenant.pk):
        days = set(RouteDay.objects.values_list("day", flat=True))
    assert days == {today, today - timedelta(days=399)}


def test_what_names_two_domains_lives_as_long_as_the_stricter_says(ada):
    of_domain(ada.tenant, "short.example", message_days=1, attempt_days=1)
    both, other = a_trace_id(), a_trace_id()
    accepted(
        ada.tenant,
        both,
        recipients=(("hi@ada.example", "f@far.example"), ("hi@Short.example", "f@far.example")),
    )
    accepted(ada.tenant, other)
    the_log_writer_runs()
    age_log(ada.tenant, 2)

    apply_to_tenant(ada.tenant.pk)

    assert [one.trace_id for one in logged_messages(ada.tenant)] == [other]
    assert logged_kinds(ada.tenant) == ["accepted"]
    assert "to:hi@short.example" not in names(ada.tenant)


def test_a_domain_may_keep_longer_than_the_tenant(ada, monkeypatch):
    monkeypatch.setattr(retention, "BATCH", 2)
    policy(ada.tenant, refused_days=1)
    of_domain(ada.tenant, "long.example", refused_days=30)
    for number in range(5):
        refused(ada.tenant, a_trace_id(), f"nobody{number}@long.example")
        refused(ada.tenant, a_trace_id(), f"nobody{number}@ada.example")
    the_log_writer_runs()
    age_log(ada.tenant, 2)

    apply_to_tenant(ada.tenant.pk)

    left = {message.recipient.rpartition("@")[2] for message in logged_messages(ada.tenant)}
    assert left == {"long.example"}
    assert len(logged_kinds(ada.tenant)) == 5


def test_a_refused_recipient_of_accepted_mail_is_forgotten_with_the_refusals(ada):
    policy(ada.tenant, refused_days=1)
    trace_id = a_trace_id()
    for number in range(3):
        refused(ada.tenant, trace_id, f"nobody{number}@ada.example")
    accepted(ada.tenant, trace_id)
    the_log_writer_runs()
    age_log(ada.tenant, 2)

    apply_to_tenant(ada.tenant.pk)

    (message,) = logged_messages(ada.tenant)
    assert (message.state, message.recipient) == ("accepted", "hi@ada.example")
    assert not [name for name in (*names(ada.tenant), *message.names) if "nobody" in name]
    assert "to:hi@ada.example" in names(ada.tenant)


def test_counted_refusals_follow_the_days_of_refusals(ada, mallory):
    policy(ada.tenant, refused_days=1)
    of_domain(ada.tenant, "long.example", refused_days=3)
    for tenant, domain in (
        (ada.tenant, "ada.example"),
        (ada.tenant, "long.example"),
        (mallory.tenant, "mallory.example"),
    ):
        RefusalTally.objects.create(
            hour=ago(days=2), client_ip="192.0.2.7", domain=domain, tenant_id=tenant.pk, count=25
        )

    for tenant in (ada.tenant, mallory.tenant):
        apply_to_tenant(tenant.pk)

    left = set(RefusalTally.objects.values_list("domain", flat=True))
    assert left == {"long.example", "mallory.example"}


def test_failed_mail_that_may_not_be_logged_goes_with_its_content(ada):
    silent, told = in_queue(ada.tenant, State.FAILED), in_queue(ada.tenant, State.FAILED)
    type(silent).objects.filter(pk=silent.pk).update(log_level=LogLevel.COUNTS)
    Delivery.objects.update(finished_at=ago(minutes=46))

    apply_to_tenant(ada.tenant.pk)

    assert [row.message_id for row in Delivery.objects.all()] == [told.pk]


def test_failed_mail_of_a_domain_follows_its_own_days(ada):
    of_domain(ada.tenant, "ada.example", message_days=1)
    in_queue(ada.tenant, State.FAILED)
    Delivery.objects.update(finished_at=ago(days=2))

    apply_to_tenant(ada.tenant.pk)

    assert not Delivery.objects.exists()


def test_kept_content_follows_the_days_of_its_domain(ada):
    from delivery.models import Content, Message

    policy(ada.tenant, content_days=7)
    of_domain(ada.tenant, "ada.example", content_days=1)
    in_queue(ada.tenant, State.FAILED)
    Message.objects.update(log_level=LogLevel.CONTENT)
    Delivery.objects.update(finished_at=ago(days=2))

    apply_to_tenant(ada.tenant.pk)

    assert not Content.objects.exists()


def test_the_command_shows_each_tenant_and_kind(ada, mallory):
    for tenant in (ada.tenant, mallory.tenant):
        accepted(tenant, a_trace_id())
        refused(tenant, a_trace_id(), "nobody@ada.example")
    the_log_writer_runs()
    age_log(ada.tenant, 31)
    out = StringIO()

    call_command("retention", "--dry-run", stdout=out)

    lines = [line.split() for line in out.getvalue().splitlines()]
    assert lines[:2] == [
        ["tenant", "messages", "refused", "attempts", "content", "audit"],
        ["ada", "2", "2", "0", "0", "0"],
    ]
    assert out.getvalue().endswith("4 rows of 2 tenants would be removed.\n")
    assert len(logged_messages(ada.tenant)) == 2


def test_a_tenant_that_waits_for_an_hour_is_late(ada):
    ada.tenant.created_at = ago(minutes=10)
    type(ada.tenant).objects.update(created_at=ago(hours=3))
    late = machine.check_retention()
    apply_to_tenant(ada.tenant.pk)

    assert (late.health, late.seen) == (Health.ERROR, "ada waits for 3 h 0 min")
    assert machine.check_retention().health is Health.OK
    RetentionRun.objects.update(finished_at=ago(minutes=61))
    assert longest_wait()[0] > timedelta(minutes=60).total_seconds()
    assert machine.check_retention().health is Health.ERROR


def test_a_pass_over_a_log_where_nothing_is_old_reads_none_of_it(ada):
    """Each walk ends at its first row that is too young, found by an index."""
    the_log_writer_runs()
    with tenant_schema(ada.tenant.pk), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        for sweep in retention.sweeps_of(ada.tenant.pk, retention.current_terms()):
            cursor.execute(f"EXPLAIN SELECT 1 {sweep.rows.matching}", sweep.values)
            plan = "\n".join(line for (line,) in cursor.fetchall())
            assert "Seq Scan" not in plan, plan
