"""RabbitMQ as the broker: the bell rings, and mail flows as well when it is gone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from kombu import Connection

from tests.ports import free_port
from tests.reliability.ledger import percentile
from tests.reliability.places import ADDRESSES, Place, place

pytestmark = [
    pytest.mark.reliability,
    pytest.mark.slow,
    pytest.mark.needs_debian,
    pytest.mark.timeout(600),
]

PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


class RabbitMq:
    """A node of its own: ports, data, cookie and log below one folder; ended by its pid."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self._node_port, self._mapper_port = (free_port() for _ in range(3))
        self.process: subprocess.Popen[bytes] | None = None
        (folder / "home").mkdir(parents=True)
        (folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\ndisk_free_limit.absolute = 50MB\n"
            "vm_memory_high_watermark.absolute = 400MB\n"
        )
        (folder / "enabled_plugins").write_text("[].\n")

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def start(self) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder / "home"),
            "RABBITMQ_NODENAME": f"mxax{self.port}@localhost",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(self._node_port),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._mapper_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1",
        }
        with open(self.folder / "server.log", "ab") as log:
            self.process = subprocess.Popen(
                [str(PROGRAM)],
                env=environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + 90
        while not self.is_there():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < until, self.said()
            time.sleep(0.3)

    def is_there(self) -> bool:
        try:
            with Connection(self.url, connect_timeout=2) as connection:
                connection.connect()
        except OSError:
            return False
        return True

    def said(self) -> str:
        return (self.folder / "server.log").read_text(errors="replace")[-3000:]

    def end(self) -> None:
        if self.process is None:
            return
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)
        self.process = None
        for pid in self._port_mappers():
            os.kill(pid, signal.SIGTERM)

    def _port_mappers(self) -> Iterator[int]:
        """Erlang's epmd is a daemon that stays behind: ours is known by its port."""
        mark = f"ERL_EPMD_PORT={self._mapper_port}".encode()
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                ours = entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(
                    b"\0"
                )
                if ours and b"epmd" in (entry / "cmdline").read_bytes().split(b"\0")[0]:
                    yield int(entry.name)


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory) -> Iterator[RabbitMq]:
    if not PROGRAM.exists() or shutil.which("erl") is None:
        pytest.skip("rabbitmq-server is not installed")
    server = RabbitMq(tmp_path_factory.mktemp("rabbit"))
    try:
        server.start()
        yield server
    finally:
        server.end()


@pytest.fixture(scope="module")
def ada(rabbit, tmp_path_factory) -> Iterator[Place]:
    with place(tmp_path_factory.mktemp("by-rabbit"), CELERY_BROKER_URL=rabbit.url) as running:
        yield running


def test_the_bell_wakes_the_workers_through_rabbitmq(ada, rabbit, record):
    ada.service.wait_for(lambda: queue_length(rabbit) is not None, 60, "the workers' queue")
    client, waits = ada.client("rabbit"), []
    for _ in range(12):
        sent = client.send(ADDRESSES[0])
        assert sent.accepted
        ada.service.wait_for(lambda one=sent: ada.sink.arrivals(one.id), 60, "the message")
        waits.append(time.monotonic() - sent.began)
        time.sleep(0.4)
    ada.settle(30)

    record(p50_s=round(percentile(waits, 0.5), 2), slowest_s=round(max(waits), 2))
    assert percentile(waits, 0.5) < 1.8  # the workers' own timer would make it 2.5 seconds
    assert ada.balance(client).lost == ()
    assert ada.balance(client).dups == {}
    assert "bell.failed" not in ada.log("edge")
    ada.service.wait_for(lambda: queue_length(rabbit) == 0, 60, "an empty queue")


def queue_length(rabbit: RabbitMq) -> int | None:
    """Messages in the workers' queue, declared as they declare it; None while it is not there."""
    with Connection(rabbit.url) as connection, connection.channel() as channel:
        try:
            return int(channel.queue_declare("celery", passive=True).message_count)
        except connection.channel_errors:
            return None


def test_the_queue_is_a_quorum_queue(ada, rabbit):
    ada.service.wait_for(lambda: queue_length(rabbit) is not None, 60, "the workers' queue")
    with Connection(rabbit.url) as connection:
        with pytest.raises(connection.channel_errors, match="x-queue-type"):
            connection.channel().queue_declare("celery", durable=True, auto_delete=False)
        connection.channel().queue_declare(
            "celery", durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"}
        )


def test_mail_flows_while_rabbitmq_is_gone_and_the_bell_is_back_after_it(ada, rabbit, record):
    client = ada.client("gone")
    rabbit.end()
    for _ in range(20):
        assert client.send(ADDRESSES[0]).accepted
    ada.settle(20)
    rabbit.start()
    ada.service.wait_for(lambda: queue_length(rabbit) == 0, 60, "the workers at their queue")

    def rings() -> bool:
        sent = client.send(ADDRESSES[0])
        time.sleep(1)
        return bool(ada.sink.arrivals(sent.id))

    ada.service.wait_for(lambda: rings() and rings() and rings(), 60, "the bell")
    ada.settle(30)
    found = ada.balance(client)
    record(ledgers=found)
    assert found.lost == ()
    assert found.dups == {}
