"""Housekeeping takes what is past its time, and nothing else."""

from datetime import timedelta
from io import StringIO
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.utils import timezone

from delivery import housekeeping, sweeps
from delivery.health import Check
from delivery.models import (
    Content,
    Delivery,
    Message,
    OpaquePath,
    RefusalTally,
    ServiceEvent,
    WorkerHeartbeat,
)
from delivery.retention import apply_to_tenant
from delivery.schedule import SCHEDULE
from mail.facts import LogLevel
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
from tests.delivery.test_queue_services import in_queue

pytestmark = pytest.mark.django_db
State = Delivery.State


def ago(**past) -> object:
    return timezone.now() - timedelta(**past)


def policy(tenant, **days) -> None:
    with tenant_schema(tenant.pk):
        LogPolicy.objects.filter(domain=None).update(**days)


def test_content_whose_message_never_came_goes_after_an_hour(ada, monkeypatch):
    monkeypatch.setattr(sweeps, "BATCH", 2)
    kept = in_queue(ada.tenant, State.QUEUED)
    for minutes in (10, 61, 62, 63):
        orphan = Content.objects.create(
            message_id=uuid4(), number=0, tenant_id=ada.tenant.pk, octets=b"x"
        )
        Content.objects.filter(pk=orphan.pk).update(stored_at=ago(minutes=minutes))
    Content.objects.filter(message_id=kept.id).update(stored_at=ago(days=3))

    swept = sweeps.sweep_orphan_content()

    assert swept == 3
    assert Content.objects.filter(message_id=kept.id).exists()
    assert Content.objects.count() == 2


def test_pieces_of_a_message_that_is_still_coming_in_stay_however_old_the_first_is(ada):
    """At the slowest that is let in, 50 MB take a day."""
    message_id = uuid4()
    for number, minutes in enumerate((130, 70, 5)):
        piece = Content.objects.create(
            message_id=message_id, number=number, tenant_id=ada.tenant.pk, octets=b"x"
        )
        Content.objects.filter(pk=piece.pk).update(stored_at=ago(minutes=minutes))

    assert sweeps.sweep_orphan_content() == 0
    assert Content.objects.count() == 3


def test_failed_content_is_gone_within_the_hour_unless_the_policy_keeps_it(ada):
    gone, recent, kept, half = (in_queue(ada.tenant, State.FAILED) for _ in range(4))
    Delivery.objects.update(finished_at=ago(minutes=44))
    Delivery.objects.exclude(message=recent).update(finished_at=ago(minutes=46))
    Message.objects.filter(pk=kept.pk).update(log_level=LogLevel.CONTENT)
    Delivery.objects.create(message=half, recipient="a@b.example", destination="c@d.example")

    sweeps.sweep_failed_content()

    left = set(Content.objects.values_list("message_id", flat=True))
    assert left == {recent.id, kept.id, half.id}
    assert Delivery.objects.filter(message=gone).exists(), "it stays visible as failed"


def test_messages_without_deliveries_go_with_their_content(ada, monkeypatch):
    monkeypatch.setattr(sweeps, "BATCH", 2)
    waiting = in_queue(ada.tenant, State.QUEUED)
    for _ in range(3):
        in_queue(ada.tenant)

    assert sweeps.sweep_finished_messages() == 3
    assert list(Message.objects.values_list("pk", flat=True)) == [waiting.pk]
    assert Content.objects.count() == 1


def test_a_lease_that_a_clock_set_back_has_stretched_ends_soon(ada):
    stretched, usual = in_queue(ada.tenant, State.IN_FLIGHT), in_queue(ada.tenant, State.IN_FLIGHT)
    waiting = in_queue(ada.tenant, State.QUEUED)
    in_an_hour, in_a_lease = ago(hours=-1), ago(seconds=-45)
    Delivery.objects.filter(message_id=stretched.id).update(next_attempt_at=in_an_hour)
    Delivery.objects.filter(message_id=usual.id).update(next_attempt_at=in_a_lease)
    Delivery.objects.filter(message_id=waiting.id).update(next_attempt_at=in_an_hour)

    assert sweeps.sweep_endless_leases() == 1

    times = dict(Delivery.objects.values_list("message_id", "next_attempt_at"))
    assert times[stretched.id] < ago(seconds=-50)
    assert times[usual.id] == in_a_lease
    assert times[waiting.id] == in_an_hour


def test_old_rows_go_and_young_ones_stay(db):
    for days in (0, 8):
        RefusalTally.objects.create(hour=ago(days=days), client_ip="192.0.2.7", domain="", count=1)
    for number, days in enumerate((29, 31)):
        ServiceEvent.objects.create(
            id=number, message_id=uuid4(), kind="refused", at=ago(days=days), data={}
        )
    for number, days in enumerate((-1, 1)):
        OpaquePath.objects.create(
            row_id=bytes([number]), sealed=b"x", expires_on=ago(days=days).date()
        )
    for name, minutes in (("alive", 0), ("dead", 61)):
        WorkerHeartbeat.objects.create(name=name, at=ago(minutes=minutes))

    removed = sweeps.sweep_old_rows()

    assert {table: count for table, count in removed.items() if count} == {
        "delivery_refusaltally": 1,
        "delivery_serviceevent": 1,
        "delivery_opaquepath": 1,
        "delivery_workerheartbeat": 1,
    }
    assert WorkerHeartbeat.objects.get().name == "alive"


def test_each_kind_of_event_lives_as_long_as_the_policy_says(ada):
    policy(ada.tenant, message_days=30, refused_days=7, attempt_days=1)
    trace_id = a_trace_id()
    accepted(ada.tenant, trace_id)
    attempted(ada.tenant, trace_id, "friend@far.example", "delivered")
    refused(ada.tenant, a_trace_id(), "nobody@ada.example")
    the_log_writer_runs()

    age_log(ada.tenant, 2)
    apply_to_tenant(ada.tenant.pk)
    after_two_days = logged_kinds(ada.tenant)
    age_log(ada.tenant, 6)
    apply_to_tenant(ada.tenant.pk)
    after_eight_days = logged_kinds(ada.tenant)
    age_log(ada.tenant, 23)
    apply_to_tenant(ada.tenant.pk)

    assert after_two_days == ["accepted", "refused"]
    assert after_eight_days == ["accepted"]
    assert logged_kinds(ada.tenant) == []
    assert logged_messages(ada.tenant) == []


def test_a_domain_may_have_days_of_its_own(ada):
    with tenant_schema(ada.tenant.pk):
        short = Domain.objects.create(name="short.example")
        LogPolicy.objects.create(domain=short, refused_days=1)
    refused(ada.tenant, a_trace_id(), "nobody@Short.example")
    refused(ada.tenant, a_trace_id(), "nobody@ada.example")
    refused(ada.tenant, a_trace_id(), "nobody@not-short.example")
    the_log_writer_runs()
    age_log(ada.tenant, 2)

    apply_to_tenant(ada.tenant.pk)

    left = [message.recipient for message in logged_messages(ada.tenant)]
    assert left == ["nobody@ada.example", "nobody@not-short.example"]


def test_kept_content_goes_after_the_days_of_the_policy(ada):
    policy(ada.tenant, content_days=3)
    young, old, trying = (in_queue(ada.tenant, State.FAILED) for _ in range(3))
    Message.objects.update(log_level=LogLevel.CONTENT)
    Delivery.objects.exclude(message=young).update(finished_at=ago(days=4))
    Delivery.objects.create(
        message=trying, tenant_id=ada.tenant.pk, recipient="a@b", destination="c@d"
    )

    apply_to_tenant(ada.tenant.pk)

    left = set(Content.objects.values_list("message_id", flat=True))
    assert left == {young.id, trying.id}
    assert Delivery.objects.filter(message=old).exists()


def test_failed_deliveries_of_a_tenant_live_as_long_as_his_messages(ada, mallory):
    policy(ada.tenant, message_days=7)
    in_queue(ada.tenant, State.FAILED)
    in_queue(mallory.tenant, State.FAILED)
    Delivery.objects.update(finished_at=ago(days=8))

    for tenant in (ada.tenant, mallory.tenant):
        apply_to_tenant(tenant.pk)

    assert [row.tenant_id for row in Delivery.objects.all()] == [mallory.tenant.pk]


def test_a_dry_run_counts_and_removes_nothing(ada):
    accepted(ada.tenant, a_trace_id())
    the_log_writer_runs()
    age_log(ada.tenant, 31)
    out = StringIO()

    call_command("retention", "--dry-run", stdout=out)

    assert "2 rows of 1 tenants would be removed." in out.getvalue()
    assert logged_kinds(ada.tenant) == ["accepted"]


def test_a_tenant_in_trouble_does_not_keep_the_others_from_it(ada, mallory):
    from django.db import connection

    from delivery.retention import apply_retention

    accepted(mallory.tenant, a_trace_id())
    the_log_writer_runs()
    age_log(mallory.tenant, 31)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(f"DROP TABLE t{ada.tenant.pk}.messagelog_loggedevent")

    apply_retention()

    assert logged_kinds(mallory.tenant) == []


def test_the_tasks_run_and_are_scheduled(ada, monkeypatch):
    for module in (housekeeping,):
        monkeypatch.setattr(module, "close_old_connections", lambda: None)
    monkeypatch.setattr(
        "delivery.pulse.check_all",
        lambda: [Check(name, True, "") for name in ("database", "edge", "workers")],
    )
    tasks = (
        housekeeping.sweep_queue,
        housekeeping.sweep_old_rows,
        housekeeping.feel_pulse,
        housekeeping.apply_retention,
    )
    in_queue(ada.tenant)

    for task in tasks:
        task()

    assert not Message.objects.exists()
    assert {t.name for t in tasks} <= {entry["task"] for entry in SCHEDULE.values()}


def test_a_sweep_that_fails_keeps_no_other_from_its_work(ada, monkeypatch):
    def fails() -> int:
        raise RuntimeError("what nobody thought of")

    monkeypatch.setitem(housekeeping._QUEUE_SWEEPS, "endless_leases", fails)
    in_queue(ada.tenant)

    moved = housekeeping._sweep_queue()

    assert moved["finished_messages"] == 1
    assert "endless_leases" not in moved
