"""What was accepted comes out at the next hop, octet by octet, and the queue is empty again."""

import asyncio
from datetime import timedelta

from django.utils import timezone

from delivery.exchange import QueueDatabase
from delivery.loop import Limits, SendingLoop
from delivery.markers import marker_keys
from delivery.models import Content, Delivery, DeliveryEvent, WorkerHeartbeat
from delivery.next_hop import NextHop, Smarthost
from delivery.transport.pool import PoolLimits
from delivery.transport.pools import Pools
from mail.facts import LogLevel
from mail.marker import opened_marks
from mail.message import header_fields
from mail.plan import Direction
from mail.signing import public_tags
from mxax.setting_values import HostPort
from tests.delivery.conftest import BODY, HEADER, eventually
from tests.mail.dkim_engine import verify


def test_accepted_mail_arrives_signed_and_leaves_nothing_behind(queue, sink, sending, keys):
    trace_id = queue.accept("ben@ben.example")

    sending(sink.port)

    eventually(queue.is_empty)
    (arrival,) = sink.arrivals
    assert arrival.recipient == "ben@ben.example"
    assert arrival.mail.startswith(
        "MAIL FROM:<SRS0=aaaaaaaaaa=bb=author.example=carol@fwd.mxax.test>"
    )
    records = {b"t._domainkey.fwd.mxax.test.": keys.forward}
    for index, key in enumerate(keys.forward):
        record = f"v=DKIM1; {public_tags(key.private)}".encode()
        assert verify(arrival.octets, lookup=lambda name, r=record: r, index=index), records
    (event,) = queue.events()
    assert (event["outcome"], event["reply"]) == ("delivered", "250 2.0.0 taken")
    assert DeliveryEvent.objects.filter(message_id=trace_id).count() == 2


def test_the_octets_below_ours_are_identical(queue, sink, sending):
    body = b"dots\r\n.\r\n..\r\n...x\r\n\r\n \t \r\n8bit \xff\xfe\r\n" + b"a" * 5000 + b"\r\n"
    queue.accept("ben@ben.example", body=body)

    sending(sink.port)

    eventually(queue.is_empty)
    stored = HEADER + b"\r\n" + body
    octets = sink.arrivals[0].octets
    assert octets.endswith(stored)
    ours = octets[: -len(stored)]
    assert ours.count(b"DKIM-Signature:") == 2
    assert ours.count(b"X-Mxax-Route:") == 1


def test_a_large_message_comes_whole(queue, sink, sending):
    line = b".%070d\r\n"
    body = b"".join(line % number for number in range(40_000))
    queue.accept("ben@ben.example", body=body)
    assert Content.objects.count() > 10

    sending(sink.port)

    eventually(queue.is_empty)
    assert sink.arrivals[0].octets.endswith(HEADER + b"\r\n" + body)


def test_more_large_messages_than_there_is_room_for_come_one_by_one(queue, sink, sending):
    body = b"x" * 70 + b"\r\n"
    for _ in range(4):
        queue.accept("ben@ben.example", body=body * 10_000)

    sending(sink.port, content_octets=800_000)

    eventually(queue.is_empty)
    assert len(sink.arrivals) == 4


def test_the_null_reverse_path_stays_null(queue, sink, sending):
    queue.accept("ben@ben.example", reverse_path="", outgoing_path="")

    sending(sink.port)

    eventually(queue.is_empty)
    assert sink.arrivals[0].mail.startswith("MAIL FROM:<> ")


def test_each_delivery_bears_a_mark_that_tells_us_and_nobody_else_what_it_was(queue, sink, sending):
    trace_id = queue.accept("ben@ben.example", "eve@eve.example", authenticated=True)

    sending(sink.port)

    eventually(queue.is_empty)
    for arrival in sink.arrivals:
        header = arrival.octets[: arrival.octets.index(b"\r\n\r\n")]
        (mark,) = opened_marks(header_fields(header), marker_keys())
        assert (mark.trace_id, mark.tenant_id, mark.recipient) == (trace_id, 1, "hi@ada.example")
        assert mark.belongs_to("carol@author.example")
        assert mark.names_message(b"<tea@author.example>")
        assert mark.authenticated
        assert mark.log_level is LogLevel.METADATA
    assert len(sink.arrivals) == 2


def test_connections_are_kept(queue, sink, sending):
    for _ in range(120):
        queue.accept("ben@ben.example")

    sending(sink.port)

    eventually(queue.is_empty)
    assert len(sink.arrivals) == 120
    assert sink.connections <= 20  # a busy machine opens more before the first is free again


def test_mail_that_comes_later_is_sent_when_the_bell_rings(queue, sink, sending):
    loop = sending(sink.port, timer_seconds=600.0).loop
    eventually(lambda: WorkerHeartbeat.objects.exists())

    queue.accept("ben@ben.example")
    loop.wake()

    eventually(queue.is_empty)


def test_mail_is_sent_without_a_bell_by_the_loops_own_timer(queue, sink, sending):
    assert Limits().timer_seconds == 5
    sending(sink.port, timer_seconds=1.0)
    eventually(lambda: WorkerHeartbeat.objects.exists())

    queue.accept("ben@ben.example")

    eventually(queue.is_empty)


def test_a_loop_that_always_has_mail_forgets_hops_that_have_none(keys):
    async def busy():
        pools = Pools(helo="mxax.test", limits=PoolLimits())
        hop = NextHop.at(HostPort("127.0.0.1", 25))
        once = pools.of(hop)
        loop = SendingLoop(QueueDatabase("test", key_ring=lambda: keys), pools, Smarthost(hop))
        loop._exchanged_at = asyncio.get_running_loop().time()
        ticker = asyncio.create_task(loop._tick())
        await asyncio.sleep(0.01)
        ticker.cancel()
        return pools.of(hop) is once

    assert not asyncio.run(busy())


def test_a_return_is_recorded_and_not_sent(queue, sink, sending):
    queue.accept("carol@author.example", direction=Direction.RETURN, tenant_id=None)

    sending(sink.port)

    eventually(queue.is_empty)
    assert sink.arrivals == []
    assert DeliveryEvent.objects.filter(kind="returned").count() == 1


def test_a_tenant_that_keeps_no_log_gets_no_event(queue, sink, sending):
    queue.accept("ben@ben.example", log_level=LogLevel.NOTHING)

    sending(sink.port)

    eventually(queue.is_empty)
    assert not DeliveryEvent.objects.exists()


def test_the_oldest_mail_goes_first(queue, sink, sending):
    for number in range(5):
        queue.accept(f"user{number}@ben.example")
    late = timezone.now() - timedelta(hours=1)
    Delivery.objects.filter(destination="user3@ben.example").update(next_attempt_at=late)

    sending(sink.port, in_flight=1)

    eventually(queue.is_empty)
    assert [a.recipient[4] for a in sink.arrivals] == ["3", "0", "1", "2", "4"]


def test_content_that_does_not_open_is_deferred_and_never_bounced(queue, sink, sending):
    queue.accept("ben@ben.example")
    Content.objects.update(octets=b"\x01" + b"damaged" * 9)

    sending(sink.port)

    eventually(queue.events)
    (delivery,) = queue.deliveries()
    assert delivery.state == Delivery.State.QUEUED
    assert sink.arrivals == []
    assert BODY not in delivery.last_reply.encode()
