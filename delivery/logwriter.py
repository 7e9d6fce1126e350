"""Moves events from the outbox into the tenants' own logs.

Settling never touches a tenant's schema: it writes its events into `delivery_event`. This writer
carries them over, one transaction per tenant and batch, so that a tenant who is being migrated or
dropped waits alone. One process of the installation does it at a time (a session's advisory lock);
the others stand by.

| in | out |
|---|---|
| delivery_event of a tenant | LoggedEvent (by id: moving twice does no harm), LoggedMessage, |
| | RouteDay and RouteFailure: what is counted of each route |
| delivery_event without tenant | ServiceEvent |
| delivery_event of a tenant that is gone | deleted, with a line in the process log |

A batch moves inside PostgreSQL in one statement; no event travels to Python and back.

A tenant costs as much as fifty events each time the writer comes to him (2 ms). So after it has
asked everybody it rests nineteen times as long as that took, 1 to 3 s; of those who had more than a
batch it takes the next at once. Nobody misses what waits: a message's page and `mail trace` read
the outbox too.
"""

import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import structlog
from django.db import (
    DatabaseError,
    Error,
    InterfaceError,
    OperationalError,
    connection,
    transaction,
)
from psycopg import errors

from delivery.failing_routes import look_after
from delivery.logwriter_sql import DISCARD, MOVE_SERVICE, WAITING, move_statement
from tenants.models import Tenant

BATCH = 500
IDLE_SECONDS = 1.0
LONGEST_REST_SECONDS = 3.0
_REST_PART = 19  # asking everybody takes a twentieth of the time
STANDBY_SECONDS = 3.0
TENANT_PAUSE_SECONDS = 5.0
_LOCK = "SELECT pg_try_advisory_lock(hashtextextended('mxax.log-writer', 0))"
# Losing the last moments of a crash loses both halves of the move, so the events are still in the
# outbox: no need to wait for the disk here. lock_timeout: a tenant being migrated waits alone.
_LOCAL = "SET LOCAL lock_timeout = '1s'; SET LOCAL synchronous_commit = off; SET LOCAL jit = off"
_IN_THE_WAY = (errors.LockNotAvailable, errors.InsufficientPrivilege, errors.DeadlockDetected)
_NO_TABLES = (errors.UndefinedTable, errors.InvalidSchemaName, errors.UndefinedColumn)

log = structlog.get_logger("delivery.logwriter")


@dataclass(slots=True)
class LogWriter:
    """The state of one writer: tenants that have to wait, and until when (monotonic seconds)."""

    clock: Callable[[], float] = time.monotonic
    waiting_until: dict[int, float] = field(default_factory=dict)
    _have_more: list[int | None] = field(default_factory=list)
    _rests_until: float = float("-inf")

    def move_once(self) -> bool:
        """One batch of each tenant that has events; True when a batch was full: there is more.

        The next call takes more of those only, until it is time to ask everybody again.
        """
        if self._have_more and self.seconds_to_rest() > 0:
            self._have_more = self._move(self._have_more)
        else:
            began = self.clock()
            self._have_more = self._move(self._tenants())
            ended = self.clock()
            rest = max(IDLE_SECONDS, (ended - began) * _REST_PART)
            self._rests_until = ended + min(rest, LONGEST_REST_SECONDS)
        return bool(self._have_more)

    def seconds_to_rest(self) -> float:
        """How long nobody has to be asked what he has."""
        return max(0.0, self._rests_until - self.clock())

    def _move(self, tenants: Iterable[int | None]) -> list[int | None]:
        """One batch of each; gives those that may have more."""
        return [tenant for tenant in tenants if self._move_of(tenant) >= BATCH]

    def _tenants(self) -> list[int | None]:
        now = self.clock()
        self.waiting_until = {t: end for t, end in self.waiting_until.items() if end > now}
        with connection.cursor() as cursor:
            cursor.execute(WAITING)
            return [tenant for (tenant,) in cursor.fetchall() if tenant not in self.waiting_until]

    def _move_of(self, tenant_id: int | None) -> int:
        if tenant_id is None:
            return _run(MOVE_SERVICE, None)[0]
        try:
            taken, failed = _run(move_statement(f"t{tenant_id}"), tenant_id)
            if failed:
                look_after(tenant_id, failed)
            return taken
        except DatabaseError as error:
            if isinstance(error, OperationalError | InterfaceError) and not connection.is_usable():
                raise
            return self._set_aside(tenant_id, error)

    def _set_aside(self, tenant_id: int, error: Error) -> int:
        """What to do with a tenant whose batch would not move; the others go on."""
        cause = error.__cause__
        if isinstance(cause, _NO_TABLES) and not Tenant.objects.filter(pk=tenant_id).exists():
            count, _ = _run(DISCARD, tenant_id)
            log.warning("log.discarded", tenant_id=tenant_id, events=count, reason="tenant is gone")
            return count
        self.waiting_until[tenant_id] = self.clock() + TENANT_PAUSE_SECONDS
        expected = isinstance(cause, _IN_THE_WAY + _NO_TABLES)
        say = log.info if expected else log.error
        say("log.tenant_waits", tenant_id=tenant_id, reason=type(cause).__name__)
        return 0


def _run(statement: str, tenant_id: int | None) -> tuple[int, list[int]]:
    """How many events were taken, and the routes on which mail failed."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_LOCAL)
        cursor.execute(statement, {"tenant": tenant_id, "batch": BATCH})
        row = cursor.fetchone()
    return int(row[0]), list(row[1] or ()) if len(row) > 1 else []


def run_log_writer(stop: threading.Event) -> None:
    """Move events until `stop` is set; for a thread of its own. Its death ends the process."""
    try:
        _run_until(stop)
    except BaseException:
        log.critical("log.writer_died", exc_info=True)
        os._exit(70)  # a worker that delivers and logs nothing would look healthy
    finally:
        connection.close()


def _run_until(stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            if _is_the_one():
                _write(stop)
            else:
                connection.close()  # a stand-by holds no connection of the pool
        except (OperationalError, InterfaceError) as error:
            log.warning("log.database_away", reason=type(error.__cause__ or error).__name__)
            connection.close()
        stop.wait(STANDBY_SECONDS)


def _is_the_one() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(_LOCK)
        return bool(cursor.fetchone()[0])


def _write(stop: threading.Event) -> None:
    """Write as the one writer; the lock lives as long as this connection."""
    log.info("log.writer_active")
    writer = LogWriter()
    while not stop.is_set():
        if not writer.move_once():
            stop.wait(writer.seconds_to_rest())
