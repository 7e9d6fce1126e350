"""What a data folder adds to the environment: its keys, and the service that runs in it.

So that `manage.py trace …` works beside a running `make run` with nothing set.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from mxax.data_folder import DataFolder
from mxax.keys import FILE_OF_SETTING

PROJECT = Path(__file__).resolve().parent.parent


def given_in_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """These variables without the empty ones."""
    return {name: text for name, text in environ.items() if text.strip()}


def local_environment(data_dir: Path) -> dict[str, str]:
    """Variables for the keys in the folder and for the service that runs there, if one does."""
    folder = DataFolder(data_dir)
    found = {
        f"{setting}_FILE": str(folder.keys / name)
        for setting, name in FILE_OF_SETTING.items()
        if (folder.keys / name).exists()
    }
    return {**found, **running_environment(folder)}


def running_environment(folder: DataFolder) -> dict[str, str]:
    """The variables of the running service; none when none runs or it is not ours to read.

    The lock, which dies with its holder, is asked: a pid in a file may be stale.
    """
    if not is_locked(folder.lock):
        return {}
    try:
        state = json.loads(folder.state.read_text())
    except (OSError, ValueError):
        return {}
    return dict(state["environment"])


def is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def with_local(given: Mapping[str, str], data_dir: Path, names: Iterable[str]) -> dict[str, str]:
    """The variables given, completed from the data folder; what is given wins, also as a file."""
    local = local_environment(data_dir)
    for name in names:
        if name in given or f"{name}_FILE" in given:
            local.pop(name, None)
            local.pop(f"{name}_FILE", None)
    if "DATABASE_URL" in given or "DATABASE_URL_FILE" in given:
        local.pop("MXAX_EMBEDDED", None)  # the given database may be any
    return {**local, **given}
