"""The service under test with its ledgers, its database's own view, and its processes by part."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from tests.installation import PROJECT, Installation, installed
from tests.reliability.ledger import Balance, ClientLedger, SinkLedger, balance

DOMAIN = "ledger.example"
ADDRESSES = tuple(f"{name}@{DOMAIN}" for name in ("one", "two", "three"))

# By part: a word of the command line of its processes.
PARTS = {
    "edge": "-m smtp_edge",
    "worker": "celery -A mxax worker",
    "beat": "celery -A mxax.beat beat",
    "broker": "valkey-server",
    "database": "bin/postgres -D",
}


def destination_of(address: str) -> str:
    return address.replace(f"@{DOMAIN}", "@there.example")


@dataclass
class Place:
    """A running service that sends everything to our sink."""

    service: Installation
    sink: SinkLedger
    admin_url: str

    @property
    def port(self) -> int:
        return self.service.ports["MX"]

    def client(self, name: str) -> ClientLedger:
        return ClientLedger(self.port, name)

    # --- the database's view

    def ask(self, statement: str, *values: object) -> list[Any]:
        """Rows, as the superuser, past every policy. Raises psycopg.OperationalError."""
        with psycopg.connect(self.admin_url, autocommit=True, connect_timeout=5) as connection:
            return connection.execute(statement, values).fetchall()

    def waiting(self) -> int | None:
        """Deliveries not ended yet; None while the database is away."""
        try:
            return self.ask("SELECT count(*) FROM delivery_delivery WHERE state < 3")[0][0]
        except psycopg.Error:
            return None

    def in_flight(self) -> set[tuple[str, str]]:
        """(trace id, destination) under a lease; empty while the database is away."""
        try:
            rows = self.ask("SELECT message_id, destination FROM delivery_delivery WHERE state = 1")
        except psycopg.Error:
            return set()
        return {(str(message), destination) for message, destination in rows}

    def failed(self) -> int:
        return self.ask("SELECT count(*) FROM delivery_delivery WHERE state = 3")[0][0]

    def half_messages(self) -> tuple[int, int]:
        """Messages without deliveries or content, and content without a message."""
        messages = self.ask(
            "SELECT count(*) FROM delivery_message m WHERE NOT EXISTS"
            " (SELECT FROM delivery_delivery d WHERE d.message_id = m.id) OR m.chunk_count <>"
            " (SELECT count(*) FROM delivery_content c WHERE c.message_id = m.id)"
        )
        orphans = self.ask(
            "SELECT count(*) FROM delivery_content c WHERE NOT EXISTS"
            " (SELECT FROM delivery_message m WHERE m.id = c.message_id)"
        )
        return messages[0][0], orphans[0][0]

    def settle(self, patience: float) -> None:
        """Wait until nothing waits and nothing is on its way."""
        until = time.monotonic() + patience
        while self.waiting() != 0:
            assert time.monotonic() < until, f"not empty after {patience} s: {self.rows()}"
            time.sleep(0.1)

    def rows(self) -> list[Any]:
        """What stands in the queue, for people."""
        return self.ask(
            "SELECT state, attempts, next_attempt_at - now() AS due_in, left(last_reply, 120),"
            " count(*) FROM delivery_delivery GROUP BY 1, 2, 3, 4 LIMIT 10"
        )

    def balance(self, client: ClientLedger) -> Balance:
        return balance(client, self.sink, destination_of)

    # --- its processes

    def pids(self, part: str) -> list[int]:
        return [pid for pid in self.service.pids(PARTS[part]) if not is_gone(pid)]

    def signal(self, part: str, number: int) -> list[int]:
        found = self.pids(part)
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        return found

    @contextmanager
    def frozen(self, part: str) -> Iterator[list[int]]:
        """SIGSTOP for all processes of a part, SIGCONT afterwards."""
        stopped = self.signal(part, signal.SIGSTOP)
        assert stopped, f"no {part}"
        try:
            yield stopped
        finally:
            for pid in stopped:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def answers(self) -> bool:
        """Whether a message is taken now."""
        return self.client(f"probe{time.monotonic_ns()}").send(ADDRESSES[0]).accepted

    def pid_of(self, name: str) -> int:
        """The launcher's child of this name."""
        return int(self._state()["pids"][name])

    def environment(self) -> dict[str, str]:
        """What a process of the service finds in its environment."""
        return {**self.service.environment(), **self._state()["environment"]}

    def _state(self) -> dict[str, Any]:
        return dict(json.loads((self.service.data_dir / "run" / "state.json").read_text()))

    def manage_as_worker(self, code: str) -> str:
        """Run Python in the role of a worker."""
        done = subprocess.run(
            [sys.executable, "manage.py", "shell", "-v", "0", "-c", code],
            cwd=PROJECT,
            env={**self.environment(), "MXAX_DATABASE_ROLE": "mxax_worker"},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        return done.stdout

    def log(self, name: str) -> str:
        return "".join(
            path.read_text(errors="replace")
            for path in sorted((self.service.data_dir / "log").glob(f"{name}*.log"))
        )

    def events(self, name: str, event: str) -> list[dict[str, Any]]:
        found = []
        for line in self.log(name).splitlines():
            if f'"{event}"' in line:
                with suppress(ValueError):
                    found.append(json.loads(line))
        return found


def is_gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state in "ZX"


def memory_octets(pids: list[int]) -> int:
    total = 0
    for pid in pids:
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    total += int(line.split()[1]) * 1024
    return total


@contextmanager
def place(
    folder: Path, *, admin_url: str = "", sink: SinkLedger | None = None, **extra: str
) -> Iterator[Place]:
    """A service of its own with one tenant and three addresses, and its sink."""
    sink = sink or SinkLedger()
    settings = {
        "MXAX_SMARTHOST": sink.address,
        "MXAX_EDGE_PROCESSES": "2",
        "MXAX_WORKER_PROCESSES": "2",
        "MXAX_CLIENT_CONNECTIONS": "2000",
        "MXAX_FORWARD_CAP_PER_DAY": "1000000",
        **extra,
    }
    try:
        with installed(folder, **settings) as service:
            service.tenant("ada", DOMAIN, *((one, destination_of(one)) for one in ADDRESSES))
            url = admin_url or embedded_admin_url(service)
            yield Place(service, sink, url)
    finally:
        sink.sink.stop()


def embedded_admin_url(service: Installation) -> str:
    """The superuser's URL of the embedded database, from its files."""
    password = (service.data_dir / "keys" / "postgres-admin").read_text().strip()
    state = json.loads((service.data_dir / "run" / "state.json").read_text())
    host, _, name = state["environment"]["DATABASE_URL"].rpartition("@")[2].partition("/")
    return f"postgresql://mxax_admin:{password}@{host}/{name}"
