"""Columns of a batch as arrays in PostgreSQL's binary form (array_recv), one parameter each.

psycopg looks at every value of a list to find out what it is; here the caller says so, which is a
fifth of the CPU for a statement with thirty columns. The types on the wire are always the same,
so that one prepared statement serves every batch.
"""

from collections.abc import Iterable, Sequence
from datetime import date
from struct import Struct
from uuid import UUID

import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format

_HEAD = Struct("!iiIii").pack  # dimensions, flags, type of the elements, length, first index
_EMPTY = Struct("!iiI").pack
_LENGTH = Struct("!i").pack
_INT4 = Struct("!ii").pack
_INT8 = Struct("!iq").pack
_BOOL = Struct("!i?").pack
_NULL = _LENGTH(-1)
_UUID_LENGTH = _LENGTH(16)
_EPOCH = date(2000, 1, 1).toordinal()


class Column(bytes):
    """A finished array; the cast in the statement says what it is an array of."""


class _ColumnDumper(Dumper):
    format = Format.BINARY
    oid = 0

    def dump(self, obj: Column) -> Column:
        return obj


def register() -> None:
    """Teach psycopg to send columns; before the first connection is made."""
    psycopg.adapters.register_dumper(Column, _ColumnDumper)


def texts(values: Iterable[str]) -> Column:
    return _of_octets(25, [value.encode() for value in values])


def octets(values: Sequence[bytes]) -> Column:
    return _of_octets(17, values)


def uuids(values: Iterable[UUID]) -> Column:
    return _column(2950, [_UUID_LENGTH + value.bytes for value in values])


def ints(values: Iterable[int]) -> Column:
    return _column(23, [_INT4(4, value) for value in values])


def bigints(values: Iterable[int | None]) -> Column:
    return _column(20, [_NULL if value is None else _INT8(8, value) for value in values])


def bools(values: Iterable[bool]) -> Column:
    return _column(16, [_BOOL(1, value) for value in values])


def dates(values: Iterable[date]) -> Column:
    return _column(1082, [_INT4(4, value.toordinal() - _EPOCH) for value in values])


def _of_octets(element: int, values: Sequence[bytes]) -> Column:
    cells: list[bytes] = []
    for value in values:
        cells += (_LENGTH(len(value)), value)
    return _column(element, cells, len(values))


def _column(element: int, cells: Sequence[bytes], length: int | None = None) -> Column:
    if not cells:
        return Column(_EMPTY(0, 0, element))
    head = _HEAD(1, 0, element, len(cells) if length is None else length, 1)
    return Column(b"".join((head, *cells)))
