"""Events go from the outbox into the tenant's own log, once each, and nobody waits for another."""

import threading
import time

import psycopg
import pytest
from django.db import connection

from delivery import logwriter
from delivery.logwriter import LogWriter, run_log_writer
from delivery.messagelog.models import LoggedEvent
from delivery.models import DeliveryEvent, ServiceEvent
from mail.facts import LogLevel
from tenants.context import tenant_schema
from tenants.models import Tenant
from tests.delivery.log_words import (
    RECIPIENT,
    a_trace_id,
    accepted,
    attempted,
    logged_kinds,
    logged_messages,
    refused,
    the_log_writer_runs,
)


def test_events_move_into_the_tenants_log(ada, mallory):
    mail_of_ada, mail_of_mallory = a_trace_id(), a_trace_id()
    accepted(ada.tenant, mail_of_ada)
    attempted(ada.tenant, mail_of_ada, "friend@far.example", "delivered")
    accepted(mallory.tenant, mail_of_mallory)

    the_log_writer_runs()

    assert logged_kinds(ada.tenant) == ["accepted", "attempted"]
    assert logged_kinds(mallory.tenant) == ["accepted"]
    (message,) = logged_messages(ada.tenant)
    assert (message.trace_id, message.state) == (mail_of_ada, "delivered")
    assert (message.recipient, message.size_octets) == (RECIPIENT, 1234)
    assert not DeliveryEvent.objects.exists()


def test_an_event_that_moves_twice_is_logged_once(ada):
    accepted(ada.tenant, a_trace_id())
    event = DeliveryEvent.objects.get()
    the_log_writer_runs()

    event.save(force_insert=True)
    the_log_writer_runs()

    assert logged_kinds(ada.tenant) == ["accepted"]
    assert not DeliveryEvent.objects.exists()


def test_a_failed_recipient_shows_before_a_delivered_one(ada):
    trace_id = a_trace_id()
    accepted(ada.tenant, trace_id, "one@far.example", "two@far.example")
    attempted(ada.tenant, trace_id, "one@far.example", "failed", "550 5.1.1 Unknown")
    the_log_writer_runs()
    attempted(ada.tenant, trace_id, "two@far.example", "delivered")

    the_log_writer_runs()

    (message,) = logged_messages(ada.tenant)
    assert (message.state, message.reason) == ("failed", "550 5.1.1 Unknown")


def test_a_recipient_nobody_tried_yet_keeps_the_message_accepted(ada):
    trace_id = a_trace_id()
    accepted(ada.tenant, trace_id, "one@far.example", "two@far.example")
    attempted(ada.tenant, trace_id, "one@far.example", "delivered")

    the_log_writer_runs()

    assert logged_messages(ada.tenant)[0].state == "accepted"


def test_a_deferred_message_that_arrives_later_is_delivered(ada):
    trace_id = a_trace_id()
    accepted(ada.tenant, trace_id)
    attempted(ada.tenant, trace_id, "friend@far.example", "deferred", "451 4.7.1 Later")
    the_log_writer_runs()
    before = logged_messages(ada.tenant)[0]
    attempted(ada.tenant, trace_id, "friend@far.example", "delivered")

    the_log_writer_runs()

    after = logged_messages(ada.tenant)[0]
    assert (before.state, before.reason) == ("deferred", "451 4.7.1 Later")
    assert (after.state, after.reason, after.at) == ("delivered", "", before.at)


def test_a_refusal_is_a_line_of_the_log(ada):
    refused(ada.tenant, a_trace_id(), "nobody@ada.example")

    the_log_writer_runs()

    (line,) = logged_messages(ada.tenant)
    assert (line.state, line.recipient) == ("refused", "nobody@ada.example")


def test_events_without_tenant_are_the_services_own(db):
    refused(None, a_trace_id(), "someone@foreign.example")

    the_log_writer_runs()

    assert ServiceEvent.objects.get().recipient == "someone@foreign.example"
    assert not DeliveryEvent.objects.exists()


def test_hashed_addresses_stay_hashed(ada):
    accepted(ada.tenant, a_trace_id(), level=LogLevel.HASHED)

    the_log_writer_runs()

    (message,) = logged_messages(ada.tenant)
    assert message.recipient.startswith("~")
    with tenant_schema(ada.tenant.pk):
        assert "ada.example" not in str(LoggedEvent.objects.get().data)


def test_a_stranger_cannot_stop_the_log_with_octets_the_database_refuses(ada):
    accepted(ada.tenant, a_trace_id(), helo="nul\0 and half a \ud800 pair", subject="ü")

    the_log_writer_runs()

    assert logged_kinds(ada.tenant) == ["accepted"]


def test_events_of_a_tenant_that_is_gone_are_discarded(ada, mallory):
    accepted(mallory.tenant, a_trace_id())
    accepted(ada.tenant, a_trace_id())
    with connection.cursor() as cursor:
        cursor.execute(f"SET CONSTRAINTS ALL IMMEDIATE; DROP SCHEMA t{mallory.tenant.pk} CASCADE")
    Tenant.objects.filter(pk=mallory.tenant.pk).delete()

    the_log_writer_runs()

    assert not DeliveryEvent.objects.exists()
    assert logged_kinds(ada.tenant) == ["accepted"]


def test_a_tenant_without_its_tables_yet_keeps_its_events(ada):
    accepted(ada.tenant, a_trace_id())
    with connection.cursor() as cursor:
        cursor.execute(f"SET CONSTRAINTS ALL IMMEDIATE; DROP SCHEMA t{ada.tenant.pk} CASCADE")

    the_log_writer_runs()

    assert DeliveryEvent.objects.count() == 1


def test_a_batch_leaves_the_rest_for_the_next_pass(ada, monkeypatch):
    monkeypatch.setattr(logwriter, "BATCH", 2)
    for _ in range(3):
        accepted(ada.tenant, a_trace_id())
    writer = LogWriter()

    assert writer.move_once() is True
    assert DeliveryEvent.objects.count() == 1
    assert writer.move_once() is False
    assert len(logged_messages(ada.tenant)) == 3


def test_one_tenants_flood_does_not_make_the_writer_ask_everybody_over_and_over(
    ada, mallory, monkeypatch
):
    monkeypatch.setattr(logwriter, "BATCH", 2)
    now = [100.0]
    writer = LogWriter(clock=lambda: now[0])
    for _ in range(6):
        accepted(ada.tenant, a_trace_id())
    assert writer.move_once() is True
    accepted(mallory.tenant, a_trace_id())

    assert writer.move_once() is True
    assert logged_kinds(mallory.tenant) == []

    now[0] += logwriter.IDLE_SECONDS
    writer.move_once()
    assert logged_kinds(mallory.tenant) == ["accepted"]
    assert len(logged_kinds(ada.tenant)) == 6


def test_the_longer_it_takes_to_ask_everybody_the_longer_the_writer_rests(ada):
    def rest_after(seconds_of_work: float) -> float:
        times = iter([0.0, 0.0, seconds_of_work, seconds_of_work])
        writer = LogWriter(clock=lambda: next(times))
        writer.move_once()
        return writer.seconds_to_rest()

    assert rest_after(0.01) == logwriter.IDLE_SECONDS
    assert rest_after(0.1) == pytest.approx(1.9)
    assert rest_after(10.0) == logwriter.LONGEST_REST_SECONDS


@pytest.mark.django_db(transaction=True)
class TestWithOtherConnections:
    """What needs a second connection, so real commits."""

    def test_a_tenant_that_is_being_migrated_waits_alone(self, other, ada, mallory):
        accepted(ada.tenant, a_trace_id())
        accepted(mallory.tenant, a_trace_id())
        table = f"t{ada.tenant.pk}.messagelog_loggedevent"

        with other.transaction():
            other.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            writer, began = LogWriter(), time.monotonic()
            writer.move_once()
            assert time.monotonic() - began < 20
            assert logged_kinds(mallory.tenant) == ["accepted"]
            assert writer.waiting_until.keys() == {ada.tenant.pk}
        LogWriter().move_once()

        assert logged_kinds(ada.tenant) == ["accepted"]

    def test_one_process_writes_and_the_others_stand_by(self, other, ada, monkeypatch):
        monkeypatch.setattr(logwriter, "STANDBY_SECONDS", 0.05)
        monkeypatch.setattr(logwriter, "IDLE_SECONDS", 0.05)
        accepted(ada.tenant, a_trace_id())
        other.execute(logwriter._LOCK)
        stop = threading.Event()
        thread = threading.Thread(target=run_log_writer, args=(stop,))
        thread.start()

        stop.wait(0.4)
        stood_by = DeliveryEvent.objects.count() == 1
        other.execute("SELECT pg_advisory_unlock_all()")
        moved = _soon(lambda: not DeliveryEvent.objects.exists())
        stop.set()
        thread.join(60)

        assert stood_by
        assert moved
        assert not thread.is_alive()


@pytest.fixture
def other(transactional_db):
    """A connection of somebody else."""
    settings = connection.settings_dict
    with psycopg.connect(
        host=settings["HOST"],
        port=settings["PORT"],
        user=settings["USER"],
        password=settings["PASSWORD"],
        dbname=settings["NAME"],
        autocommit=True,
    ) as connected:
        connected.execute("SET ROLE mxax_owner")
        yield connected


def _soon(happened, seconds: float = 60) -> bool:
    wait = threading.Event()
    for _ in range(int(seconds / 0.05)):
        if happened():
            return True
        wait.wait(0.05)
    return False
