"""The statements of a search in the log: candidates in order of time, then what they must fulfil.

| candidates | come from | cost |
|---|---|---|
| OF_NAMES | the newest of each name, merged | a probe a name and a row a candidate |
| WALKS | the mail itself, along an index | a row a candidate |

All of them take `%(low)s` and `%(high)s` (trace ids, left out) and give `%(most)s` at most.
"""

from collections.abc import Sequence
from typing import Final

COLUMNS: Final = (
    *("trace_id", "at", "direction", "state", "reverse_path", "recipient", "author", "subject"),
    *("client_ip", "size_octets", "reason", "changed_at", "names"),
)

# A loose scan of the index: one probe for each name, however many messages it has.
NAMES_LIKE: Final = """
    WITH RECURSIVE found (name, beginning, rank) AS (
        SELECT first.name, beginning, 1
        FROM unnest(%(beginnings)s::text[]) AS typed (beginning), LATERAL (
            SELECT name FROM messagelog_loggedname
            WHERE name >= (typed.beginning COLLATE "C") ORDER BY name LIMIT 1) AS first
        WHERE starts_with(first.name, beginning)
        UNION ALL
        SELECT later.name, beginning, rank + 1
        FROM found, LATERAL (
            SELECT name FROM messagelog_loggedname
            WHERE name > found.name ORDER BY name LIMIT 1) AS later
        WHERE starts_with(later.name, beginning) AND rank < %(most)s
    )
    SELECT name FROM found LIMIT %(most)s
"""

OF_NAMES: Final = """
    SELECT DISTINCT one.trace_id
    FROM unnest(%(names)s::text[]) AS wanted (name), LATERAL (
        SELECT trace_id FROM messagelog_loggedname
        WHERE name = (wanted.name COLLATE "C") AND trace_id > %(low)s AND trace_id < %(high)s
        ORDER BY trace_id {order} LIMIT %(most)s
    ) AS one
    ORDER BY one.trace_id {order} LIMIT %(most)s
"""

_WALK: Final = """
    SELECT trace_id FROM messagelog_loggedmessage
    WHERE {condition} AND trace_id > %(low)s AND trace_id < %(high)s
    ORDER BY trace_id {{order}} LIMIT %(most)s
"""
# Each condition but the first has an index of its own (delivery/messagelog/models.py).
WALKS: Final = {
    "": _WALK.format(condition="true"),
    "state": _WALK.format(condition="state = %(state)s"),
    "direction": _WALK.format(condition="direction = %(direction)s"),
    "has_reason": _WALK.format(condition="reason <> ''"),
}

HAS_NAME: Final = "names && %(names)s::text[]"
HAS_BEGINNING: Final = """EXISTS (
    SELECT FROM unnest(names) AS own (name), unnest(%(beginnings)s::text[]) AS typed (beginning)
    WHERE starts_with(own.name, beginning))"""
FILTERS: Final = (
    ("state", "state = %(state)s"),
    ("direction", "direction = %(direction)s"),
    ("reason", "reason ILIKE %(reason)s"),
)

_PAGE: Final = """
    WITH candidate AS MATERIALIZED ({source}),
    looked AS (
        SELECT count(*) AS number, (array_agg(trace_id ORDER BY trace_id {reverse}))[1] AS last
        FROM candidate
    )
    SELECT looked.number, looked.last, matching.*
    FROM looked LEFT JOIN LATERAL (
        SELECT {columns} FROM candidate JOIN messagelog_loggedmessage USING (trace_id)
        WHERE {conditions}
        ORDER BY trace_id {order} LIMIT %(rows)s
    ) AS matching ON true
    ORDER BY matching.trace_id {order}
"""


def page(source: str, conditions: Sequence[str], *, backwards: bool) -> str:
    """The statement of a page: numbers looked at, the last of them, and columns of what matches."""
    order, reverse = ("ASC", "DESC") if backwards else ("DESC", "ASC")
    return _PAGE.format(
        source=source.format(order=order),
        conditions=" AND ".join(conditions) or "true",
        columns=", ".join(COLUMNS),
        order=order,
        reverse=reverse,
    )


def escaped(text: str) -> str:
    """Text for ILIKE that means itself."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
