"""How much a tenant's log holds, and what other terms would remove: figures that cost little.

Up to 10,000 rows are counted. Beyond that the planner's estimate is given, and called one; where
domains have days of their own it bounds what would go.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection

from delivery import retention_sql as sql
from delivery.retention import ATTEMPTS, AUDIT, CONTENT, MESSAGES, REFUSED, Terms
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
    parts = {
        kind: _composed(f"FROM {walk.table} WHERE {walk.which}", values)
        for kind, walk in _WALKS.items()
    }
    counted = _counted(
        {
            **parts,
            CONTENT: _composed(_KEPT_CONTENT, values),
            AUDIT: f"FROM {tenant_audit()._meta.db_table}",
        }
    )
    many = {kind: part for kind, part in parts.items() if counted[kind].number > MOST_COUNTED}
    return _honest(counted, _estimated(many), ABOUT)


def would_remove(tenant_id: int, terms: Terms, *, audit_days: int = 0) -> dict[str, Figure]:
    """What retention would remove from the open tenant's log by these terms, by kind.

    The audit is among them where its days are given.
    """
    values = {kind: _values(tenant_id) | days.values() for kind, days in terms.days.items()}
    now = database_now()
    old = {kind: _old(walk, values[kind], now) for kind, walk in _WALKS.items()}
    expected = _estimated(old)
    parts = {CONTENT: _composed(f"{sql.CONTENT.matching} AND number = 0", values[CONTENT])}
    for kind, walk in _WALKS.items():
        # Counting could read many rows that some domain keeps longer.
        if not (terms.days[kind].own and expected[kind] > MOST_COUNTED):
            parts[kind] = _composed(walk.matching, values[kind])
    if audit_days:
        cut = {"cut": now - timedelta(days=audit_days)}
        parts[AUDIT] = _composed(f"FROM {tenant_audit()._meta.db_table} WHERE at < %(cut)s", cut)
    bounds = {kind: AT_MOST if terms.days[kind].own else ABOUT for kind in _WALKS}
    found = _counted(parts)
    for kind in _WALKS:
        if kind not in found or found[kind].number > MOST_COUNTED:
            found[kind] = Figure(expected[kind], bounds[kind])
    return _honest(found, {}, ABOUT)


def _values(tenant_id: int) -> dict[str, Any]:
    return {
        "tenant": tenant_id,
        "content": LogLevel.CONTENT.value,
        "kind": EventKind.ATTEMPTED.value,
    }


def _composed(rows: str, values: dict[str, Any]) -> str:
    """The SQL with its values in it: several of them make one statement."""
    operations: Any = connection.ops
    return str(operations.compose_sql(rows, values))


def _counted(parts: dict[str, str]) -> dict[str, Figure]:
    """Each counted, up to one more than is worth it; one statement for all."""
    each = (
        f"SELECT '{kind}', count(*) FROM (SELECT 1 {rows} LIMIT {MOST_COUNTED + 1}) AS counted"
        for kind, rows in parts.items()
    )
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(each))
        return {kind: Figure(count) for kind, count in cursor.fetchall()}


def _honest(counted: dict[str, Figure], estimates: dict[str, int], how: str) -> dict[str, Figure]:
    """What was not counted to its end is said to be more, or estimated."""
    figures = {}
    for kind, figure in counted.items():
        if figure.how or figure.number <= MOST_COUNTED:
            figures[kind] = figure
        elif kind in estimates:
            figures[kind] = Figure(max(estimates[kind], MOST_COUNTED), how)
        else:
            figures[kind] = Figure(MOST_COUNTED, MORE_THAN)
    return figures


def _old(walk: sql.Walk, values: dict[str, Any], now: datetime) -> str:
    """With the moment as a value: the planner knows how many rows lie before it."""
    cut = now - timedelta(days=values["shortest"])
    rows = f"FROM {walk.table} WHERE {walk.which} AND {walk.moment} < %(cut)s"
    return _composed(rows, {**values, "cut": cut})


def _estimated(parts: dict[str, str]) -> dict[str, int]:
    """What the planner thinks, to two digits: more would pretend."""
    if not parts:
        return {}
    each = " UNION ALL ".join(f"(SELECT 1 {rows} OFFSET 0)" for rows in parts.values())
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {each}")
        plan = cursor.fetchone()[0]
    plan = (json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]
    branches = plan["Plans"] if plan["Node Type"] == "Append" else [plan]
    numbers = (int(branch["Plan Rows"]) for branch in branches)
    return {kind: _rounded(number) for kind, number in zip(parts, numbers, strict=True)}


def _rounded(number: int) -> int:
    size: int = 10 ** max(len(str(number)) - 2, 0)
    return round(number / size) * size
