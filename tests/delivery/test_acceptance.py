"""What insert_messages leaves in the database is what the edge accepted, sealed and disclosed."""

from datetime import date

import pytest
from django.db import connection, transaction

from delivery.acceptance import KeptMessage, insert_messages, store_chunk, withdraw
from delivery.content import unseal_chunk
from delivery.models import Content, Delivery, DeliveryEvent, Message, OpaquePath
from mail.facts import LogLevel
from mail.opaque import OpaqueRow
from mail.plan import PlannedDelivery
from tenants.vault import VaultError
from tests.delivery.conftest import BODY, HEADER, a_message


def test_a_kept_message_is_whole(queue):
    trace_id = queue.accept("ben@ben.example", "eve@eve.example")

    message = Message.objects.get(pk=trace_id)
    assert message.outgoing_path == "SRS0=aaaaaaaaaa=bb=author.example=carol@fwd.mxax.test"
    assert (message.chunk_count, message.header_octets) == (1, len(HEADER))
    assert [(d.destination, d.state, d.attempts) for d in queue.deliveries()] == [
        ("ben@ben.example", Delivery.State.QUEUED, 0),
        ("eve@eve.example", Delivery.State.QUEUED, 0),
    ]
    content = Content.objects.get()
    assert BODY not in bytes(content.octets)
    clear = unseal_chunk(content.octets, tenant_id=1, message_id=trace_id, number=0)
    assert clear == HEADER + b"\r\n" + BODY


def test_content_moved_to_another_message_does_not_open(queue):
    trace_id, other = queue.accept("ben@ben.example"), queue.accept("ben@ben.example")

    moved = Content.objects.get(message_id=trace_id).octets

    with pytest.raises(VaultError):
        unseal_chunk(moved, tenant_id=1, message_id=other, number=0)


def test_the_event_says_what_the_log_level_allows(queue):
    queue.accept("ben@ben.example", log_level=LogLevel.METADATA)
    queue.accept("ben@ben.example", log_level=LogLevel.HASHED)
    queue.accept("ben@ben.example", log_level=LogLevel.NOTHING)

    plain, hashed = queue.events("accepted")
    assert plain["recipients"] == [["hi@ada.example", "ben@ben.example"]]
    assert "subject" not in plain
    assert hashed["reverse_path"].startswith("~")
    assert "ben.example" not in str(hashed)


def test_batch_of_many_messages_of_several_tenants_is_one_statement(
    queue, django_assert_num_queries
):
    messages = [
        (a_message(*("ben@ben.example",) * n, tenant_id=t), HEADER + b"\r\n" + BODY)
        for t, n in ((1, 1), (2, 3), (None, 1), (3, 1000))
    ]

    queue.accept_all(messages)

    assert Message.objects.count() == 4
    assert Delivery.objects.filter(tenant_id=3).count() == 1000
    assert Delivery.objects.filter(tenant_id=None).count() == 1


def test_what_postgres_cannot_store_spoils_no_batch(queue):
    strange = a_message(
        "ben@ben.example",
        helo="x\0\udc80" + "y" * 300,
        subject="\udcff\0",
        log_level=LogLevel.HEADERS,
    )
    plain = a_message("ben@ben.example")

    queue.accept_all([(strange, HEADER + b"\r\n"), (plain, HEADER + b"\r\n")])

    assert Message.objects.count() == 2


def test_an_opaque_reverse_path_is_stored_once(queue):
    row = OpaqueRow(b"r" * 32, b"sealed", date(2026, 12, 31))

    queue.accept_all(
        [(a_message("ben@ben.example", opaque=row), HEADER + b"\r\n") for _ in range(2)]
    )
    queue.accept("ben@ben.example", opaque=row)

    assert bytes(OpaquePath.objects.get().row_id) == row.row_id


def test_nothing_stays_when_the_callers_transaction_ends_without_commit(queue):
    message = KeptMessage(a_message("ben@ben.example"), (b"x",), 0, 1)

    transaction.set_autocommit(False)
    insert_messages([message])
    transaction.rollback()
    transaction.set_autocommit(True)

    assert queue.is_empty()
    assert not DeliveryEvent.objects.exists()


def test_pieces_stored_while_data_runs_become_one_message(queue):
    plan = a_message("ben@ben.example")
    store_chunk(plan.trace_id, 1, 0, b"first")
    store_chunk(plan.trace_id, 1, 0, b"first")

    insert_messages([KeptMessage(plan, (b"last",), 1, 2)])

    pieces = [
        unseal_chunk(piece.octets, tenant_id=1, message_id=plan.trace_id, number=piece.number)
        for piece in Content.objects.order_by("number")
    ]
    assert pieces == [b"first", b"last"]


def test_the_commit_of_a_message_flushes_the_pieces_before_it(queue):
    plan = a_message("ben@ben.example")
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = on")
        try:
            store_chunk(plan.trace_id, 1, 0, b"first")
            cursor.execute("SHOW synchronous_commit")
            flushing = cursor.fetchone()[0]
            cursor.execute("SELECT pg_current_wal_insert_lsn()")
            written = cursor.fetchone()[0]
            with transaction.atomic():
                insert_messages([KeptMessage(plan, (b"last",), 1, 2)])
            cursor.execute("SELECT pg_current_wal_flush_lsn() >= %s::pg_lsn", [written])
            flushed = cursor.fetchone()[0]
        finally:
            cursor.execute("RESET synchronous_commit")

    assert flushing == "on", "waiting is left out for the piece alone"
    assert flushed


def test_withdrawing_leaves_nothing(queue):
    trace_id = queue.accept("ben@ben.example")
    orphan = a_message("ben@ben.example").trace_id
    store_chunk(orphan, 1, 0, b"piece")

    assert withdraw([trace_id, orphan]) == (trace_id,)

    assert queue.is_empty()
    assert not DeliveryEvent.objects.exists()


def test_what_a_worker_has_claimed_is_not_withdrawn(queue):
    trace_id = queue.accept("ben@ben.example")
    Delivery.objects.update(state=Delivery.State.IN_FLIGHT, attempts=1)

    assert withdraw([trace_id]) == ()

    assert Content.objects.exists()
    assert len(queue.deliveries()) == 1


def test_withdrawing_does_not_touch_others(queue):
    trace_id, other = queue.accept("ben@ben.example"), queue.accept("ben@ben.example")

    withdraw([trace_id])

    assert [delivery.message_id for delivery in queue.deliveries()] == [other]


def test_route_of_a_reserved_mailbox_is_empty(queue):
    queue.accept(
        "x@x.example", deliveries=(PlannedDelivery("postmaster@ada.example", "a@b.example"),)
    )

    assert queue.deliveries()[0].route_id is None
