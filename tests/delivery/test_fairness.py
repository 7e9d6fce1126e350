"""A tenant's mail to a dead host does not stand before the mail of others."""

from __future__ import annotations

import asyncio
import socket
import statistics
import time
from contextlib import contextmanager

import pytest
from django.db import connection, transaction

from delivery import sql
from delivery.fair import Caps, FairClaim, share_out
from delivery.gate import FEW, Gate
from delivery.models import Delivery
from delivery.next_hop import NextHop
from delivery.settle import Ending
from mxax.setting_values import HostPort
from tests.delivery.conftest import BODY, HEADER, a_message, eventually

ADA, BEN = 1, 2
CAPS = Caps.of(50)
SAMPLES = 40


class ByDomain:
    """Mail to dead.example goes to one port, everything else to another."""

    def __init__(self, alive: int, dead: int) -> None:
        self.alive, self.dead = alive, dead

    async def resolve(self, domain: str) -> NextHop:
        port = self.dead if domain == "dead.example" else self.alive
        return NextHop.at(HostPort("127.0.0.1", port))


@contextmanager
def a_port_that_refuses():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening
        yield taken.getsockname()[1]


@contextmanager
def a_port_that_never_answers():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(200)
        yield listener.getsockname()[1]


def fill(queue, tenant_id: int, count: int, domain: str = "dead.example") -> None:
    """So many messages of one tenant."""
    octets = HEADER + b"\r\n" + BODY
    while count > 0:
        plans = [a_message(f"user@{domain}", tenant_id=tenant_id) for _ in range(min(count, 500))]
        queue.accept_all([(plan, octets) for plan in plans])
        count -= len(plans)


def seconds_to_arrive(queue, sink, loop, tenant_id: int, samples: int = SAMPLES) -> float:
    """The 95th percentile from acceptance to arrival, of messages accepted one after another."""
    taken = []
    for number in range(samples):
        there, name = len(sink.arrivals), f"live{tenant_id}-{number}@alive.example"
        started = time.monotonic()
        queue.accept(name, tenant_id=tenant_id)
        loop.wake()
        eventually(lambda n=name, t=there: any(a.recipient == n for a in sink.arrivals[t:]), 20)
        taken.append(time.monotonic() - started)
    return statistics.quantiles(taken, n=20)[-1]


@pytest.mark.parametrize("dead", [a_port_that_refuses, a_port_that_never_answers])
def test_a_backlog_to_a_dead_host_does_not_delay_another_tenant(
    queue, sink, sending, request, dead
):
    count = 50_000 if request.config.getoption("--full-size") else 5_000
    with dead() as port:
        loop = sending(sink.port, resolver=lambda: ByDomain(sink.port, port)).loop
        idle = seconds_to_arrive(queue, sink, loop, BEN)
        fill(queue, ADA, count)
        loop.wake()
        eventually(lambda: Delivery.objects.filter(tenant_id=ADA, state=1).exists(), 10)

        busy = seconds_to_arrive(queue, sink, loop, BEN)

        assert Delivery.objects.filter(tenant_id=ADA).count() == count  # none is lost
        Delivery.objects.filter(tenant_id=ADA).delete()
        idle = max(idle, seconds_to_arrive(queue, sink, loop, BEN))  # the machine has other work
        print(f"p95 {idle * 1000:.0f} ms idle, {busy * 1000:.0f} ms beside {count} of Ada's")
        if request.config.getoption("--full-size"):
            assert busy <= max(2 * idle, 0.1)
        assert busy <= max(4 * idle, 1), "behind the backlog it would take many seconds"


def test_mail_that_cannot_go_now_is_put_off_without_an_attempt(queue, sink, sending):
    with a_port_that_refuses() as port:
        fill(queue, ADA, 2_000)

        sending(sink.port, resolver=lambda: ByDomain(sink.port, port))
        eventually(lambda: not _due(ADA), 20)

        untried = Delivery.objects.filter(tenant_id=ADA, attempts=0).count()
        assert untried > 1_000
        assert Delivery.objects.filter(tenant_id=ADA, state=0).count() == 2_000


def test_old_mail_keeps_its_own_schedule(queue, sink, sending):
    with a_port_that_refuses() as port, connection.cursor() as cursor:
        fill(queue, ADA, 500)
        cursor.execute("UPDATE delivery_message SET accepted_at = now() - interval '2 hours'")

        sending(sink.port, resolver=lambda: ByDomain(sink.port, port))
        eventually(lambda: not _due(ADA), 20)

        assert not Delivery.objects.filter(attempts=0).exists()


def test_the_rest_of_a_tenants_own_mail_still_goes(queue, sink, sending):
    with a_port_that_refuses() as port:
        fill(queue, ADA, 2_000)
        queue.accept("ben@alive.example", tenant_id=ADA)

        sending(sink.port, resolver=lambda: ByDomain(sink.port, port))

        eventually(lambda: sink.arrivals, 20)


def test_the_services_own_mail_has_its_turn_too(queue, sink, sending):
    with a_port_that_refuses() as port:
        fill(queue, ADA, 2_000)
        queue.accept("owner@alive.example", tenant_id=None)

        sending(sink.port, resolver=lambda: ByDomain(sink.port, port))

        eventually(lambda: sink.arrivals, 20)


def test_small_mail_passes_large_mail_that_waits_for_room(queue, sink, sending):
    sink.answer_delay = 0.3
    body = b"x" * 70 + b"\r\n"
    for _ in range(50):
        queue.accept("large@alive.example", body=body * 4_000)
    queue.accept("small@alive.example")

    sending(sink.port, content_octets=600_000)

    eventually(lambda: any(a.recipient.startswith("small") for a in sink.arrivals), 20)
    assert len(sink.arrivals) < 25


def test_large_mail_to_a_mute_host_does_not_hold_up_large_mail_of_another_tenant(
    queue, sink, sending
):
    large = b"x" * 70 + b"\r\n"
    with a_port_that_never_answers() as port:
        for _ in range(6):
            queue.accept("ben@dead.example", tenant_id=ADA, body=large * 7_000)
        sending(sink.port, resolver=lambda: ByDomain(sink.port, port), content_octets=1_000_000)
        eventually(lambda: Delivery.objects.filter(state=1).count() == 6)

        for _ in range(3):
            queue.accept("ben@alive.example", tenant_id=BEN, body=large * 12_000)

        eventually(lambda: len(sink.arrivals) == 3, 20)


def _due(tenant_id: int) -> bool:
    from delivery.models import ClockTimestamp

    waiting = Delivery.objects.filter(tenant_id=tenant_id)
    return (
        waiting.filter(state=1).exists()
        or waiting.filter(state=0, next_attempt_at__lte=ClockTimestamp()).exists()
    )


# Who gets how much.


def test_places_are_dealt_out_evenly():
    assert share_out([1, 2, 3], {}, free=9, caps=CAPS) == {1: 3, 2: 3, 3: 3}


def test_who_holds_much_gets_no_more_while_others_wait():
    assert share_out([1, 2], {1: 25}, free=25, caps=CAPS) == {2: 25}


def test_alone_a_tenant_still_leaves_places_free():
    assert share_out([1], {1: 30}, free=20, caps=CAPS) == {1: 10}
    assert share_out([1], {1: 40}, free=10, caps=CAPS) == {}


def test_whose_mail_is_stuck_gets_a_few_places():
    assert share_out([1, 2], {}, free=50, caps=CAPS, stuck={1}) == {1: 2, 2: 25}


def test_the_turn_moves_on():
    assert list(share_out([None, 1, 2, 3], {}, free=2, caps=CAPS, after=2)) == [None, 3]


def test_a_claim_serves_many_tenants_whatever_the_first_one_has(queue):
    fill(queue, ADA, 300)
    for tenant_id in range(2, 30):
        queue.accept("x@alive.example", tenant_id=tenant_id)
    queue.accept("x@alive.example", tenant_id=None)
    fair = FairClaim()

    with transaction.atomic(), sql.queue_cursor() as cursor:
        claim, was_full = fair.claim(cursor, 50, {}, CAPS)

    served = {one.message.tenant_id for one in claim.deliveries}
    assert served == {None, *range(1, 30)}
    assert len(claim.deliveries) <= 50
    assert was_full


def test_thousands_of_tenants_who_wait_for_retries_cost_little(queue, request):
    tenants = 5_000
    _tenants_with_deferred_mail(queue, tenants)
    queue.accept("x@alive.example", tenant_id=tenants // 2)
    fair = FairClaim()
    taken = []

    for _ in range(5):
        fair._stale_at = 0
        with transaction.atomic(), sql.queue_cursor() as cursor:
            started = time.monotonic()
            claim, _ = fair.claim(cursor, 50, {}, CAPS)
            taken.append(time.monotonic() - started)
            if len(taken) == 1:
                assert len(claim.deliveries) == 1

    print(f"roster and claim among {tenants} tenants: {min(taken) * 1000:.1f} ms")
    assert min(taken) < 1


def _tenants_with_deferred_mail(queue, tenants: int) -> None:
    fill(queue, ADA, tenants)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE delivery_delivery SET tenant_id = numbered.n,
                next_attempt_at = clock_timestamp() + interval '1 hour'
            FROM (SELECT id, row_number() OVER () AS n FROM delivery_delivery) numbered
            WHERE numbered.id = delivery_delivery.id
            """
        )


# A hop that does not move.


def test_a_silent_hop_holds_a_few_places_only():
    async def story() -> tuple[int, float]:
        gate = Gate()
        started = asyncio.get_running_loop().time()
        let_in = await asyncio.gather(*(gate.enter("silent") for _ in range(40)))
        return sum(let_in), asyncio.get_running_loop().time() - started

    let_in, seconds = asyncio.run(story())

    assert let_in == FEW
    assert seconds < 2


def test_a_hop_that_answers_may_have_every_place():
    async def story() -> int:
        gate = Gate()
        asked = [asyncio.ensure_future(gate.enter("quick")) for _ in range(50)]
        await asyncio.sleep(0.01)
        gate.leave("quick", heard=True)
        return sum(await asyncio.gather(*asked))

    assert asyncio.run(story()) == 50


# A row that cannot be settled.


@pytest.mark.parametrize("poison", ["nul\0", "lone \ud800"])
def test_a_row_that_cannot_be_settled_stands_alone(queue, sink, sending, poison, monkeypatch):
    from delivery import attempts

    whole = attempts.ending_of

    def poisoned(delivery, event, **more):
        ending = whole(delivery, event, **more)
        if delivery.destination == "poison@x.example":
            return Ending(
                ending.delivery_id, ending.message_id, ending.token, 0, 300.0, reply=poison
            )
        return ending

    monkeypatch.setattr(attempts, "ending_of", poisoned)
    queue.accept("one@x.example", "poison@x.example", "two@x.example")

    sending(sink.port)
    eventually(lambda: len(queue.events()) == 2)

    eventually(lambda: [d.state for d in queue.deliveries()] == [Delivery.State.QUEUED])
    (left,) = queue.deliveries()
    assert (left.destination, left.attempts) == ("poison@x.example", 1)
    assert len(sink.arrivals) == 3
