"""One running service per data folder.

The lock is an flock: it dies with its holders. The guard holds it too, so that after a kill -9 of
the launcher nobody starts anew before the old processes are gone.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable

from mxax.data_folder import DataFolder
from mxax.launcher.errors import StartError

_PATIENCE = 15.0  # seconds; the guard needs less than ten to end what a killed launcher left
_BRIEF = 0.5  # a command that asks whether the service runs holds the lock for an instant


def take_lock(folder: DataFolder, *, waiting: Callable[[], None] = lambda: None) -> int:
    """The descriptor that holds the lock. Raises `StartError` when a service runs here."""
    descriptor = os.open(folder.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    started = time.monotonic()
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = _running_launcher(folder)
            waited = time.monotonic() - started
            if waited > (_BRIEF if owner else _PATIENCE):
                os.close(descriptor)
                raise StartError(_already(folder, owner)) from None
            waiting()
            time.sleep(0.1)
        else:
            os.truncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
            return descriptor


def _running_launcher(folder: DataFolder) -> int | None:
    """The pid that took the lock, if it still runs: else only its guard does, and not for long."""
    try:
        pid = int(folder.lock.read_text())
        os.kill(pid, 0)
    except PermissionError:
        return pid
    except (OSError, ValueError):
        return None
    return pid


def _already(folder: DataFolder, owner: int | None) -> str:
    who = f" (process {owner})" if owner else ""
    return (
        f"a service already runs with the data folder {folder.path}{who}: "
        "end it first, or set MXAX_DATA_DIR to another folder"
    )


def write_state(
    folder: DataFolder, *, environment: dict[str, str], pids: dict[str, int], ready: bool
) -> None:
    """Tell commands on this machine where the service is; 0600, it holds passwords."""
    draft = folder.state.with_suffix(".new")
    state = {"pid": os.getpid(), "ready": ready, "environment": environment, "pids": pids}
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(state, file, indent=1)
    os.replace(draft, folder.state)
