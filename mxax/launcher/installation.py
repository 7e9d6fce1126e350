"""An installation that runs: its data folder, lock, ports, and the embedded servers.

`Installation.open` takes the lock and makes the keys; `start_servers` brings up the database and
the broker where the environment names none; `close` ends everything in order.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mxax.data_folder import DataFolder
from mxax.env import INTERNAL_NAMES, Environment, ensure_secrets, read_environment
from mxax.keys import FILE_OF_SETTING
from mxax.launcher import broker, lock, postgres
from mxax.launcher.console import Console
from mxax.launcher.errors import StartError
from mxax.launcher.guarded import Guard
from mxax.launcher.ports import PortClaims
from mxax.launcher.postgres import Postgres
from mxax.launcher.supervisor import ChildSpec, Supervisor
from mxax.local_service import given_in_environment

FIRST_START_OCTETS = 500_000_000
LATER_START_OCTETS = 50_000_000
_READY_TRIALS = 600  # of 0.1 s


@dataclass(slots=True)
class Installation:
    given: dict[str, str]
    chosen: Environment
    folder: DataFolder
    console: Console
    ports: PortClaims
    supervisor: Supervisor
    lock: int
    added: dict[str, str] = field(default_factory=dict)  # variables of ours for the children
    admin_url: str = ""
    first_start: bool = False

    @classmethod
    def open(cls, environ: Mapping[str, str], console: Console) -> Installation:
        """Read the settings and take the data folder. Raises `SettingError`, `StartError`."""
        given = given_in_environment(environ)
        for name in INTERNAL_NAMES:  # they are ours to set
            given.pop(name, None)
        chosen = read_environment(given)
        folder = DataFolder(chosen.data_dir)
        _require_space(folder)
        folder.make()
        held = lock.take_lock(folder)
        supervisor = Supervisor(console=console, logs=folder.log, guard=Guard())
        self = cls(given, chosen, folder, console, PortClaims(), supervisor, held)
        self.added["MXAX_DATA_DIR"] = str(folder.path)
        return self

    def make_keys(self) -> tuple[str, ...]:
        names = frozenset(name.removesuffix("_FILE") for name in self.given)
        return ensure_secrets(self.folder.path, given=names)

    def start_guard(self) -> None:
        """Once the ports are chosen: from here on nothing of ours can be left behind."""
        self.supervisor.guard.kept = (self.lock, *self.ports.descriptors())
        self.supervisor.changed = self.write_state
        self.supervisor.catch_signals()
        self.supervisor.guard.start()

    def start_database(self, port: int, progress: Callable[[], None]) -> Postgres:
        server = postgres.prepare(self.folder, chosen=self.chosen.postgres_bin, port=port)
        self.first_start = server.made_now
        self._run_until_ready(
            postgres.child_spec(server),
            lambda meanwhile: postgres.wait_until_ready(server, meanwhile=meanwhile),
            progress,
        )
        postgres.ensure_database(server)
        self.added.update(DATABASE_URL=server.login_url, MXAX_EMBEDDED="1")
        self.admin_url = server.admin_url
        return server

    def start_broker(self, port: int, progress: Callable[[], None]) -> None:
        server = broker.prepare(self.folder, port=port)
        self._run_until_ready(
            broker.child_spec(server),
            lambda meanwhile: broker.wait_until_ready(server, meanwhile=meanwhile),
            progress,
        )
        self.added["CELERY_BROKER_URL"] = server.url

    def _run_until_ready(
        self,
        spec: ChildSpec,
        wait: Callable[[Callable[[], None]], None],
        progress: Callable[[], None],
    ) -> None:
        """Start a server; when it dies before it was ever ready, say why instead of trying on."""
        supervisor, trials = self.supervisor, 0
        log = self.folder.log / f"{spec.name}.log"
        begin = log.stat().st_size if log.exists() else 0
        supervisor.add(spec)

        def meanwhile() -> None:
            nonlocal trials
            trials += 1
            progress()
            supervisor.tick(0.1)
            if supervisor.died_early(spec.name) or trials > _READY_TRIALS:
                raise StartError(f"{spec.name} does not start: {_last_words(log, begin)} ({log})")

        wait(meanwhile)

    def child_environment(self) -> dict[str, str]:
        """For our own processes: what was given and what we chose, never the superuser's URL."""
        admin = ("MXAX_DATABASE_ADMIN_URL", "MXAX_DATABASE_ADMIN_URL_FILE")
        kept = {name: text for name, text in self.given.items() if name not in admin}
        return {**kept, "PYTHONUNBUFFERED": "1", **self.added}

    def write_state(self, *, ready: bool = False) -> None:
        secrets = {name + end for name in FILE_OF_SETTING for end in ("", "_FILE")}
        ours = ("DATABASE_URL", "CELERY_BROKER_URL")
        environment = {
            name: text
            for name, text in self.child_environment().items()
            if (name.startswith("MXAX_") or name in ours) and name not in secrets
        }
        lock.write_state(
            self.folder, environment=environment, pids=self.supervisor.pids(), ready=ready
        )

    def close(self) -> None:
        """End the children in order and give the folder and the ports free."""
        self.supervisor.stop()
        self.folder.state.unlink(missing_ok=True)
        self.ports.close()
        os.close(self.lock)


def _require_space(folder: DataFolder) -> None:
    needed = LATER_START_OCTETS if folder.has_database() else FIRST_START_OCTETS
    place = next(path for path in (folder.path, *folder.path.parents) if path.exists())
    free = shutil.disk_usage(place).free
    if free < needed:
        raise StartError(
            f"only {free // 1_000_000} MB are free at {place}, {needed // 1_000_000} MB are "
            "needed: free some space, or set MXAX_DATA_DIR to a folder on another disk"
        )


def _last_words(log: Path, begin: int) -> str:
    """The line of this start's log that most likely tells why."""
    with open(log, "rb") as file:
        file.seek(begin)
        lines = file.read(100_000).decode(errors="replace").splitlines()
    telling = [line for line in lines if "FATAL" in line or "PANIC" in line] or lines
    return telling[-1].strip() if telling else "it printed no reason"
