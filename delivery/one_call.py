"""A transaction whose statements are one blocking call of libpq each; for the edge's committer.

psycopg sends, waits and reads in steps, and at each gives up the interpreter's lock. Beside an
event loop that always wants it, every step is a wait for that lock: twenty a batch, three here.
Cutting the connection's socket ends such a call as it ends any other.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from weakref import WeakKeyDictionary

import psycopg
from django.db import connection
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from delivery.columns import Column
from delivery.sql import BY_INDEX

_FINE = (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK)
_BEGIN = f"BEGIN; {BY_INDEX}".encode()
_prepared: "WeakKeyDictionary[object, dict[str, bytes]]" = WeakKeyDictionary()


@contextmanager
def transaction() -> Iterator[None]:
    """BEGIN and COMMIT on Django's connection of this thread; ROLLBACK where something is raised.

    Errors are Django's. Only `run` and what `run` needs may be called inside.
    """
    with connection.wrap_database_errors:
        with connection.cursor():  # connects, and sets the search path and the tenant's id
            pgconn = connection.connection.pgconn
        _checked(pgconn, pgconn.exec_(_BEGIN))
        try:
            yield
        except BaseException:
            pgconn.exec_(b"ROLLBACK")
            raise
        ended = _checked(pgconn, pgconn.exec_(b"COMMIT"))
        if ended.command_status != b"COMMIT":
            raise psycopg.InternalError("the transaction was not committed")


def run(statement: str, columns: Sequence[Column]) -> PGresult:
    """A statement with a `%b` for each column, inside `transaction`; its result is in binary."""
    pgconn = connection.connection.pgconn
    name = _name_of(statement)
    return _checked(pgconn, pgconn.exec_prepared(name, columns, [1] * len(columns), 1))


def _name_of(statement: str) -> bytes:
    """What the statement is prepared as on this thread's connection."""
    names = _prepared.setdefault(connection.connection, {})
    name = names.get(statement)
    if name is None:
        name = f"mxax_{len(names)}".encode()
        numbers = count(1)
        numbered = re.sub("%b", lambda _: f"${next(numbers)}", statement)
        pgconn = connection.connection.pgconn
        _checked(pgconn, pgconn.prepare(name, numbered.encode()))
        names[statement] = name
    return name


def _checked(pgconn: PGconn, result: PGresult) -> PGresult:
    if result.status in _FINE:
        return result
    if pgconn.status != ConnStatus.OK:
        raise psycopg.OperationalError("the connection to the database is lost")
    raise error_from_result(result)
