"""Refuses a pooler that gives one server session to several clients.

Search path, role and `mxax.tenant_id` belong to the session. PgBouncer's transaction mode would
hand them to whoever comes next: another tenant's request. Its session mode is fine.
"""

from typing import Any

import psycopg

from mxax.env import SettingError

ROUNDS = 3
MESSAGE = (
    "DATABASE_URL leads to a pooler in transaction mode, where tenants would see each other's "
    "rows: use session mode (PgBouncer: pool_mode = session) or connect directly"
)


class SharedSession(SettingError):
    """Clients of this database share server sessions."""


def refuse_shared_sessions(first: "psycopg.Connection[Any]", parameters: dict[str, Any]) -> None:
    """Raise SharedSession where `first` is not alone in its session; psycopg.Error as it comes.

    `parameters` open another connection to the same place. A direct connection costs one question:
    a pooler cannot name the server process when the connection starts, as it has none yet.
    """
    if _server_process(first) == first.info.backend_pid:
        return
    try:
        with psycopg.connect(**{**parameters, "autocommit": True}) as second:
            for _ in range(ROUNDS):
                _compare(first, second)
    except psycopg.errors.ProtocolViolation:
        raise SharedSession(MESSAGE) from None  # statement mode has no transactions


def _compare(first: "psycopg.Connection[Any]", second: "psycopg.Connection[Any]") -> None:
    """While `second` keeps a session busy, `first` must still have the one it had."""
    before = _server_process(first)
    with second.transaction():
        if _server_process(second) == before or _server_process(first) != before:
            raise SharedSession(MESSAGE)


def _server_process(connection: "psycopg.Connection[Any]") -> int:
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    assert row is not None
    return int(row[0])
