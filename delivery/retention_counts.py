"""How much a tenant's log holds, and what other terms would remove: figures that cost little.

Up to 10,000 rows are counted. Beyond that the planner's estimate is given, and called one; where
domains have days of their own it bounds what would go.
"""

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from django.db import connection

from delivery import retention_sql as sql
from delivery.retention import ATTEMPTS, CONTENT, MESSAGES, REFUSED, Days, Terms
from mail.events import EventKind
from mail.facts import LogLevel
from tenants.clock import database_now
from tenants.schema_models import tenant_audit

MOST_COUNTED: Final = 10_000
ABOUT, AT_MOST, MORE_THAN = "about", "at most", "more than"

_KEPT_CONTENT = """
    FROM public.delivery_message message
    WHERE tenant_id = %(tenant)s AND log_level >= %(content)s
      AND EXISTS (SELECT FROM public.delivery_content content
                  WHERE content.message_id = message.id AND content.number = 0)
      AND EXISTS (SELECT FROM public.delivery_delivery failed
                  WHERE failed.message_id = message.id AND failed.state = 3)"""
_WALKS: Final = {MESSAGES: sql.MESSAGES, REFUSED: sql.REFUSALS, ATTEMPTS: sql.EVENTS}


@dataclass(frozen=True, slots=True)
class Figure:
    """A number, and what it is where it is not exact: about, at most or more than that."""

    number: int
    how: str = ""


def rows_now(tenant_id: int) -> dict[str, Figure]:
    """What the open tenant's log holds, by kind; of content the messages."""
    values = _values(tenant_id)
    figures = {}
    for kind, walk in _WALKS.items():
        rows = f"FROM {walk.table} WHERE {walk.which}"
        counted = _counted(rows, values)
        figures[kind] = counted or Figure(_estimated(rows, values), ABOUT)
    figures[CONTENT] = _counted(_KEPT_CONTENT, values) or Figure(MOST_COUNTED, MORE_THAN)
    return figures


def would_remove(tenant_id: int, terms: Terms) -> dict[str, Figure]:
    """What retention would remove from the open tenant's log by these terms, by kind."""
    figures = {}
    for kind, walk in _WALKS.items():
        days = terms.days[kind]
        values = _values(tenant_id) | days.values()
        counted = None if _is_costly(walk, days, values) else _counted(walk.matching, values)
        figures[kind] = counted or _beyond(walk, days, values)
    values = _values(tenant_id) | terms.days[CONTENT].values()
    pieces = f"{sql.CONTENT.matching} AND number = 0"
    figures[CONTENT] = _counted(pieces, values) or Figure(MOST_COUNTED, MORE_THAN)
    return figures


def audit_rows(*, older_than_days: int = 0) -> Figure:
    """Entries of the open tenant's audit; with days those that a cut would take."""
    entries: Any = tenant_audit()._base_manager.all()
    if older_than_days:
        entries = entries.filter(at__lt=database_now() - timedelta(days=older_than_days))
    count = entries.order_by("id")[: MOST_COUNTED + 1].count()
    return Figure(count) if count <= MOST_COUNTED else Figure(MOST_COUNTED, MORE_THAN)


def _values(tenant_id: int) -> dict[str, Any]:
    return {
        "tenant": tenant_id,
        "content": LogLevel.CONTENT.value,
        "kind": EventKind.ATTEMPTED.value,
    }


def _counted(rows: str, values: dict[str, Any]) -> Figure | None:
    """The exact number; None where there are more than are counted."""
    with connection.cursor() as cursor:
        limited = f"SELECT count(*) FROM (SELECT 1 {rows} LIMIT {MOST_COUNTED + 1}) AS counted"
        cursor.execute(limited, values)
        count = int(cursor.fetchone()[0])
    return Figure(count) if count <= MOST_COUNTED else None


def _is_costly(walk: sql.Walk, days: Days, values: dict[str, Any]) -> bool:
    """Whether counting could read many rows that some domain keeps longer."""
    return bool(days.own) and _estimated(*_old(walk, values)) > MOST_COUNTED


def _beyond(walk: sql.Walk, days: Days, values: dict[str, Any]) -> Figure:
    """An estimate of what is older than the shortest days."""
    return Figure(_estimated(*_old(walk, values)), AT_MOST if days.own else ABOUT)


def _old(walk: sql.Walk, values: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """With the moment as a value: the planner knows how many rows lie before it."""
    cut = database_now() - timedelta(days=values["shortest"])
    rows = f"FROM {walk.table} WHERE {walk.which} AND {walk.moment} < %(cut)s"
    return rows, {**values, "cut": cut}


def _estimated(rows: str, values: dict[str, Any]) -> int:
    """What the planner thinks, to two digits: more would pretend."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) SELECT 1 {rows}", values)
        plan = cursor.fetchone()[0]
    plan = json.loads(plan) if isinstance(plan, str) else plan
    number = int(plan[0]["Plan"]["Plan Rows"])
    size = 10 ** max(len(str(number)) - 2, 0)
    return round(number / size) * size
