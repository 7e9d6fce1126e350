"""Rings for the sending loops after mail was committed.

The table is the queue; the bell only saves the wait for a loop's own timer. So a ring may be lost,
carries nothing about the mail, and never makes its caller wait: one thread a process publishes,
any number of rings within 20 ms are one, and a broker that is away is tried again later.

A ring costs 4 ms of CPU in all, as much as two messages. A loop that has just had mail looks for
more by itself for 150 ms (delivery/loop.py), so while rings are wanted all the time they come ever
more rarely, down to five a second; after a moment of silence the next one goes out at once.

The wake-up is a message of Celery's protocol 2 put straight into the queue by kombu: that is a
third of the cost of `.delay()`, and the edge need not load Celery.
"""

import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import structlog
from django.conf import settings
from kombu.connection import Connection
from kombu.exceptions import KombuError

from delivery.metrics import RINGS

TASK = "delivery.wake"
QUEUE = "celery"
EXPIRES_SECONDS = 30
SHORTEST_INTERVAL = 0.02
LONGEST_INTERVAL = 0.16
LONGEST_BACKLOG = 500
_BACKLOG_EVERY = 5.0
_RETRY_AFTER = 1.0
_CONNECT_SECONDS = 1.0
_TRANSPORT_OPTIONS = {
    "socket_timeout": _CONNECT_SECONDS,
    "socket_connect_timeout": _CONNECT_SECONDS,
    "read_timeout": _CONNECT_SECONDS,  # RabbitMQ's names
    "write_timeout": _CONNECT_SECONDS,
    "max_retries": 1,
}
EXIT_CODE = 70

log = structlog.get_logger()


def ring() -> None:
    """Wake the sending loops soon; returns at once, from any thread."""
    publisher = _publishers.get(os.getpid()) or _start()
    publisher.wanted.set()


class Publisher:
    """Publishes wake-ups over one connection; `run` is the thread."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self.wanted = threading.Event()
        self._connect = connect
        self._connection: Connection | None = None
        self._backlog_checked_at = 0.0
        self._muffled = False

    def run(self) -> None:
        """Publish for ever; a thread that ends takes its process along."""
        interval = SHORTEST_INTERVAL
        try:
            while True:
                if self.wanted.is_set():
                    interval = min(interval * 2, LONGEST_INTERVAL)
                else:
                    self.wanted.wait()
                    interval = SHORTEST_INTERVAL
                self.wanted.clear()
                time.sleep(interval if self.ring_once() else _RETRY_AFTER)
        except BaseException:
            log.exception("bell.publisher_died")
            os._exit(EXIT_CODE)

    def ring_once(self) -> bool:
        """Publish one wake-up; False when the broker did not take it."""
        connection = self._connection = self._connection or self._connect()
        try:
            connection.connect()  # one try, where kombu itself would try for ever
            if not self._is_muffled(connection):
                publish(connection)
            return True
        except _trouble_of(connection) as error:
            RINGS.labels("failed").inc()
            log.warning("bell.failed", error=type(error).__name__)
            self._connection = None
            connection.collect(socket_timeout=_CONNECT_SECONDS)
            return False

    def _is_muffled(self, connection: Connection) -> bool:
        """Whether nobody answers the bell: then it must not fill the broker."""
        now = time.monotonic()
        if now - self._backlog_checked_at > _BACKLOG_EVERY:
            self._backlog_checked_at = now
            self._muffled = backlog(connection) > LONGEST_BACKLOG
        return self._muffled


def publish(connection: Connection) -> None:
    """Put one wake-up into the queue; lost where no worker has made the queue yet."""
    connection.Producer(auto_declare=False).publish(
        [[], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}],
        routing_key=QUEUE,
        serializer="json",
        expiration=EXPIRES_SECONDS,
        delivery_mode="transient",
        retry=False,
        **wake_up(),
    )
    RINGS.labels("ok").inc()


def backlog(connection: Connection) -> int:
    """How many messages wait in the queue; none where there is no queue."""
    try:
        with connection.channel() as channel:  # AMQP closes a channel that asked in vain
            return int(channel.queue_declare(QUEUE, passive=True).message_count)
    except connection.channel_errors:
        return 0


def _trouble_of(connection: Connection) -> tuple[type[BaseException], ...]:
    return (OSError, KombuError, *connection.connection_errors, *connection.channel_errors)


def wake_up() -> dict[str, object]:
    """Headers and properties of a wake-up (Celery message protocol 2)."""
    identity = str(uuid4())
    expires = datetime.now(UTC) + timedelta(seconds=EXPIRES_SECONDS)
    headers = {
        "lang": "py",
        "task": TASK,
        "id": identity,
        "root_id": identity,
        "parent_id": None,
        "group": None,
        "expires": expires.isoformat(),
        "ignore_result": True,
    }
    return {"headers": headers, "correlation_id": identity}


_publishers: dict[int, Publisher] = {}
_starting = threading.Lock()


def _start() -> Publisher:
    """The publisher of this process (a fork's is its own), started on the first ring."""
    with _starting:
        publisher = _publishers.get(os.getpid())
        if publisher is None:
            publisher = Publisher(_broker)
            threading.Thread(target=publisher.run, name="bell", daemon=True).start()
            _publishers.clear()
            _publishers[os.getpid()] = publisher
        return publisher


def _broker() -> Connection:
    return Connection(
        settings.CELERY_BROKER_URL,
        connect_timeout=_CONNECT_SECONDS,
        transport_options=_TRANSPORT_OPTIONS,
    )
