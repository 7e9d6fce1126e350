"""Messages to keep, and what the queue holds."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from uuid import UUID

import pytest

from mail.facts import LogLevel
from mail.plan import Direction, PlannedDelivery, PlannedMessage
from mail.trace import new_trace_id
from tests.delivery.sink import Sink

HEADER = (
    b"Received: from client.example by mx.mxax.test; Sun, 22 Nov 2026 06:00:00 +0000\r\n"
    b"From: Carol <carol@author.example>\r\nTo: hi@ada.example\r\nSubject: Tea\r\n"
    b"Date: Sun, 22 Nov 2026 06:00:00 +0000\r\nMessage-ID: <tea@author.example>\r\n"
)
BODY = b"Four o'clock?\r\n.\r\n..two dots\r\n"


def a_message(*destinations: str, **changes: object) -> PlannedMessage:
    """A planned message of tenant 1 from Carol, one delivery for each destination."""
    plan = PlannedMessage(
        trace_id=new_trace_id(time.time_ns() // 1_000_000, os.urandom(10)),
        tenant_id=1,
        direction=Direction.FORWARD,
        reverse_path="carol@author.example",
        outgoing_path="SRS0=aaaaaaaaaa=bb=author.example=carol@fwd.mxax.test",
        client_ip="192.0.2.7",
        helo="client.example",
        protocol="ESMTP",
        tls="",
        size_octets=len(HEADER) + 2 + len(BODY),
        header_octets=len(HEADER),
        smtputf8=False,
        eight_bit=False,
        log_level=LogLevel.METADATA,
        deliveries=tuple(
            PlannedDelivery("hi@ada.example", destination, route_id=number)
            for number, destination in enumerate(destinations, 1)
        ),
        subject="Tea",
        author="carol@author.example",
        trail=("accept",),
    )
    return replace(plan, **changes)


@dataclass
class Queue:
    """The queue as the tests see it."""

    kept: list[UUID] = field(default_factory=list)

    def accept(
        self, *destinations: str, body: bytes = BODY, header: bytes = HEADER, **changes: object
    ) -> UUID:
        """Keep one message as the edge does, and commit."""
        return self.accept_all([(a_message(*destinations, **changes), header + b"\r\n" + body)])[0]

    def accept_all(self, messages: list[tuple[PlannedMessage, bytes]]) -> list[UUID]:
        from django.db import transaction

        from delivery.acceptance import KeptMessage, insert_messages
        from delivery.content import CHUNK_OCTETS

        kept = []
        for plan, octets in messages:
            pieces = tuple(
                octets[start : start + CHUNK_OCTETS]
                for start in range(0, max(len(octets), 1), CHUNK_OCTETS)
            )
            header_octets = octets.index(b"\r\n\r\n") + 2
            plan = replace(plan, size_octets=len(octets), header_octets=header_octets)
            kept.append(KeptMessage(plan, pieces, 0, len(pieces)))
        with transaction.atomic():
            insert_messages(kept)
        self.kept += [one.plan.trace_id for one in kept]
        return [one.plan.trace_id for one in kept]

    def deliveries(self) -> list:
        from delivery.models import Delivery

        return list(Delivery.objects.select_related("message").order_by("id"))

    def is_empty(self) -> bool:
        from delivery.models import Content, Delivery, Message

        return not (
            Delivery.objects.exists() or Message.objects.exists() or Content.objects.exists()
        )

    def events(self, kind: str = "attempted") -> list[dict]:
        from delivery.models import DeliveryEvent

        return [one.data for one in DeliveryEvent.objects.filter(kind=kind).order_by("id")]

    def make_due(self) -> None:
        """What waits for a retry is due now."""
        from delivery.models import ClockTimestamp, Delivery

        Delivery.objects.filter(state=Delivery.State.QUEUED).update(
            next_attempt_at=ClockTimestamp()
        )


def whole_reads() -> dict[str, int]:
    """How often this session has read each of the queue's tables from end to end.

    Some of its last transactions may be counted with the current one: compared, not read.
    """
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, seq_scan FROM pg_stat_xact_user_tables"
            " WHERE relname LIKE 'delivery_%%'"
        )
        return dict(cursor.fetchall())


def read_whole_since(before: dict[str, int]) -> set[str]:
    """The tables read from end to end since `whole_reads` gave `before`, in one transaction."""
    return {name for name, count in whole_reads().items() if count > before.get(name, 0)}


@pytest.fixture
def queue(transactional_db) -> Queue:
    return Queue()


@pytest.fixture
def sink() -> Sink:
    one = Sink().start()
    yield one
    one.stop()


@pytest.fixture(scope="session")
def keys():
    """A key ring made for the run: generating RSA keys takes long."""
    from delivery.attempts import KeyRing
    from mail.signing import generate_key_pair, load_signing_key

    made = []
    for algorithm in ("rsa-sha256", "ed25519-sha256"):
        pem, _ = generate_key_pair(algorithm)
        made.append(
            load_signing_key(pem, algorithm=algorithm, domain="fwd.mxax.test", selector="t")
        )
    return KeyRing(tuple(made), tuple(made))


class Sending:
    """A sending loop in a thread of its own; `resolver` makes another one than the smarthost's."""

    def __init__(
        self, port: int, keys, *, tls: bool = False, timeouts=None, resolver=None, **limits
    ) -> None:
        self.resolver = resolver
        self.port, self.keys, self.tls, self.timeouts, self.limits = (
            port,
            keys,
            tls,
            timeouts,
            limits,
        )
        self.loop = None
        self.error: BaseException | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)

    def start(self) -> Sending:
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def _live(self) -> None:
        import uvloop

        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._run())
        except BaseException as error:
            self.error = error

    async def _run(self) -> None:
        from delivery.exchange import QueueDatabase
        from delivery.loop import Limits, SendingLoop
        from delivery.next_hop import Smarthost
        from delivery.transport.pool import PoolLimits
        from delivery.transport.pools import Pools
        from mxax.setting_values import HostPort

        pools = Pools(helo="mxax.test", limits=PoolLimits(), timeouts=self.timeouts, tls=self.tls)
        database = QueueDatabase(f"test:{id(self)}", key_ring=lambda: self.keys)
        make = self.resolver or (lambda: Smarthost.at(HostPort("127.0.0.1", self.port)))
        self.loop = SendingLoop(database, pools, make(), Limits(**self.limits))
        self._ready.set()
        await self.loop.run()

    def stop(self, seconds: float = 40) -> None:
        if self._thread.is_alive():
            self.loop.drain()
        self._thread.join(seconds)
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error


@pytest.fixture
def sending(queue, keys):
    """Starts sending loops towards a port, and ends them."""
    started: list[Sending] = []

    def start(port: int, **more) -> Sending:
        started.append(Sending(port, keys, **more).start())
        return started[-1]

    yield start
    for one in started:
        one.stop()


def eventually(true: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until it is true, or fail."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"it did not become true; {_waiting()}"
        time.sleep(0.02)


def _waiting() -> list[str]:
    from delivery.models import Delivery

    return [
        f"{one} {one.get_state_display()}: {one.last_reply}" for one in Delivery.objects.all()[:5]
    ]
