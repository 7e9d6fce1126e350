"""The bell never makes anybody wait, and never says anything about mail."""

import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from kombu import Connection

from delivery import bell

ROOT = Path(__file__).resolve().parents[2]


class Broker:
    """A broker in memory which counts, and may be away."""

    def __init__(self) -> None:
        self.url = f"memory://{id(self)}"

    def connect(self) -> Connection:
        return Connection(self.url)

    def messages(self) -> list:
        with self.connect() as connection:
            queue = connection.SimpleQueue(bell.QUEUE)
            found = []
            while True:
                try:
                    found.append(queue.get(block=False))
                except queue.Empty:
                    return found


@pytest.fixture
def broker():
    one = Broker()
    one.messages()  # makes the queue, as a worker does
    return one


def test_a_ring_is_a_task_that_expires_and_tells_nothing(broker):
    publisher = bell.Publisher(broker.connect)

    assert publisher.ring_once()

    (message,) = broker.messages()
    assert message.headers["task"] == "delivery.wake"
    assert message.headers["expires"]
    assert message.payload[:2] == [[], {}]


def test_many_rings_are_few_messages(broker):
    publisher = bell.Publisher(broker.connect)
    threading.Thread(target=publisher.run, daemon=True).start()

    began = time.monotonic()
    while time.monotonic() < began + 0.5:
        publisher.wanted.set()
        time.sleep(0.0005)
    time.sleep(bell.LONGEST_INTERVAL + 0.1)
    most = 4 + (time.monotonic() - began) / bell.LONGEST_INTERVAL  # 20 ms, 40 ms, … 160 ms apart

    assert 2 <= len(broker.messages()) <= most


def test_ringing_does_not_wait_for_a_broker_that_does_not_answer(settings):
    with socket.socket() as silent:  # accepts nothing, answers nothing
        silent.bind(("127.0.0.1", 0))
        settings.CELERY_BROKER_URL = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        started = time.monotonic()

        for _ in range(100):
            bell.ring()

        assert time.monotonic() - started < 0.9, "a connection takes a second to fail"
    bell._publishers.clear()


def test_a_broker_that_is_away_is_tried_again(broker):
    away = Connection("redis://127.0.0.1:1/0", transport_options={"max_retries": 1})
    connections = [away]
    publisher = bell.Publisher(lambda: connections.pop() if connections else broker.connect())

    assert not publisher.ring_once()
    assert publisher.ring_once()

    assert len(broker.messages()) == 1


def test_a_queue_that_nobody_empties_is_not_filled(broker, monkeypatch):
    monkeypatch.setattr(bell, "LONGEST_BACKLOG", 10)
    publisher = bell.Publisher(broker.connect)

    for _ in range(50):
        publisher._backlog_checked_at = 0.0
        assert publisher.ring_once()

    assert len(broker.messages()) <= 11


def test_a_dead_publisher_ends_its_process():
    code = (
        "import django; django.setup()\n"
        "from delivery import bell\n"
        "def die(self): raise RuntimeError('boom')\n"
        "bell.Publisher.ring_once = die\n"
        "bell.ring()\n"
        "import time; time.sleep(60)\n"
    )

    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, timeout=60, check=False
    )

    assert ended.returncode == 70
    assert b"bell.publisher_died" in ended.stderr
