"""Sealing again under the first data key what was sealed under another, while mail keeps flowing.

A `SealedColumn` says where sealed values are and what each is bound to. Every package lists its own
(`ops/management/commands/reencrypt.py` brings them together); this module goes through one column,
in pages by the primary key, one transaction a page. A row says by its key id whether it is done, so
that the work may be stopped at any time and goes on where it stopped.
"""

import base64
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from django.db import connection, transaction

from tenants.context import public_schema
from tenants.errors import TenancyError
from tenants.keys import seal_context
from tenants.lasting import secret_context
from tenants.models import DataKeyProof
from tenants.vault import PROOF_TEXT, vault

MOST_PASSES: Final = 50
PAUSE_SECONDS: Final = 0.2

Row = tuple[Any, ...]


class StillInUse(TenancyError):
    """Values remain under another key: a process still seals with it, or holds them."""


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """A column of sealed values; `context` gives what one is bound to, from the columns `bound_to`.

    `key` are the columns of the primary key. `page` is how many rows are held at once.
    """

    table: str
    column: str
    key: tuple[str, ...]
    bound_to: tuple[str, ...]
    context: Callable[..., bytes]
    page: int = 500
    is_base64: bool = False
    """The value stands in a column of text."""


SHARED_COLUMNS = (
    SealedColumn(
        "public.tenants_servicekey",
        "sealed_private",
        ("id",),
        ("purpose", "selector"),
        seal_context,
    ),
    SealedColumn("public.tenants_sealedsecret", "sealed", ("name",), ("name",), secret_context),
)


def reencrypt(column: SealedColumn) -> int:
    """Seal again what is not under the first key; gives how many values.

    Rows that somebody holds at this moment are passed over, so that no mail waits for this and no
    deadlock can come of it: what is still there then is looked at again. Raises `VaultError` where
    no key opens a value, and `StillInUse`.
    """
    done = 0
    for _ in range(MOST_PASSES):
        done += _pass(column)
        if not remaining(column):
            return done
        time.sleep(PAUSE_SECONDS)
    raise StillInUse(
        f"{remaining(column)} values of {column.table} are in use, or still come in under another "
        "key: restart every process with the new key first in MXAX_DATA_KEY, then run this again."
    )


def remaining(column: SealedColumn) -> int:
    """How many values are not under the first key."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*) FROM {column.table} WHERE {_other_key(column)}", [_first_key()]
        )
        return int(cursor.fetchone()[0])


def renew_proof() -> None:
    """Prove the first data key from now on and no other: the last step."""
    first = _first_key()
    with transaction.atomic(), public_schema():
        sealed = vault().seal(PROOF_TEXT, context=b"proof")
        DataKeyProof.objects.get_or_create(key_id=first.hex(), defaults={"sealed": sealed})
        DataKeyProof.objects.exclude(key_id=first.hex()).delete()


def _pass(column: SealedColumn) -> int:
    done, after = 0, None
    while True:
        with transaction.atomic():
            rows = _page(column, after)
            for row in rows:
                _seal_again(column, row)
        if not rows:
            return done
        done, after = done + len(rows), rows[-1][: len(column.key)]


def _page(column: SealedColumn, after: Row | None) -> list[Row]:
    names = ", ".join((*column.key, *column.bound_to, column.column))
    key = ", ".join(column.key)
    beyond = f"AND ({key}) > ({', '.join(['%s'] * len(column.key))})" if after else ""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {names} FROM {column.table} WHERE {_other_key(column)} {beyond}"
            f" ORDER BY {key} LIMIT {column.page} FOR UPDATE SKIP LOCKED",
            [_first_key(), *(after or ())],
        )
        return list(cursor.fetchall())


def _seal_again(column: SealedColumn, row: Row) -> None:
    keys = len(column.key)
    context = column.context(*row[keys:-1])
    old = base64.b64decode(row[-1]) if column.is_base64 else bytes(row[-1])
    new: Any = vault().seal(vault().unseal(old, context=context), context=context)
    if column.is_base64:
        new = base64.b64encode(new).decode("ascii")
    same = " AND ".join(f"{name} = %s" for name in column.key)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {column.table} SET {column.column} = %s WHERE {same}", [new, *row[:keys]]
        )


def _other_key(column: SealedColumn) -> str:
    value = f"decode({column.column}, 'base64')" if column.is_base64 else column.column
    return f"substring({value} from 2 for 4) <> %s"


def _first_key() -> bytes:
    return vault().ciphers[0][0]
