"""Schemas made before the first test, for the tenants that tests make.

The tables of a tenant take half a second. A test that is rolled back renames a spare schema, which
takes a millisecond, and the rollback gives it back. Tests that commit, and those marked
`real_schemas`, make theirs like everybody.
"""

from __future__ import annotations

from django.db import connection

from tenants.services import tenants as service

SPARES = 4
_make = service._make_schema
_TAKE = """
    SELECT nspname FROM pg_namespace WHERE nspname ~ '^spare[0-9]+$' ORDER BY 1 LIMIT 1
"""
_FROM_ONE = """
    SELECT setval(oid::regclass, 1, false) FROM pg_class
    WHERE relkind = 'S' AND relnamespace = %s::regnamespace
"""


def make() -> None:
    """Make the spares, for good."""
    for number in range(SPARES):
        _make(f"t{900_000 + number}")
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER SCHEMA t{900_000 + number} RENAME TO spare{number}")


def take(schema_name: str) -> None:
    """What `_make_schema` does, with a spare as long as there is one; ids begin at one again."""
    with connection.cursor() as cursor:
        cursor.execute(_TAKE)
        spare = cursor.fetchone()
    if spare is None:
        _make(schema_name)
        return
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER SCHEMA {spare[0]} RENAME TO {schema_name}")
        cursor.execute(_FROM_ONE, [schema_name])
