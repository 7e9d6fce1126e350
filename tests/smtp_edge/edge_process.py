"""`python -m smtp_edge` as a real process on the test's database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from tests.ports import free_port
from tests.smtp_edge.listening import Client

PROJECT = Path(__file__).parent.parent.parent


class EdgeProcess:
    def __init__(
        self, command: list[str], environ: dict[str, str], log: Path, port: int | None = None
    ) -> None:
        self.port = port or free_port()
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                cwd=PROJECT,
                env={**environ, "MXAX_MX_LISTEN": f"127.0.0.1:{self.port}"},
                stdout=output,
                stderr=output,
            )

    def wait_until_ready(self) -> None:
        for _ in range(1200):
            assert self.process.poll() is None, self.log.read_text()
            if "edge.listening" in self.log.read_text():
                return
            time.sleep(0.05)
        raise AssertionError(self.log.read_text())

    def connect(self) -> Client:
        client = Client(self.port)
        client.socket.settimeout(60)
        client.reply()
        client.say("EHLO client.example")
        return client

    def memory_octets(self) -> int:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no memory")

    def end(self) -> int:
        """Ask it to go; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def database_name() -> str:
    from django.db import connection

    return connection.settings_dict["NAME"]


def database_url(given: str | None = None) -> str:
    """The URL of the test's own database."""
    url = given or os.environ["DATABASE_URL"]
    return f"{url.rpartition('/')[0]}/{database_name()}"


@contextmanager
def edge(
    tmp_path: Path,
    *,
    url: str | None = None,
    command: tuple[str, ...] = ("-m", "smtp_edge"),
    port: int | None = None,
    **settings: str,
):
    """A running edge; killed at the end if it is still there."""
    from tenants.vault import prove_data_key

    prove_data_key(create=True)  # a test before may have emptied every table
    log = tmp_path / f"edge-{time.monotonic_ns()}.log"
    environ = {
        **os.environ,
        "DATABASE_URL": url or database_url(),
        "CELERY_BROKER_URL": os.environ.get("CELERY_BROKER_URL", "redis://127.0.0.1:1/0"),
        "MXAX_CLIENT_CONNECTIONS": "1000",
        "MXAX_OPERATOR_EMAIL": "operator@elsewhere.example",
        "MXAX_VERIFY": "off",  # who tests it brings his own DNS
        **settings,
    }
    running = EdgeProcess([sys.executable, *command], environ, log, port)
    try:
        running.wait_until_ready()
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()
