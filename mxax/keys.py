"""The secrets that live in the data folder: made once, never replaced.

A data key that is missing beside an existing database is never made anew: everything stored under
the old one would be lost without a word.
"""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from mxax.data_folder import DataFolder
from mxax.setting_values import SettingError

DATA_KEY = "data.key"
SRS_SECRETS = "srs.secrets"
SECRET_KEY = "secret.key"  # noqa: S105 - the name of its file

# The setting that replaces each file.
FILE_OF_SETTING = {
    "MXAX_DATA_KEY": DATA_KEY,
    "MXAX_SRS_SECRETS": SRS_SECRETS,
    "MXAX_SECRET_KEY": SECRET_KEY,
}


def _new_data_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode("ascii")


def _new_password() -> str:
    return secrets.token_hex(32)


_MAKERS: dict[str, Callable[[], str]] = {
    DATA_KEY: _new_data_key,
    SRS_SECRETS: _new_password,
    SECRET_KEY: _new_password,
}


def ensure_secrets(data_dir: Path, *, given: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """Make the secrets that are missing; gives the names of the files made now.

    `given`: settings (MXAX_DATA_KEY …) that come from the environment and need no file.
    Raises `SettingError` when the database exists and its data key does not.
    """
    folder = DataFolder(data_dir)
    wanted = [name for setting, name in FILE_OF_SETTING.items() if setting not in given]
    missing = [name for name in wanted if not (folder.keys / name).exists()]
    if DATA_KEY in missing and folder.has_database():
        raise SettingError(
            f"{folder.keys / DATA_KEY} is missing, but there is a database that needs it: restore "
            "the file from your backup, or set MXAX_DATA_KEY (a new key could not read stored mail)"
        )
    if missing:
        folder.make()
    for name in missing:
        create_secret(folder.keys / name, _MAKERS[name]())
    return tuple(missing)


def ensure_password(path: Path) -> str:
    """The password in the file, which is made when missing."""
    if not path.exists():
        create_secret(path, _new_password())
    return path.read_text().strip()


def create_secret(path: Path, text: str) -> None:
    """Write a new file of mode 0600 that appears whole or not at all; an existing one stays."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # another process was first: its secret counts
            os.link(draft, path)
    finally:
        draft.unlink()
    _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
