"""Mail of our own making goes the way of all mail, if the transaction that asked for it commits."""

from __future__ import annotations

from email import message_from_bytes, policy

import pytest
from django.db import connection, transaction

from delivery.content import unseal_chunk
from delivery.models import Content, Delivery, DeliveryEvent, Message
from mail.facts import LogLevel
from mail.notice import account_mail
from routing.models import LogPolicy
from tenants.context import open_schema, tenant_schema
from tenants.notices import NotWired, bind_notices, send_notice

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def rings(monkeypatch):
    rung = []
    monkeypatch.setattr("delivery.notices.bell.ring", lambda: rung.append(1))
    return rung


def a_notice(recipient="friend@away.example"):
    return account_mail(
        recipient=recipient, subject="Hello", paragraphs=("One.",), service_domain="mxax.test"
    )


def test_a_notice_waits_in_the_queue_with_date_and_message_id(ada):
    send_notice(a_notice(), tenant_id=ada.tenant.pk)

    row, delivery, piece = Message.objects.get(), Delivery.objects.get(), Content.objects.get()
    octets = unseal_chunk(piece.octets, tenant_id=ada.tenant.pk, message_id=row.pk, number=0)
    letter = message_from_bytes(octets, policy=policy.default)
    assert (row.direction, row.reverse_path, row.outgoing_path) == ("notice", "", "")
    assert octets[row.header_octets :].startswith(b"\r\n")
    assert octets[: row.header_octets].endswith(b"\r\n")
    assert (len(octets), row.chunk_count) == (row.size_octets, 1)
    assert delivery.destination == delivery.recipient == "friend@away.example"
    assert abs(letter["date"].datetime - row.accepted_at).total_seconds() < 5
    assert letter.get_all("message-id")[0].endswith("@mxax.test>")
    assert len(letter.get_all("date")) == len(letter.get_all("message-id")) == 1


def test_it_is_not_there_when_the_transaction_is_not(
    ada, rings, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
        send_notice(a_notice(), tenant_id=ada.tenant.pk)
        transaction.set_rollback(True)

    assert not Message.objects.exists()
    assert rings == []


def test_the_loops_are_woken_when_it_is(ada, rings, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        send_notice(a_notice(), tenant_id=ada.tenant.pk)
        assert rings == []

    assert rings == [1]


def test_the_tenants_log_tells_of_it_only_as_his_policy_allows(ada, mallory):
    with tenant_schema(mallory.tenant.pk):
        LogPolicy.objects.filter(domain=None).update(level=LogLevel.NOTHING)

    for person in (ada, mallory):
        send_notice(a_notice(), tenant_id=person.tenant.pk)

    assert DeliveryEvent.objects.get().tenant_id == ada.tenant.pk


def test_mail_of_the_service_itself_belongs_to_no_tenant(ada):
    with tenant_schema(ada.tenant.pk):
        send_notice(a_notice(), tenant_id=None)
        assert open_schema() == ada.tenant.schema_name

    assert Message.objects.get().tenant_id is None


def test_the_web_process_queues_for_the_open_tenant(ada, mallory):
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL ROLE mxax_web")
    send_notice(a_notice(), tenant_id=ada.tenant.pk)

    with tenant_schema(mallory.tenant.pk):
        assert not Message.objects.exists()
    with tenant_schema(ada.tenant.pk):
        assert Message.objects.get().tenant_id == ada.tenant.pk


def test_a_process_without_wires_says_so(ada, monkeypatch):
    monkeypatch.setattr("tenants.notices._bound", [])

    with pytest.raises(NotWired):
        send_notice(a_notice(), tenant_id=ada.tenant.pk)


def test_the_last_binding_counts(monkeypatch):
    monkeypatch.setattr("tenants.notices._bound", [])
    sent = []

    class Recorder:
        def send_notice(self, notice, *, tenant_id):
            sent.append((notice.recipient, tenant_id))

    bind_notices(Recorder())
    send_notice(a_notice(), tenant_id=7)

    assert sent == [("friend@away.example", 7)]
