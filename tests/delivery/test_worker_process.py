"""Real worker processes: killed, drained, without a broker, without a parent."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
import redis

from delivery import bell
from delivery.models import Delivery
from tests.delivery.conftest import eventually

ROOT = Path(__file__).resolve().parents[2]
NO_BROKER = "redis://127.0.0.1:1/0"
pytestmark = pytest.mark.slow


class Worker:
    """`celery worker` with one child, in a session of its own."""

    def __init__(self, smarthost: str, log: Path, broker: str) -> None:
        from django.db import connection

        url, _, _ = os.environ["DATABASE_URL"].rpartition("/")
        environment = {
            **os.environ,
            "DATABASE_URL": f"{url}/{connection.settings_dict['NAME']}",
            "MXAX_DATABASE_ROLE": "mxax_worker",
            "MXAX_SMARTHOST": smarthost,
            "CELERY_BROKER_URL": broker,
        }
        command = "celery -A mxax worker -c 1 --loglevel INFO"
        command += " --without-gossip --without-mingle --without-heartbeat"
        self.log = log
        self.process = subprocess.Popen(
            [sys.executable, "-m", *command.split()],
            env=environment,
            cwd=ROOT,
            stdout=log.open("wb"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def children(self) -> list[int]:
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def wait_until_it_sends(self) -> None:
        eventually(lambda: "delivery.loop_started" in self.log.read_text())

    def starts(self) -> int:
        return self.log.read_text().count("delivery.loop_started")

    def kill(self) -> None:
        """Everything of it, at once."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(60)


@pytest.fixture
def worker(queue, tmp_path):
    from tenants.keys import ensure_service_keys
    from tenants.vault import prove_data_key

    prove_data_key(create=True)
    ensure_service_keys()
    started: list[Worker] = []

    def start(port: int, broker: str = NO_BROKER) -> Worker:
        log = tmp_path / f"worker-{len(started)}.log"
        started.append(Worker(f"127.0.0.1:{port}", log, broker))
        started[-1].wait_until_it_sends()
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.kill()


class BrokerWire:
    """The broker behind a wire that can fall silent without breaking."""

    def __init__(self, url: str) -> None:
        login, _, where = url.rpartition("@") if "@" in url else ("redis://", "", url[8:])
        host, _, port = where.partition("/")[0].rpartition(":")
        self._broker = (host, int(port))
        self._flows = threading.Event()
        self._flows.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        at = "@" if "@" in url else ""
        own = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.url = f"{login}{at}{own}/{where.partition('/')[2]}"
        threading.Thread(target=self._take, daemon=True).start()

    def freeze(self) -> None:
        self._flows.clear()

    def close(self) -> None:
        self._listener.close()
        self._flows.set()

    def _take(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._broker)
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=self._carry, args=ends, daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError), source, target:
            while octets := source.recv(65536):
                self._flows.wait()
                target.sendall(octets)


@pytest.fixture
def broker_wire(settings):
    one = BrokerWire(settings.CELERY_BROKER_URL)
    yield one
    one.close()


def give_up_leases() -> None:
    from django.utils import timezone

    Delivery.objects.filter(state=Delivery.State.IN_FLIGHT).update(next_attempt_at=timezone.now())


def is_gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


def test_mail_flows_while_the_broker_is_away(queue, sink, worker):
    worker(sink.port)

    for _ in range(30):
        queue.accept("ben@ben.example")

    eventually(queue.is_empty)
    assert len(sink.arrivals) == 30


def test_a_worker_killed_after_the_remote_250_sends_twice_at_most(queue, sink, worker):
    queue.accept("ben@ben.example")
    first: list[Worker] = []
    sink.after_answer = lambda: first[0].kill() if first else None
    sink.answer_delay = 0.2
    first.append(worker(sink.port))
    eventually(lambda: sink.arrivals)
    eventually(lambda: first[0].process.poll() is not None)
    first.clear()
    assert queue.deliveries()[0].state == Delivery.State.IN_FLIGHT

    give_up_leases()
    worker(sink.port)

    eventually(queue.is_empty)
    one, two = sink.arrivals
    assert one.octets != two.octets  # signed at another time
    received = b"\r\nReceived: from client.example"
    assert one.octets.partition(received)[2] == two.octets.partition(received)[2] != b""
    assert len(queue.events()) == 1


def test_a_message_that_kills_its_worker_each_time_is_held_and_the_others_go_out(
    queue, sink, worker
):
    sink.answer_delay = 0.5
    queue.accept(*(f"user{n}@ben.example" for n in range(6)), "poison@ben.example")
    running = worker(sink.port)
    killer = PoisonKills(sink, running, "poison@ben.example")

    eventually(lambda: killer.kills == 5, 60)
    eventually(lambda: len(queue.deliveries()) == 1 and queue.deliveries()[0].state == 2)
    killer.stop()

    (row,) = queue.deliveries()
    assert row.destination == "poison@ben.example"
    assert row.leases_lost == 5
    assert "death of the worker" in row.last_reply
    (event,) = queue.events("held")
    assert event["destination"] == "poison@ben.example"
    assert "death of the worker" in event["reason"]
    assert {one.recipient for one in sink.arrivals} >= {f"user{n}@ben.example" for n in range(6)}
    assert "delivery.held" in running.log.read_text()


class PoisonKills:
    """Kills the sending process whenever it offers this recipient; its leases end at once."""

    def __init__(self, sink, worker: Worker, recipient: str) -> None:
        self.kills = 0
        self._sink, self._worker, self._recipient = sink, worker, recipient
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(60)

    def _watch(self) -> None:
        seen = 0
        while not self._over.wait(0.01):
            commands = list(self._sink.commands)
            if any(self._recipient in command for _, command in commands[seen:]):
                for child in self._worker.children():
                    os.kill(child, signal.SIGKILL)
                eventually(lambda: self._worker.starts() == self.kills + 2)
                self.kills += 1
                seen = len(self._sink.commands)
                give_up_leases()
                continue
            seen = len(commands)


def test_sigterm_lets_what_is_on_the_wire_end(queue, sink, worker):
    sink.answer_delay = 1.0
    for _ in range(60):
        queue.accept("ben@ben.example")
    running = worker(sink.port)
    eventually(lambda: any(command == "DATA" for _, command in sink.commands))

    running.process.send_signal(signal.SIGTERM)

    assert running.process.wait(30) == 0
    assert not Delivery.objects.filter(state=Delivery.State.IN_FLIGHT).exists()
    assert Delivery.objects.count() + len(sink.arrivals) == 60
    assert len(queue.events()) == len(sink.arrivals) > 0


def test_sigterm_is_heard_at_once_while_celery_waits_for_its_broker(
    queue, sink, worker, settings, broker_wire
):
    running = worker(sink.port, broker=broker_wire.url)
    eventually(lambda: "ready." in running.log.read_text())
    time.sleep(1.5)  # it waits for the bell
    broker_wire.freeze()
    started = time.monotonic()

    running.process.send_signal(signal.SIGTERM)

    eventually(lambda: "delivery.draining" in running.log.read_text(), 5)
    assert running.process.wait(30) == 0
    assert time.monotonic() - started < 20


def test_a_child_whose_parent_was_killed_ends_by_itself(queue, sink, worker):
    running = worker(sink.port)
    (child,) = running.children()

    running.process.kill()
    running.process.wait(60)

    eventually(lambda: is_gone(child))


def test_a_child_that_was_killed_is_replaced(queue, sink, worker):
    running = worker(sink.port)
    (child,) = running.children()

    os.kill(child, signal.SIGKILL)

    eventually(lambda: running.log.read_text().count("delivery.loop_started") == 2)
    queue.accept("ben@ben.example")
    eventually(queue.is_empty)


def test_a_loop_that_dies_ends_its_process(tmp_path):
    code = (
        "import django; django.setup()\n"
        "from delivery import worker\n"
        "from delivery.loop import SendingLoop\n"
        "async def die(self): raise RuntimeError('boom')\n"
        "SendingLoop.run = die\n"
        "worker.LoopThread().start()\n"
        "import time; time.sleep(60)\n"
    )

    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, timeout=60, check=False
    )

    assert ended.returncode == 70
    assert b"delivery.loop_died" in ended.stderr


def test_the_bell_wakes_a_real_worker(queue, sink, worker, settings):
    running = worker(sink.port, broker=settings.CELERY_BROKER_URL)
    eventually(lambda: "ready." in running.log.read_text())
    publisher = bell.Publisher(bell._broker)
    times = []

    for _ in range(5):
        time.sleep(0.3)  # between two wakes of the loop's own timer
        started = time.monotonic()
        queue.accept("ben@ben.example")
        assert publisher.ring_once()
        eventually(queue.is_empty)
        times.append(time.monotonic() - started)

    assert sorted(times)[2] < 2.5, "the loop's own timer goes every five seconds"


def test_a_wiped_broker_costs_nothing(queue, sink, worker, settings):
    running = worker(sink.port, broker=settings.CELERY_BROKER_URL)
    eventually(lambda: "ready." in running.log.read_text())
    for _ in range(20):
        queue.accept("ben@ben.example")

    redis.Redis.from_url(settings.CELERY_BROKER_URL).flushall()

    eventually(queue.is_empty)
    assert len(sink.arrivals) == 20


def test_the_schedule_names_tasks_that_exist():
    from mxax.celery import app

    app.finalize()
    app.loader.import_default_modules()

    names = {entry["task"] for entry in app.conf.beat_schedule.values()}
    assert names
    assert names <= set(app.tasks)


def test_beat_asks_for_the_same_and_imports_none_of_it():
    from mxax.celery import app

    script = """
import json, sys
from mxax.beat import app
app.loader.init_worker()
app.finalize()
heavy = {"django.db.models", "delivery.housekeeping"} & set(sys.modules)
print(json.dumps([app.conf.beat_schedule, sorted(heavy)]))
"""
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)

    schedule, heavy = json.loads(said.stdout)
    assert schedule == app.conf.beat_schedule
    assert heavy == []
