"""Two loops never own a delivery at once, and a dead one gives way."""

import os
import threading
import time
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest
from django.db import connection, transaction
from django.utils import timezone

from delivery import sql
from delivery.claim import claim_due, renew
from delivery.models import Content, Delivery, DeliveryEvent, Message, WorkerHeartbeat
from delivery.settle import Ending, released, settle
from tests.delivery.conftest import eventually, read_whole_since, whole_reads


def claim(limit: int = 50):
    with transaction.atomic(), sql.queue_cursor() as cursor:
        return claim_due(cursor, limit).deliveries


def settle_now(*endings: Ending) -> frozenset[int]:
    with transaction.atomic(), sql.queue_cursor() as cursor:
        return settle(cursor, endings)


def delivered(delivery) -> Ending:
    return Ending(
        delivery.id, delivery.message.id, delivery.token, None, kind="attempted", event='{"a": 1}'
    )


def expire_leases() -> None:
    past = timezone.now() - timedelta(seconds=1)
    Delivery.objects.filter(state=Delivery.State.IN_FLIGHT).update(next_attempt_at=past)


def test_what_is_claimed_is_not_claimed_again(queue):
    queue.accept("ben@ben.example")

    first, second = claim(), claim()

    assert len(first) == 1
    assert second == ()
    (row,) = queue.deliveries()
    assert row.state == Delivery.State.IN_FLIGHT
    assert row.next_attempt_at > timezone.now() + timedelta(seconds=40)


def test_settling_costs_the_same_however_large_the_queue_has_grown(queue):
    for _ in range(8):
        queue.accept("ben@ben.example")
        (delivery,) = claim()

        with transaction.atomic(), sql.queue_cursor() as cursor:
            before = whole_reads()
            settle(cursor, [delivered(delivery)])
            assert read_whole_since(before) == set()

    assert queue.is_empty()


def test_many_claims_at_once_share_the_queue(queue):
    queue.accept(*(f"user{n}@ben.example" for n in range(200)))
    taken, lock = [], threading.Lock()

    def worker():
        while got := claim(7):
            with lock:
                taken.extend(one.id for one in got)
        connection.close()

    threads = [threading.Thread(target=worker) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(taken) == len(set(taken)) == 200


def test_after_the_lease_another_takes_over(queue):
    queue.accept("ben@ben.example")
    (lost,) = claim()
    expire_leases()

    (taken,) = claim()

    assert taken.id == lost.id
    assert (taken.taken_over, taken.attempts) == (True, 2)
    assert taken.token != lost.token


def test_a_lost_lease_settles_nothing(queue):
    queue.accept("ben@ben.example")
    (lost,) = claim()
    expire_leases()
    (taken,) = claim()

    assert settle_now(delivered(lost)) == frozenset()

    assert len(queue.deliveries()) == 1
    assert queue.events() == []
    assert settle_now(delivered(taken)) == {taken.id}
    assert queue.is_empty()


def test_settling_twice_changes_nothing(queue):
    queue.accept("ben@ben.example")
    (one,) = claim()

    assert settle_now(delivered(one)) == {one.id}
    assert settle_now(delivered(one)) == frozenset()

    assert len(queue.events()) == 1


def test_renewing_moves_the_end_of_what_is_ours(queue):
    queue.accept("ben@ben.example", "eve@eve.example")
    ben, eve = claim()
    expire_leases()

    with sql.queue_cursor() as cursor:
        ours = renew(cursor, [(ben.id, ben.token), (eve.id, uuid4())])

    assert ours == {ben.id}
    assert [one.id for one in claim()] == [eve.id]


def test_what_is_given_back_is_due_at_once_and_counts_no_attempt(queue):
    queue.accept("ben@ben.example")
    (one,) = claim()

    settle_now(released(one))

    (again,) = claim()
    assert (again.attempts, again.taken_over) == (1, False)


def test_the_message_stays_until_its_last_delivery_ends(queue):
    queue.accept("ben@ben.example", "eve@eve.example")
    ben, eve = claim()

    settle_now(delivered(ben))
    assert Message.objects.count() == Content.objects.count() == 1

    settle_now(delivered(eve))
    assert queue.is_empty()


def test_two_loops_that_end_the_last_deliveries_together_leave_nothing(queue):
    for _ in range(20):
        queue.accept("ben@ben.example", "eve@eve.example")
        ben, eve = claim()
        barrier = threading.Barrier(2)

        def end(one, barrier=barrier):
            with transaction.atomic(), sql.queue_cursor() as cursor:
                barrier.wait()
                settle(cursor, [delivered(one)])
                time.sleep(0.002)
            connection.close()

        threads = [threading.Thread(target=end, args=(one,)) for one in (ben, eve)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert queue.is_empty()


def test_a_message_comes_with_its_content_once(queue):
    queue.accept("ben@ben.example", "eve@eve.example")
    queue.accept("ben@ben.example")

    deliveries = claim()

    assert len({id(one.message) for one in deliveries}) == 2
    assert all(one.message.content is not None for one in deliveries)


def test_the_claim_reads_no_more_than_what_is_due(queue):
    queue.accept(*(f"user{n}@ben.example" for n in range(1000)))
    Delivery.objects.update(next_attempt_at=timezone.now() + timedelta(hours=1))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE delivery_delivery")
        cursor.execute("SET enable_seqscan = off")
        cursor.execute(
            "EXPLAIN (ANALYZE, BUFFERS, FORMAT TEXT) SELECT id FROM delivery_delivery"
            " WHERE state IN (0, 1) AND next_attempt_at <= (SELECT clock_timestamp())"
            " ORDER BY next_attempt_at, id LIMIT 50 FOR UPDATE SKIP LOCKED"
        )
        plan = "\n".join(row[0] for row in cursor.fetchall())
        cursor.execute("RESET enable_seqscan")

    assert "delivery_due" in plan
    assert "Index Cond: (next_attempt_at <=" in plan
    assert "Rows Removed by Filter" not in plan


def test_a_second_loop_sends_what_a_dead_one_had(queue, sink, sending):
    queue.accept("ben@ben.example")
    claim()  # and nobody settles it
    expire_leases()

    sending(sink.port)

    eventually(queue.is_empty)
    assert len(sink.arrivals) == 1


def test_a_long_attempt_keeps_its_lease(queue, sink, sending):
    queue.accept("ben@ben.example")
    sink.answer_delay = 2.5

    sending(sink.port, renew_seconds=0.5, timer_seconds=1.0)
    eventually(lambda: any(c == "DATA" for _, c in sink.commands))
    time.sleep(0.3)  # the loop itself would take it, while it looks for more mail
    expire_leases()
    time.sleep(1.7)

    assert claim() == ()
    eventually(queue.is_empty)
    assert len(sink.arrivals) == 1


def test_a_drain_ends_what_is_on_the_wire_and_claims_nothing_more(queue, sink, sending):
    for _ in range(6):
        queue.accept("ben@ben.example")
    sink.answer_delay = 0.5
    loop = sending(sink.port, in_flight=3)
    eventually(lambda: len(sink.commands) > 6)

    loop.stop()

    assert len(sink.arrivals) == 3
    assert {row.state for row in queue.deliveries()} == {Delivery.State.QUEUED}
    assert len(queue.deliveries()) == 3
    assert not WorkerHeartbeat.objects.exists()


def test_what_outlasts_a_drain_is_given_back(queue, sink, sending):
    queue.accept("ben@ben.example")
    sink.silent_after_dot = True
    loop = sending(sink.port, drain_seconds=0.5)
    eventually(lambda: sink.arrivals)

    loop.stop(10)

    (row,) = queue.deliveries()
    assert (row.state, row.attempts, row.lease_token) == (Delivery.State.QUEUED, 0, None)


@pytest.mark.parametrize("broken", ["before", "during"])
def test_a_database_that_goes_away_costs_no_mail(queue, sink, sending, broken):
    sink.answer_delay = 0.6
    loop = sending(sink.port)
    eventually(lambda: WorkerHeartbeat.objects.exists())
    if broken == "before":
        _cut_worker_connections()
    queue.accept("ben@ben.example")
    loop.loop.wake()
    if broken == "during":
        eventually(lambda: any(c == "DATA" for _, c in sink.commands))
        _cut_worker_connections()

    eventually(queue.is_empty)
    assert len(sink.arrivals) == 1
    assert DeliveryEvent.objects.filter(kind="attempted").count() == 1


def _cut_worker_connections() -> None:
    admin = os.environ["MXAX_DATABASE_ADMIN_URL"]
    name = connection.settings_dict["NAME"]
    with psycopg.connect(admin, autocommit=True) as superuser:
        superuser.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> %s",
            [name, connection.connection.info.backend_pid],
        )
