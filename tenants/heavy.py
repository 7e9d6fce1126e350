"""Work that takes a page long: one at a time for a tenant, and few at once in all.

A web process has four threads. Exports, imports and the check of a whole audit may take each of
them for a minute, so that two or three of them would leave nobody else a page. They hold locks of
the database while they run: of the tenant, and one of `AT_ONCE` places that all processes share.
Nobody waits for a lock: who gets none is told so. Who has one and lets his download lie loses it:
the database ends a session that asks nothing for `IDLE_SECONDS`, and the locks end with it.
"""

from contextlib import suppress
from typing import Final

from django.db import InterfaceError, OperationalError, connection

from tenants.errors import TooBusy

AT_ONCE: Final = 2
RETRY_SECONDS: Final = 30
IDLE_SECONDS: Final = 120
_TIMEOUTS: Final = ("idle_session_timeout", "idle_in_transaction_session_timeout")


class HeavyWork:
    """The right to heavy work, until `end`. The database takes it back with the session.

    Nothing is done where it is merely forgotten: a finaliser may run in the middle of any other
    statement of this thread.
    """

    def __init__(self, *locks: str) -> None:
        self._locks = locks

    def end(self) -> None:
        """Let the next one begin; harmless the second time."""
        locks, self._locks = self._locks, ()
        if not locks:
            return
        with suppress(OperationalError, InterfaceError):  # a lost session has lost its locks
            _say("; ".join(f"RESET {name}" for name in _TIMEOUTS))
            for lock in locks:
                _let_go(lock)

    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None:
        self.end()


def begin_heavy_work(tenant_id: int) -> HeavyWork:
    """Take a place, without waiting for one. Raises `TooBusy`."""
    own = f"tenant {tenant_id}"
    if not _try(own):
        raise TooBusy(
            "Another export, import or check of this tenant is running: wait until it is done."
        )
    place = next((name for name in _places() if _try(name)), None)
    if place is None:
        _let_go(own)
        raise TooBusy("Others are exporting or importing just now: try again in a minute.")
    _say("; ".join(f"SET {name} = '{IDLE_SECONDS}s'" for name in _TIMEOUTS))
    return HeavyWork(place, own)


def lock_name(name: str) -> str:
    """What is hashed to the key of a lock."""
    return f"mxax.heavy.{name}"


def _places() -> list[str]:
    return [f"place {number}" for number in range(AT_ONCE)]


def _try(name: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [lock_name(name)])
        return bool(cursor.fetchone()[0])


def _let_go(name: str) -> None:
    _say("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", lock_name(name))


def _say(statements: str, *values: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statements, values or None)
