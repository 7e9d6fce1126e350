"""The committer's way into the database: one call a statement, and 250 only for what is committed."""

import os
import socket
from collections.abc import Callable
from datetime import date

import pytest
from django.db import DataError, InternalError, OperationalError, connection

from delivery import one_call
from delivery.acceptance import KeptMessage, PiecesLost, insert_in_one_call, store_chunk
from delivery.models import DeliveryEvent, Message, OpaquePath
from mail.opaque import OpaqueRow
from tests.delivery.conftest import a_message, read_whole_since, whole_reads

ROW = OpaqueRow(bytes(32), b"sealed", date(2026, 2, 28))


def kept(**changes) -> KeptMessage:
    return KeptMessage(a_message("ben@ben.example", **changes), (b"content",), 0, 1)


def keep(*messages: KeptMessage, before_commit: Callable[[], object] = lambda: None) -> None:
    with one_call.transaction():
        insert_in_one_call(messages or [kept()])
        before_commit()


def test_a_batch_is_there_once_the_transaction_has_ended(queue):
    keep(kept(opaque=ROW), kept(helo="héllo", smtputf8=True))

    message = Message.objects.get(helo="héllo")
    assert (message.smtputf8, message.tenant_id) == (True, 1)
    assert [d.destination for d in queue.deliveries()] == ["ben@ben.example"] * 2
    assert OpaquePath.objects.get().expires_on == ROW.expires_on
    assert len(queue.events("accepted")) == 2


def test_a_batch_costs_the_same_however_large_the_queue_has_grown(queue):
    with connection.cursor() as cursor:
        cursor.execute("VACUUM delivery_message")  # PostgreSQL knows now that it is empty

    before = whole_reads()
    for _ in range(8):  # the checks of foreign keys plan anew at first, then keep their plan
        keep(kept())  # they run when it commits
        assert read_whole_since(before) == set()


def test_a_large_message_is_promised_only_while_all_its_pieces_are_there(queue):
    plans = a_message("ben@ben.example"), a_message("ben@ben.example")
    large = [KeptMessage(plan, (b"end",), 2, 3) for plan in plans]
    for plan in plans:
        store_chunk(plan.trace_id, 1, 0, b"begin")
    store_chunk(plans[0].trace_id, 1, 1, b"middle")

    with pytest.raises(PiecesLost):  # of the second one, by a server that crashed in between
        keep(*large)
    assert not Message.objects.exists()

    keep(kept(), large[0])
    assert Message.objects.filter(pk=plans[0].trace_id).exists()


def test_nothing_stays_of_a_batch_that_was_given_up(queue):
    def give_up():
        raise KeyError

    with pytest.raises(KeyError):
        keep(before_commit=give_up)

    assert queue.is_empty()
    assert not DeliveryEvent.objects.exists()


def test_a_message_that_the_database_refuses_leaves_the_connection_usable(queue):
    with pytest.raises(DataError):
        keep(kept(protocol="P" * 500))

    assert queue.is_empty()
    keep(kept())
    assert Message.objects.count() == 1


def test_what_the_server_rolled_back_is_no_commit(queue):
    def fail():
        connection.connection.pgconn.exec_(b"SELECT no_such_thing")

    with pytest.raises(InternalError):
        keep(before_commit=fail)

    assert queue.is_empty()


def test_a_lost_connection_is_an_operational_error(queue):
    def cut():
        with socket.socket(fileno=os.dup(connection.connection.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)

    with pytest.raises(OperationalError):
        keep(before_commit=cut)

    connection.close()
    assert queue.is_empty()
