"""A8: the disk fills up, or fails: mail is put off, and nothing that was answered 250 is missing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.reliability.places import ADDRESSES, Place, place
from tests.reliability.servers import OwnPostgres

pytestmark = [pytest.mark.reliability, pytest.mark.slow, pytest.mark.timeout(1200)]

TMPFS = 640 * 1024 * 1024  # the launcher itself wants 500 MB at its first start


@pytest.fixture
def small_disk() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="mxax-disk-"))
    folder.chmod(0o755)
    options = f"size={TMPFS},mode=0755"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "mxax-test", str(folder)], capture_output=True
    )
    if done.returncode:
        folder.rmdir()
        pytest.skip(f"cannot mount a tmpfs: {done.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False)
    folder.rmdir()


@contextmanager
def filled(folder: Path, leave: int) -> Iterator[None]:
    """All but `leave` octets of the disk are taken."""
    ballast = folder / "ballast"
    free = shutil.disk_usage(folder).free
    with open(ballast, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, free - leave))
    try:
        yield
    finally:
        ballast.unlink()


def test_mail_is_put_off_at_mail_from_while_the_disk_is_nearly_full(small_disk, record):
    with place(small_disk / "service", MXAX_FREE_SPACE_FLOOR=str(60_000_000)) as ada:
        client = ada.client("full")
        assert client.send(ADDRESSES[0]).accepted
        with filled(small_disk, 50_000_000):
            time.sleep(2.5)
            for _ in range(20):
                client.send(*ADDRESSES)
            ada.settle(30)
        time.sleep(2.5)
        assert client.send(ADDRESSES[0]).accepted
        ada.settle(30)

        found = ada.balance(client)
        record(ledgers=found, replies=dict(client.replies()))
        assert dict(client.replies()) == {"250 2.0.0": 2, "452 4.3.1": 20}
        assert found.lost == found.ghosts == ()
        assert len(ada.events("edge", "edge.disk_low")) >= 1


def test_a_database_that_finds_its_disk_full_loses_nothing_it_answered_250(
    small_disk, tmp_path, monkeypatch, record
):
    """An edge that cannot see the disk takes mail until the database refuses (53100)."""
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    database = OwnPostgres()
    monkeypatch.setattr(tempfile, "tempdir", None)
    urls = {"DATABASE_URL": database.url, "MXAX_DATABASE_ADMIN_URL": database.admin_url}
    try:
        with place(tmp_path, admin_url=database.admin_url, **urls) as ada:
            client = ada.client("53100")
            with ada.frozen("worker"), filled(small_disk, 8_000_000):
                until = time.monotonic() + 60
                while not refused(client) and time.monotonic() < until:
                    client.send(ADDRESSES[0], size=200_000)
            ada.service.wait_for(lambda: revived(ada, database), 60, "mail to be taken again")
            ada.settle(90)

            found = ada.balance(client)
            record(ledgers=found, replies=dict(client.replies()))
            assert refused(client)
            assert set(client.replies()) <= {"250 2.0.0", "451 4.3.0", "452 4.3.1"}
            assert found.lost == found.ghosts == ()
    finally:
        database.remove()


def refused(client) -> int:
    return sum(one.reply.startswith("4") for one in client.sent)


def revived(ada: Place, database: OwnPostgres) -> bool:
    """Start the database again if the full disk ended it, and try."""
    assert database.process is not None
    if database.process.poll() is not None:
        database.start()
    return ada.client(f"probe{time.monotonic_ns()}").send(ADDRESSES[0]).accepted


@pytest.mark.needs_debian
def test_a_disk_that_fails_at_fsync_is_answered_451(outside, record):
    """strace makes each fdatasync of the server fail with EIO: PostgreSQL panics, as it must."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    ada, client = outside.place, outside.place.client("eio")
    assert client.send(ADDRESSES[0]).accepted
    ada.settle(30)
    pids = [word for pid in outside.database.pids() for word in ("-p", str(pid))]
    tracer = subprocess.Popen(
        ["strace", "-f", "-q", "-e", "inject=fdatasync:error=EIO", "-o", "/dev/null", *pids],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(1)
    if tracer.poll() is not None:
        pytest.skip("strace may not attach to processes here")
    try:
        for _ in range(10):
            client.send(ADDRESSES[0])
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(20)
    ada.service.wait_for(lambda: revived(ada, outside.database), 60, "mail to be taken again")
    ada.settle(90)

    found = ada.balance(client)
    panics = (outside.database.folder.log / "server.log").read_text().count("PANIC")
    record(ledgers=found, replies=dict(client.replies()), panics=panics)
    assert panics
    assert client.replies()["451 4.3.0"] > 0
    assert set(client.replies()) <= {"250 2.0.0", "451 4.3.0"}
    assert found.lost == ()
    assert found.ghosts == ()
