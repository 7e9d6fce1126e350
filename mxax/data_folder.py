"""The data folder: what lies where in it, and who may read it.

| in it | what |
|---|---|
| postgres/ or postgres.path | the embedded cluster, or a file that says where it is |
| broker/ | the embedded broker's configuration |
| mail/ | Maildir of the catcher |
| keys/ (0700) | data.key, srs.secrets, secret.key, passwords of the embedded servers |
| run/ | state.json (addresses and pids of the running service), lock |
| log/ | one log file per process |
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DataFolder:
    path: Path

    @property
    def keys(self) -> Path:
        return self.path / "keys"

    @property
    def mail(self) -> Path:
        return self.path / "mail"

    @property
    def broker(self) -> Path:
        return self.path / "broker"

    @property
    def run(self) -> Path:
        return self.path / "run"

    @property
    def log(self) -> Path:
        return self.path / "log"

    @property
    def state(self) -> Path:
        return self.run / "state.json"

    @property
    def lock(self) -> Path:
        return self.run / "lock"

    @property
    def cluster_pointer(self) -> Path:
        return self.path / "postgres.path"

    @property
    def cluster(self) -> Path:
        """Where the embedded cluster is, or would be made."""
        try:
            return Path(self.cluster_pointer.read_text().strip())
        except FileNotFoundError:
            return self.path / "postgres"

    def has_database(self) -> bool:
        return (self.cluster / "PG_VERSION").exists()

    def make(self) -> None:
        """Create the folders; what is private is 0700 also when the folder is reachable."""
        self.path.mkdir(parents=True, exist_ok=True)
        for private in (self.keys, self.mail, self.broker, self.run, self.log):
            private.mkdir(mode=0o700, exist_ok=True)
            os.chmod(private, 0o700)


def cure_of(wrong: OSError) -> str:
    """One line for a data folder that cannot be used: what is wrong, and what to do."""
    where = f"{wrong.filename}: " if wrong.filename else ""
    if wrong.errno == errno.ENOSPC:
        return f"{where}the disk is full: free some space, or set MXAX_DATA_DIR to another disk"
    if wrong.errno in (errno.EACCES, errno.EPERM):
        return (
            f"{where}no permission: run as the user who owns it, "
            "or set MXAX_DATA_DIR to a folder of yours"
        )
    if wrong.errno in (errno.ENOTDIR, errno.EEXIST, errno.ENOENT, errno.EROFS):
        why = "the disk is read-only" if wrong.errno == errno.EROFS else "no folder can be there"
        return f"{where}{why}: set MXAX_DATA_DIR to a folder that can be written"
    return f"{where}{wrong.strerror or wrong}"
