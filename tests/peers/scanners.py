"""Debian's rspamd, spamd and clamd as their packages configure them, on free ports of the loopback.

Changed are only places: ports, folders, where the log goes, and for rspamd the resolver, which knows
no names, so that nobody outside is asked. clamd gets two signatures of our own for the EICAR test
file; nothing is fetched.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from mxax.setting_values import HostPort
from tests.delivery.dns_zone import Zone, serve
from tests.ports import free_port

EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
GTUBE = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"


@dataclass(frozen=True)
class Scanner:
    address: HostPort
    log: Path

    def said(self, text: str, seconds: float = 5.0) -> bool:
        """Whether its log has this by and by."""
        until = time.monotonic() + seconds
        while text not in self.log.read_text(errors="replace"):
            if time.monotonic() > until:
                return False
            time.sleep(0.05)
        return True


def _program(name: str, package: str) -> str:
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if found is None:
        pytest.skip(f"{name} is not installed (Debian: apt install {package})")
    return found


@contextlib.contextmanager
def _running(command: Sequence[str], folder: Path, port: int, **more: str) -> Iterator[Scanner]:
    """The server in a process group of its own, from when it takes connections."""
    log = folder / "server.log"
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=folder,
            env={**os.environ, **more}, start_new_session=True,
        )  # fmt: skip
    try:
        _wait(process, port, log)
        yield Scanner(HostPort("127.0.0.1", port), log)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait(10)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise AssertionError(f"it does not listen: {log.read_text(errors='replace')[-1500:]}")


@contextlib.contextmanager
def rspamd(folder: Path) -> Iterator[Scanner]:
    program = _program("rspamd", "rspamd")
    port, local = free_port(), folder / "etc" / "local.d"
    local.mkdir(parents=True)
    zone = Zone({})
    with serve(zone):
        host, dns_port = zone.address
        options = f'tempdir = "{folder}"; dns {{ nameserver = ["{host}:{dns_port}"]; }}\n'
        (local / "options.inc").write_text(options)
        (local / "logging.inc").write_text('type = "console"; level = "info";\n')
        (local / "worker-normal.inc").write_text(f'bind_socket = "127.0.0.1:{port}";\n')
        for other in ("controller", "proxy"):
            (local / f"worker-{other}.inc").write_text("enabled = false;\n")
        places = {
            "DBDIR": folder,
            "RUNDIR": folder,
            "LOGDIR": folder,
            "LOCAL_CONFDIR": local.parent,
        }
        command = [program, "--no-fork", *(["--insecure"] if os.geteuid() == 0 else [])]
        command += [f"--var={name}={place}" for name, place in places.items()]
        with _running([*command, "-c", "/etc/rspamd/rspamd.conf"], folder, port) as server:
            yield server


@contextlib.contextmanager
def spamd(folder: Path) -> Iterator[Scanner]:
    """With Debian's options; -L: tests that would ask the network are left out."""
    program = _program("spamd", "spamd")
    port = free_port()
    command = [program, "-L", "--nouser-config", "--max-children=5", f"--listen=127.0.0.1:{port}"]
    command += [f"--pidfile={folder}/pid", "--syslog=stderr"]
    if os.geteuid() == 0:
        command.append("--username=debian-spamd")
    with _running(command, folder, port, HOME=str(folder)) as server:
        yield server


@contextlib.contextmanager
def clamd(folder: Path, *more: str) -> Iterator[Scanner]:
    """With Debian's configuration, apart from `more` lines."""
    program, stock = _program("clamd", "clamav-daemon"), Path("/etc/clamav/clamd.conf")
    if not stock.is_file():
        pytest.skip("clamd has no /etc/clamav/clamd.conf (Debian: dpkg-reconfigure clamav-daemon)")
    signatures = folder / "signatures"
    signatures.mkdir()
    digest = hashlib.md5(EICAR).hexdigest()
    (signatures / "test.hdb").write_text(f"{digest}:{len(EICAR)}:Eicar-Test-Signature\n")
    port = free_port()
    ours = [
        "Foreground yes", f"DatabaseDirectory {signatures}", "TCPAddr 127.0.0.1",
        f"TCPSocket {port}", f"TemporaryDirectory {folder}", *more,
    ]  # fmt: skip
    names = {line.split()[0] for line in ours} | {"LogFile", "PidFile", "User", "FixStaleSocket"}
    kept = [
        line
        for line in stock.read_text().splitlines()
        if line.split(" ")[0] not in names and not re.match("LocalSocket|#|$", line)
    ]
    (folder / "clamd.conf").write_text("\n".join([*kept, *ours]) + "\n")
    with _running([program, "-c", str(folder / "clamd.conf")], folder, port) as server:
        yield server
