"""Writes events into the outbox, cut down to what the tenant's log level allows.

Called by everything in delivery that is not on the hot path (acceptance and settling have the same
INSERT inside their own statements). Runs in the caller's transaction.
"""

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from django.db import connection

from mail.events import Event, disclose
from mail.facts import LogLevel
from tenants.vault import derived_key

_INSERT = """
    INSERT INTO public.delivery_deliveryevent (tenant_id, message_id, kind, data)
    SELECT * FROM unnest(%s::bigint[], %s::uuid[], %s::text[], %s::jsonb[])
"""


@lru_cache(maxsize=1)
def address_pepper() -> bytes:
    """The key under which the level "addresses hashed" hides addresses, one an installation."""
    return derived_key("address pepper")


def disclosed(events: Iterable[tuple[Event, LogLevel]]) -> list[Event]:
    """What may be written down of these events, in order."""
    pepper = address_pepper()
    kept = (disclose(event, level, pepper=pepper) for event, level in events)
    return [event for event in kept if event is not None]


def insert_events(events: Iterable[tuple[Event, LogLevel]]) -> int:
    """Put the events into the outbox in the current transaction; gives how many were kept."""
    kept = disclosed(events)
    if not kept:
        return 0
    columns: list[Any] = [
        [event.tenant_id for event in kept],
        [event.trace_id for event in kept],
        [event.kind.value for event in kept],
        [storable_json(event) for event in kept],
    ]
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, columns)
    return len(kept)


def storable_json(event: Event) -> str:
    """The event's JSON as PostgreSQL takes it: its jsonb refuses NUL and lone surrogates."""
    data = event.to_json()
    text = _dumps(data)
    if text.isascii() and "\\u0000" not in text:
        return text  # nearly always: the walk through the values is for the odd ones
    return _dumps(_storable(data))


def _dumps(data: dict[str, Any]) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {name: _storable(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(inner) for inner in value]
    return value
