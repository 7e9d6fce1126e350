"""What was held for days is tried as if it came when it was released."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from delivery.models import Delivery, Message
from delivery.queue_services import Selection, hold, release
from tests.delivery.conftest import eventually
from tests.delivery.test_leases import claim

State = Delivery.State


@pytest.fixture
def released(queue) -> Delivery:
    """One that came ten days ago and was released now."""
    queue.accept("ben@ben.example")
    hold(Selection())
    Message.objects.update(accepted_at=timezone.now() - timedelta(days=10))
    release(Selection(), ring=lambda: None)
    return Delivery.objects.get()


def test_its_age_begins_with_the_release(released):
    (delivery,) = claim()

    assert timezone.now() - delivery.waits_since < timedelta(minutes=1)
    assert timezone.now() - delivery.message.accepted_at > timedelta(days=9)


def test_a_first_failure_is_not_the_last(released, queue, sink, sending):
    sink.script["RCPT"] = ["451 4.2.1 Later"]
    sending(sink.port)

    eventually(lambda: queue.events())

    (event,) = queue.events()
    assert event["outcome"] == "deferred"
    assert event["queued_seconds"] < 60
    row = Delivery.objects.get()
    assert row.state == State.QUEUED
    assert row.next_attempt_at - timezone.now() < timedelta(minutes=10)
