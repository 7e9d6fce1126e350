"""Database and broker alone, for tests and development.

`python -m mxax.launcher services` prints one line of JSON with their URLs and stays until its
standard input ends or a signal comes; `with services(folder) as variables:` is the same for tests.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from mxax.launcher import postgres
from mxax.launcher.console import Console
from mxax.launcher.errors import StartError, StopAsked
from mxax.launcher.installation import Installation
from mxax.local_service import PROJECT


def run_services(environ: Mapping[str, str], *, temporary: bool) -> None:
    """Run both until asked to end; `temporary` deletes the cluster then."""
    installation = Installation.open(environ, Console(sys.stderr))
    supervisor = installation.supervisor
    supervisor.lifeline = sys.stdin.fileno()
    try:
        installation.make_keys()
        database, broker = (installation.ports.free_port().port for _ in range(2))
        installation.start_guard()
        installation.start_database(database, _no_progress)
        installation.start_broker(broker, _no_progress)
        installation.write_state(ready=True)
        print(json.dumps(_urls(installation)), flush=True)
        while True:
            supervisor.tick(5.0)
    except StopAsked:
        pass
    finally:
        installation.close()
        if temporary:
            postgres.remove_cluster(installation.folder)


def _urls(installation: Installation) -> dict[str, str]:
    return {
        "DATABASE_URL": installation.added["DATABASE_URL"],
        "CELERY_BROKER_URL": installation.added["CELERY_BROKER_URL"],
        "MXAX_DATABASE_ADMIN_URL": installation.admin_url,
    }


def _no_progress() -> None:
    pass


@contextmanager
def services(
    data_dir: Path, *, postgres_bin: Path | None = None, temporary: bool = True
) -> Iterator[dict[str, str]]:
    """Database and broker in this folder, in processes of their own that end with ours.

    Gives the variables for the environment: DATABASE_URL, CELERY_BROKER_URL and
    MXAX_DATABASE_ADMIN_URL, the superuser's, for `manage.py prepare` and test databases.

    Raises `StartError` with the reason when they do not start.
    """
    command = [sys.executable, "-m", "mxax.launcher", "services"]
    if temporary:
        command.append("--temporary")
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        command,
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        text=True,
        cwd=PROJECT,
        env=_own_environment(data_dir, postgres_bin),
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        if not line:
            raise StartError(process.stderr.read().strip() or "the services did not start")
        yield json.loads(line)
    finally:
        _end(process)


def _own_environment(data_dir: Path, postgres_bin: Path | None) -> dict[str, str]:
    foreign = ("DATABASE_URL", "CELERY_BROKER_URL")
    kept = {
        name: text
        for name, text in os.environ.items()
        if not name.startswith((*foreign, "MXAX_")) or name == "MXAX_POSTGRES_BIN"
    }
    kept["MXAX_DATA_DIR"] = str(data_dir.absolute())
    if postgres_bin:
        kept["MXAX_POSTGRES_BIN"] = str(postgres_bin)
    return kept


def _end(process: subprocess.Popen[str]) -> None:
    for pipe in (process.stdin, process.stdout, process.stderr):
        with suppress(BrokenPipeError):
            if pipe:
                pipe.close()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()  # its guard ends the rest
        process.wait()
