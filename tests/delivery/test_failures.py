"""What a next hop refuses is tried again or shown as failed, and touches nobody else."""

from datetime import timedelta

import pytest
from django.utils import timezone

from delivery.models import Content, Delivery, Message
from tests.delivery.conftest import eventually

QUEUED, FAILED = Delivery.State.QUEUED, Delivery.State.FAILED


def settled(queue, count: int):
    return lambda: len(queue.events()) >= count


def test_one_recipients_failure_does_not_touch_the_others(queue, sink, sending):
    queue.accept("ok@x.example", "later@x.example", "never@x.example")
    sink.script["RCPT later@x.example"] = ["451 4.7.1 greylisted"]
    sink.script["RCPT never@x.example"] = ["550-5.1.1 no such\n550 5.1.1 user here"]

    loop = sending(sink.port).loop
    eventually(settled(queue, 3))

    assert [a.recipient for a in sink.arrivals] == ["ok@x.example"]
    later, never = queue.deliveries()
    assert (later.destination, later.state, later.attempts) == ("later@x.example", QUEUED, 1)
    assert never.state == FAILED
    assert never.finished_at is not None
    assert never.last_reply == "550-5.1.1 no such\n550 5.1.1 user here"
    outcomes = {e["destination"]: (e["outcome"], e.get("reason", "")) for e in queue.events()}
    assert outcomes == {
        "ok@x.example": ("delivered", "2.0.0"),
        "later@x.example": ("deferred", "4.7.1"),
        "never@x.example": ("failed", "5.1.1"),
    }

    queue.make_due()
    loop.wake()
    eventually(lambda: len(queue.deliveries()) == 1)
    assert [a.recipient for a in sink.arrivals] == ["ok@x.example", "later@x.example"]
    assert Message.objects.count() == Content.objects.count() == 1


def test_the_first_retry_comes_after_five_minutes(queue, sink, sending):
    queue.accept("ben@ben.example")
    sink.script["RCPT"] = ["451 4.7.1 later"]

    sending(sink.port)
    eventually(settled(queue, 1))

    (delivery,) = queue.deliveries()
    wait = delivery.next_attempt_at - timezone.now()
    assert timedelta(minutes=4) < wait < timedelta(minutes=6)
    assert queue.events()[0]["next_attempt_at"][:15] == delivery.next_attempt_at.isoformat()[:15]


def test_each_retry_waits_longer(queue, sink, sending):
    queue.accept("ben@ben.example")
    sink.script["RCPT"] = ["451 later"] * 4
    loop = sending(sink.port).loop

    waits = []
    for attempt in range(1, 5):
        eventually(settled(queue, attempt))
        (delivery,) = queue.deliveries()
        waits.append(round((delivery.next_attempt_at - timezone.now()) / timedelta(minutes=1)))
        queue.make_due()
        loop.wake()

    eventually(queue.is_empty)
    for wait, minutes in zip(waits, (5, 15, 30, 60), strict=True):
        assert minutes * 0.89 <= wait <= minutes * 1.11


def test_after_five_days_it_has_failed(queue, sink, sending):
    queue.accept("ben@ben.example")
    Message.objects.update(accepted_at=timezone.now() - timedelta(days=5, hours=1))
    sink.script["RCPT"] = ["451 later"]

    sending(sink.port)
    eventually(settled(queue, 1))

    assert queue.deliveries()[0].state == FAILED
    assert queue.events()[0]["reason"] == "5.4.7"


@pytest.mark.parametrize(
    ("key", "reply", "state", "stage"),
    [
        ("MAIL", "550 5.7.1 not you", FAILED, "mail"),
        ("MAIL", "451 4.3.0 busy", QUEUED, "mail"),
        ("RCPT", "550 5.1.1 no such user", FAILED, "rcpt"),
        ("DATA", "554 5.7.1 nothing for you", FAILED, "data"),
        ("DATA", "451 4.3.0 busy", QUEUED, "data"),
        ("DOT", "550 5.7.1 spam", FAILED, "content"),
        ("DOT", "452 4.2.2 full", QUEUED, "content"),
        ("RCPT", "421 4.3.2 going down", QUEUED, "rcpt"),
        ("DOT", "421 4.3.2 going down", QUEUED, "content"),
    ],
)
@pytest.mark.parametrize("pipelining", [True, False])
def test_refusals_are_kept_with_their_stage(
    queue, sink, sending, key, reply, state, stage, pipelining
):
    sink.extensions = sink.extensions if pipelining else ("8BITMIME",)
    queue.accept("ben@ben.example")
    sink.script[key] = [reply]

    sending(sink.port)
    eventually(settled(queue, 1))

    (delivery,) = queue.deliveries()
    assert (delivery.state, delivery.last_reply) == (state, reply)
    assert queue.events()[0]["stage"] == stage
    assert sink.arrivals == []


def test_after_a_refusal_the_connection_serves_the_next_message(queue, sink, sending):
    queue.accept("never@x.example", "ok@x.example")
    sink.script["RCPT never@x.example"] = ["550 5.1.1 no"]

    sending(sink.port, in_flight=1)
    eventually(settled(queue, 2))

    assert sink.connections == 1
    assert [a.recipient for a in sink.arrivals] == ["ok@x.example"]


def test_data_opened_without_a_recipient_is_ended_empty(queue, sink, sending):
    sink.opens_data_always = True
    queue.accept("never@x.example", "ok@x.example")
    sink.script["RCPT never@x.example"] = ["550 5.1.1 no"]

    sending(sink.port, in_flight=1)
    eventually(settled(queue, 2))

    assert sink.connections == 1
    assert [(a.recipient, len(a.octets) > 100) for a in sink.arrivals] == [("ok@x.example", True)]
    assert queue.deliveries()[0].last_reply == "550 5.1.1 no"


def test_nothing_is_sent_about_a_failure(queue, sink, sending):
    queue.accept("ben@ben.example", reverse_path="", outgoing_path="")
    queue.accept("ben@ben.example")
    sink.script["RCPT"] = ["550 5.1.1 no", "550 5.1.1 no"]

    sending(sink.port)
    eventually(settled(queue, 2))

    assert [d.state for d in queue.deliveries()] == [FAILED, FAILED]
    assert Message.objects.count() == 2
    assert sink.arrivals == []


def test_a_next_hop_that_is_away_defers_and_then_rests(queue, sink, sending):
    port = sink.port
    sink.stop()
    for _ in range(60):
        queue.accept("ben@ben.example")

    sending(port)
    eventually(settled(queue, 60))

    replies = {delivery.last_reply for delivery in queue.deliveries()}
    assert {d.state for d in queue.deliveries()} == {QUEUED}
    assert any("refused" in reply for reply in replies)
    assert any(reply.startswith("the next hop rests") for reply in replies)


def test_a_message_that_needs_smtputf8_fails_where_it_is_not_offered(queue, sink, sending):
    sink.extensions = ("PIPELINING", "8BITMIME")
    queue.accept("bén@ben.example", smtputf8=True)

    sending(sink.port)
    eventually(settled(queue, 1))

    assert queue.deliveries()[0].state == FAILED
    assert queue.events()[0]["reason"] == "5.6.7"


def test_smtputf8_is_asked_for_where_it_is_offered(queue, sink, sending):
    queue.accept("bén@ben.example", smtputf8=True)

    sending(sink.port)

    eventually(queue.is_empty)
    assert sink.arrivals[0].mail.endswith(" SMTPUTF8")
    assert sink.arrivals[0].recipient == "bén@ben.example"


def test_eight_bit_content_is_never_converted(queue, sink, sending):
    sink.extensions = ("PIPELINING",)
    queue.accept("ben@ben.example", body=b"\xc3\xa9\r\n")
    queue.accept("ben@ben.example", body=b"ascii\r\n", eight_bit=True)

    sending(sink.port)
    eventually(settled(queue, 2))

    assert [d.state for d in queue.deliveries()] == [FAILED]
    assert queue.events()[0].get("reason") == "5.6.3" or queue.events()[1]["reason"] == "5.6.3"
    assert len(sink.arrivals) == 1


def test_more_octets_than_the_next_hop_takes_fail_unsent(queue, sink, sending):
    sink.extensions = ("SIZE 500",)
    queue.accept("ben@ben.example", body=b"x" * 600 + b"\r\n")

    sending(sink.port)
    eventually(settled(queue, 1))

    assert queue.events()[0]["reason"] == "5.3.4"
    assert not any(command.startswith("MAIL") for _, command in sink.commands)


def test_a_connection_lost_after_the_final_dot_is_tried_again(queue, sink, sending):
    queue.accept("ben@ben.example")
    sink.close_after_dot = True

    sending(sink.port)
    eventually(settled(queue, 1))

    assert queue.deliveries()[0].state == QUEUED
    assert queue.events()[0]["stage"] == "content"


def test_a_reply_with_strange_octets_is_kept_readable(queue, sink, sending):
    queue.accept("ben@ben.example")
    sink.script["RCPT"] = ["550 5.1.1 n\0n \x1b[31m " + "x" * 4000]

    sending(sink.port)
    eventually(settled(queue, 1))

    reply = queue.deliveries()[0].last_reply
    assert reply.startswith("550 5.1.1 n\\x00n \\x1b[31m")
    assert len(reply) < 2200
