"""The statements of retention: walks along an index, from the oldest row on.

A walk reads a page of rows that are older than the shortest days of its kind, deletes those whose
own days have ended, and gives the last row read, from which the next page goes on. Rows that a
domain keeps longer than others are passed once a pass, not once a batch.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_NOW = "(SELECT clock_timestamp())"
_OLDEST = f"{_NOW} - make_interval(days => %(shortest)s)"
_NOTHING = "00000000-0000-0000-0000-000000000000"


def _days_of(domain: str) -> str:
    """The days of a domain (SQL text), or of the tenant."""
    return f"coalesce((%(own)s::jsonb ->> {domain})::int, %(otherwise)s)"


def _ended(moment: str, days: str) -> str:
    return f"{moment} < {_NOW} - make_interval(days => {days})"


_OF_RECIPIENT = _days_of("split_part(lower(recipient), '@', -1)")
_OF_ALL_RECIPIENTS = f"""least({_OF_RECIPIENT}, (
    SELECT min({_days_of("split_part(lower(pair->>0), '@', -1)")})
    FROM jsonb_array_elements(data->'recipients') AS pair))"""
_OF_NAMES = f"""coalesce((
    SELECT min({_days_of("substr(name, 5)")}) FROM unnest(names) AS name
    WHERE starts_with(name, 'to:@')), {_OF_RECIPIENT})"""


@dataclass(frozen=True, slots=True)
class Walk:
    """Takes the values of `Days`, `%(after)s`, `%(id)s` and `%(batch)s`, and what `which` needs."""

    table: str
    key: str
    moment: str
    which: str
    days: str
    start: tuple[Any, Any] = ("-infinity", 0)
    gives: str = "1"
    extra: str = ""
    """Statements that delete more, of what `gone` gives."""

    @property
    def delete(self) -> str:
        return f"""
    WITH page AS MATERIALIZED (
        SELECT {self.key} AS id, {self.moment} AS moment,
               {_ended(self.moment, self.days)} AS ended
        FROM {self.table}
        WHERE {self.which} AND {self.moment} < {_OLDEST} AND {self.moment} >= %(after)s
          AND ({self.moment}, {self.key}) > (%(after)s, %(id)s)
        ORDER BY {self.moment}, {self.key} LIMIT %(batch)s
    ), gone AS (
        DELETE FROM {self.table} WHERE {self.key} IN (SELECT id FROM page WHERE ended)
        RETURNING {self.gives}
    ){self.extra}
    SELECT (SELECT count(*) FROM gone), moment, id
    FROM page ORDER BY moment DESC, id DESC LIMIT 1
"""

    @property
    def matching(self) -> str:
        return f"""
    FROM {self.table} WHERE {self.which} AND {self.moment} < {_OLDEST}
      AND {_ended(self.moment, self.days)}"""


@dataclass(frozen=True, slots=True)
class Plain:
    """A condition that an index finds the few rows of; takes the values of `Days`."""

    table: str
    condition: str

    @property
    def matching(self) -> str:
        return f"""
    FROM {self.table} WHERE {self.condition}"""


def json_of(own: Mapping[str, int]) -> str:
    return json.dumps(own)


EVENTS: Final = Walk("messagelog_loggedevent", "id", "at", "kind = %(kind)s", _OF_RECIPIENT)
# A recipient refused in a transaction that others were accepted in is a name of their message.
REFUSED_EVENTS: Final = Walk(
    "messagelog_loggedevent",
    "id",
    "at",
    "kind = %(kind)s",
    _OF_RECIPIENT,
    gives="trace_id, 'to:' || lower(recipient) AS name",
    extra=""", names_gone AS (
        DELETE FROM messagelog_loggedname known USING gone
        WHERE known.name = (gone.name COLLATE "C") AND known.trace_id = gone.trace_id
    ), unnamed AS (
        UPDATE messagelog_loggedmessage message
        SET names = ARRAY(SELECT unnest(names) EXCEPT
                          SELECT name FROM gone WHERE gone.trace_id = message.trace_id)
        WHERE trace_id IN (SELECT trace_id FROM gone) AND state <> 'refused'
    )""",
)
ACCEPTED: Final = Walk("messagelog_loggedevent", "id", "at", "kind = %(kind)s", _OF_ALL_RECIPIENTS)

_NAMES_TOO = """, names_gone AS (
        DELETE FROM messagelog_loggedname known USING gone, unnest(gone.names) AS own (name)
        WHERE known.name = (own.name COLLATE "C") AND known.trace_id = gone.trace_id
    )"""
MESSAGES: Final = Walk(
    "messagelog_loggedmessage",
    "trace_id",
    "at",
    "state <> 'refused'",
    _OF_NAMES,
    start=("-infinity", _NOTHING),
    extra=_NAMES_TOO,
    gives="trace_id, names",
)
REFUSALS: Final = Walk(
    "messagelog_loggedmessage",
    "trace_id",
    "at",
    "state = 'refused'",
    _OF_NAMES,
    start=("-infinity", _NOTHING),
    extra=_NAMES_TOO,
    gives="trace_id, names",
)

# The tenant's rows of the shared tables.
FAILED: Final = Walk(
    "public.delivery_delivery",
    "id",
    "finished_at",
    "tenant_id = %(tenant)s AND state = 3",
    _OF_RECIPIENT,
)
_HOURS_END = "hour + interval '1 hour'"
TALLIES: Final = Plain(
    "public.delivery_refusaltally",
    f"tenant_id = %(tenant)s AND hour < {_OLDEST} AND {_ended(_HOURS_END, _days_of('domain'))}",
)
CONTENT: Final = Plain(
    "public.delivery_content",
    f"""tenant_id = %(tenant)s AND message_id IN (
        SELECT failed.message_id FROM public.delivery_delivery failed
        JOIN public.delivery_message message ON message.id = failed.message_id
        WHERE failed.tenant_id = %(tenant)s AND failed.state = 3
          AND failed.finished_at < {_OLDEST} AND {_ended("finished_at", _OF_RECIPIENT)}
          AND message.log_level >= %(content)s)
    AND NOT EXISTS (
        SELECT FROM public.delivery_delivery open
        WHERE open.message_id = delivery_content.message_id AND open.state <> 3)""",
)
# Nothing of this mail may be written down: it stays for as long as it could still be tried again.
UNLOGGED: Final = Plain(
    "public.delivery_delivery",
    f"""tenant_id = %(tenant)s AND state = 3 AND finished_at < {_NOW} - interval '45 minutes'
    AND EXISTS (SELECT FROM public.delivery_message message
                WHERE message.id = delivery_delivery.message_id
                  AND message.log_level <= %(counts)s)""",
)

NOTE_RUN: Final = """
    INSERT INTO public.delivery_retentionrun (tenant_id, finished_at, removed)
    VALUES (%s, clock_timestamp(), %s)
    ON CONFLICT (tenant_id) DO UPDATE
    SET finished_at = excluded.finished_at, removed = excluded.removed
"""
