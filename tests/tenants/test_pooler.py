"""Behind Debian's PgBouncer: session mode keeps everybody apart, transaction mode is refused."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.installation import PROJECT
from tests.ports import free_port

PGBOUNCER = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
CELERY = ("celery", "-A", "mxax", "worker", "-c", "1")
PROCESSES = {
    "edge": ("mxax_edge", "-m", "smtp_edge"),
    "worker": ("mxax_worker", "-m", *CELERY),
    "web": ("mxax_web", "-m", "gunicorn", "mxax.wsgi", "-c", "mxax/gunicorn.py"),
    "metrics": ("mxax_worker", "-m", "mxax.metrics"),
    "prepare": ("mxax_owner", "manage.py", "prepare"),
    "doctor": ("mxax_owner", "manage.py", "doctor"),
}
STATE = (
    "SELECT current_user::text, current_setting('search_path'),"
    " coalesce(current_setting('mxax.tenant_id', true), ''), pg_backend_pid()"
)
SESSION = f"""
import django; django.setup()
from django.db import connection
def say():
    with connection.cursor() as cursor:
        cursor.execute({STATE!r})
        print(*cursor.fetchone())
say()
connection.set_schema("t7")
say()
connection.act_as(role="mxax_support", staff_id=1)
say()
connection.act_as_itself()
say()
connection.set_schema("t8")
say()
"""
CONFIGURATION = """
[databases]
* = host={host} port={server_port} user={user} password={password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = 3
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.needs_debian,
    pytest.mark.skipif(not Path(PGBOUNCER).exists(), reason="Debian's pgbouncer is not installed"),
]


@contextmanager
def pgbouncer(mode: str):
    """A PgBouncer before the test run's server; gives the environment of those behind it."""
    from django.db import connection

    server = urlsplit(os.environ["DATABASE_URL"])
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        file = Path(folder, "pgbouncer.ini")
        words = {"host": server.hostname, "server_port": server.port, "user": server.username}
        words |= {"password": server.password or "", "port": port, "mode": mode}
        file.write_text(CONFIGURATION.format(**words))
        user = ("-u", "nobody") if os.getuid() == 0 else ()
        with Path(folder, "log").open("wb") as log:
            running = subprocess.Popen([PGBOUNCER, *user, str(file)], stdout=log, stderr=log)
        try:
            wait_for_port(port, running, Path(folder, "log"))
            name = connection.settings_dict["NAME"]
            url = f"postgresql://{server.username}@127.0.0.1:{port}/{name}"
            yield {**os.environ, "DATABASE_URL": url, "MXAX_DATABASE_ADMIN_URL": ""}
        finally:
            running.terminate()
            running.wait(10)


def wait_for_port(port: int, running: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert running.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)


def run(environment: dict[str, str], role: str, *words: str) -> subprocess.CompletedProcess[str]:
    listen = {f"MXAX_{n}_LISTEN": f"127.0.0.1:{free_port()}" for n in ("WEB", "MX", "METRICS")}
    return subprocess.run(
        [sys.executable, *words],
        env={**environment, **listen, "MXAX_DATABASE_ROLE": role},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_session_mode_hands_a_session_on_clean(transactional_db):
    with pgbouncer("session") as behind:
        told = [
            run(behind, role, "-c", SESSION)
            for role in ("mxax_web", "mxax_worker", "mxax_web", "mxax_edge")
        ]

    assert [one.stderr for one in told] == [""] * 4
    sessions = set()
    for one, role in zip(told, ("mxax_web", "mxax_worker", "mxax_web", "mxax_edge"), strict=True):
        lines = [line.rpartition(" ") for line in one.stdout.splitlines()]
        sessions |= {pid for _, _, pid in lines}
        assert [state for state, _, _ in lines] == [
            f"{role} public ",
            f"{role} t7, public 7",
            "mxax_support t7, public 7",
            f"{role} public ",
            f"{role} t8, public 8",
        ]
    assert len(sessions) < 4  # they did inherit one another's


@pytest.mark.parametrize(
    ("mode", "process"), [*(("transaction", name) for name in PROCESSES), ("statement", "prepare")]
)
def test_shared_sessions_are_refused_in_one_line(transactional_db, process, mode):
    role, *words = PROCESSES[process]

    with pgbouncer(mode) as behind:
        ended = run(behind, role, *words)

    said = ended.stdout + ended.stderr
    assert ended.returncode != 0
    assert said.count("pooler in transaction mode") == 1, said
    assert "Traceback" not in said
