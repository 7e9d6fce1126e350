"""Mail servers of Debian for tests: found on the system, or fetched and unpacked beside it.

Packages of mail servers exclude each other, so all but one are never installed: `apt-get download`
and `dpkg -x` put them into a folder. They run in a mount namespace of their own, where the users
and folders that they insist on exist; nothing of the system is changed.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

LIBRARIES = Path("usr/lib") / f"{os.uname().machine}-linux-gnu"


def need_root(*programs: str) -> None:
    """Skip with the reason where the test cannot run."""
    if os.geteuid() != 0:
        pytest.skip("needs root: mail servers change their user")
    for program in programs:
        if shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
            pytest.skip(f"needs Debian's {program}")


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """A folder of its own that servers which drop their privileges can reach; pytest's are closed."""
    folder = Path(tempfile.mkdtemp(prefix="mxax-peer-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def unpacked(folder: Path, *packages: str) -> Path:
    """A folder with the files of these packages; skips when they cannot be fetched."""
    need_root("apt-get", "dpkg", "unshare")
    root, fetched = folder / "root", folder / "fetched"
    fetched.mkdir(parents=True, exist_ok=True)
    got = subprocess.run(
        ["apt-get", "-o", "APT::Sandbox::User=root", "download", "-qq", *packages],
        cwd=fetched, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    if got.returncode:
        pytest.skip(f"cannot fetch {' '.join(packages)}: {got.stderr.strip()[-200:]}")
    for package in fetched.glob("*.deb"):
        subprocess.run(["dpkg", "-x", package, root], check=True, timeout=60)
    return root


def in_a_world_of_its_own(
    command: Sequence[str], folder: Path, *, root: Path, users: Sequence[str], prepare: str = ""
) -> list[str]:
    """The command with these users and with empty /run, /var/lib and /var/spool.

    `prepare` is shell text that runs before it, in that world.
    """
    for name in ("passwd", "group"):
        lines = [Path("/etc", name).read_text().rstrip()]
        for number, user in enumerate(users, 64001):
            rest = f"{number}::/nonexistent:/usr/sbin/nologin" if name == "passwd" else ""
            lines.append(f"{user}:x:{number}:{rest}")
        (folder / name).write_text("\n".join(lines) + "\n")
    script = f"""
    set -e
    mount --make-rprivate /
    mount --bind {folder}/passwd /etc/passwd
    mount --bind {folder}/group /etc/group
    for place in /run /var/lib /var/spool; do mount -t tmpfs tmpfs $place; done
    {prepare}
    ldconfig -X -C {folder}/ld.so.cache {root / LIBRARIES}
    mount --bind {folder}/ld.so.cache /etc/ld.so.cache
    exec {shlex.join(command)}
    """
    return ["unshare", "--mount", "sh", "-c", script]


@contextlib.contextmanager
def running(command: Sequence[str], folder: Path, address: str, port: int) -> Iterator[None]:
    """The server in its own process group while it greets on this address; skips where it may not."""
    log = folder / "server.log"
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 20
        while not greets(address, port):
            if process.poll() is not None or time.monotonic() > deadline:
                said = log.read_text(errors="replace")[-600:]
                if "unshare failed" in said or "permission denied" in said.lower():
                    pytest.skip(f"no namespaces here: {said.strip()}")
                raise AssertionError(f"{command[-1][-80:]} does not greet: {said}")
            time.sleep(0.1)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait(10)


def greets(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), 2) as client:
            return client.recv(512).startswith(b"220")
    except OSError:
        return False


def files_below(folder: Path) -> list[bytes]:
    """The messages that were delivered below a folder, mailbox or Maildir."""
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
