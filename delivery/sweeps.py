"""What housekeeping removes from the shared tables, in batches.

Every statement finds its rows by an index, takes a batch of them and skips what others hold, so
that it may run beside full traffic and on tables of millions.

| sweep | removes |
|---|---|
| `sweep_old_rows` | expired opaque paths, tallies of notices of 45 days, tallies of 7 days, service events and failed mail of the service of 30 days, usage of 60 days, heartbeats of dead loops, counts and greylistings that are over |
| `sweep_endless_leases` | nothing: it ends leases which a clock set back has stretched |
| `sweep_failed_content` | content of messages that failed 45 minutes ago, unless the policy keeps it |
| `sweep_orphan_content` | pieces whose message never came, an hour after the last of them |
| `sweep_finished_messages` | messages without deliveries, with their content |
"""  # noqa: E501

from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django.db import connection, transaction

from delivery.claim import LEASE
from delivery.queue_services import drop_finished_messages
from mail.facts import LogLevel

BATCH = 5000
CLOCKS_DIFFER: Final = timedelta(seconds=30)

# The privacy page says these to everybody.
KEPT_DAYS: Final = {"refusal tallies": 7, "service events": 30, "usage": 60, "notice tallies": 45}

OLD_ROWS = {
    "delivery_opaquepath": "expires_on < (SELECT clock_timestamp()::date)",
    "delivery_refusaltally": "hour < (SELECT clock_timestamp())"
    f" - interval '{KEPT_DAYS['refusal tallies']} days'",
    "delivery_serviceevent": "at < (SELECT clock_timestamp())"
    f" - interval '{KEPT_DAYS['service events']} days'",
    "delivery_tenantusage": f"day < (SELECT clock_timestamp()::date - {KEPT_DAYS['usage']})",
    "delivery_noticetally": "period < (SELECT clock_timestamp())"
    f" - interval '{KEPT_DAYS['notice tallies']} days'",
    "delivery_workerheartbeat": "at < (SELECT clock_timestamp() - interval '1 hour')",
    "delivery_sharedcount": "ends_at < (SELECT clock_timestamp())",
    "delivery_greylisting": "expires_at < (SELECT clock_timestamp())",
    "delivery_delivery": "state = 3 AND tenant_id IS NULL"
    " AND finished_at < (SELECT clock_timestamp())"
    f" - interval '{KEPT_DAYS['service events']} days'",
}

_DELETE = """
    WITH gone AS (
        DELETE FROM {table} WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM {table} WHERE {old} LIMIT %(batch)s FOR UPDATE SKIP LOCKED))
        RETURNING 1
    )
    SELECT count(*) FROM gone
"""
# Swept every ten minutes, so that it is gone an hour after the last recipient is finished.
_FAILED_CONTENT = """
    WITH done AS (
        SELECT DISTINCT failed.message_id FROM public.delivery_delivery failed
        JOIN public.delivery_message message ON message.id = failed.message_id
        WHERE failed.state = 3
          AND failed.finished_at < (SELECT clock_timestamp() - interval '45 minutes')
          AND message.log_level < %(keeps)s
          AND EXISTS (SELECT FROM public.delivery_content c WHERE c.message_id = message.id)
          AND NOT EXISTS (
              SELECT FROM public.delivery_delivery other WHERE other.message_id = message.id
              AND (other.state <> 3
                   OR other.finished_at >= (SELECT clock_timestamp() - interval '45 minutes')))
        LIMIT %(batch)s
    ), gone AS (
        DELETE FROM public.delivery_content WHERE message_id IN (SELECT message_id FROM done)
        RETURNING 1
    )
    SELECT count(*) FROM gone
"""
# LATERAL with a LIMIT: a probe of the index for each row, where an anti-join would hash the whole
# table for every page.
# The commit of a message follows its last piece within minutes, and a piece the one before it: the
# slowest client that is let in needs nine for one. An hour is far beyond that.
_ORPHAN_CONTENT = """
    WITH page AS MATERIALIZED (
        SELECT message_id, number FROM public.delivery_content
        WHERE (message_id, number) > (%(id)s, %(number)s)
        ORDER BY message_id, number LIMIT %(batch)s
    ), lost AS MATERIALIZED (
        SELECT message_id, number FROM page LEFT JOIN LATERAL (
            SELECT true AS found FROM public.delivery_message m WHERE m.id = message_id LIMIT 1
        ) AS one ON true WHERE found IS NULL
    ), gone AS (
        DELETE FROM public.delivery_content content USING lost
        WHERE (content.message_id, content.number) = (lost.message_id, lost.number)
          AND NOT EXISTS (
              SELECT FROM public.delivery_content young WHERE young.message_id = lost.message_id
              AND young.stored_at >= (SELECT clock_timestamp() - interval '1 hour'))
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM gone), last.message_id, last.number
    FROM (SELECT * FROM page ORDER BY message_id DESC, number DESC LIMIT 1) AS last
"""
_UNFINISHED_PAGE = """
    WITH page AS MATERIALIZED (
        SELECT id FROM public.delivery_message WHERE id > %(id)s ORDER BY id LIMIT %(batch)s
    )
    SELECT id, found IS NULL FROM page LEFT JOIN LATERAL (
        SELECT true AS found FROM public.delivery_delivery d WHERE d.message_id = page.id LIMIT 1
    ) AS one ON true ORDER BY id
"""


# After the clock was set back, the lease of a dead worker would last as long as the step.
_ENDLESS_LEASES = """
    WITH found AS (
        SELECT id FROM public.delivery_delivery
        WHERE state = 1 AND next_attempt_at > (SELECT clock_timestamp()) + %(longest)s
        LIMIT %(batch)s FOR UPDATE SKIP LOCKED
    ), shortened AS (
        UPDATE public.delivery_delivery delivery SET next_attempt_at = clock_timestamp() + %(lease)s
        FROM found WHERE delivery.id = found.id
        RETURNING 1
    )
    SELECT count(*) FROM shortened
"""


def delete_in_batches(table: str, old: str, values: dict[str, Any] | None = None) -> int:
    """Delete rows of `table` where `old` holds, one transaction a batch; gives how many."""
    statement = _DELETE.format(table=table, old=old)
    return _repeat(statement, {"batch": BATCH, **(values or {})})


def _repeat(statement: str, values: dict[str, Any]) -> int:
    total = 0
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '1s'")
            cursor.execute(statement, values)
            count = int(cursor.fetchone()[0])
        total += count
        if not count:
            return total


def sweep_old_rows() -> dict[str, int]:
    """Remove what is past its time from the shared tables; gives rows by table."""
    return {
        table: delete_in_batches(f"public.{table}", condition)
        for table, condition in OLD_ROWS.items()
    }


def sweep_failed_content() -> int:
    """Remove the content of messages that failed for good 45 minutes ago; gives pieces."""
    return _repeat(_FAILED_CONTENT, {"batch": BATCH, "keeps": LogLevel.CONTENT.value})


def sweep_endless_leases() -> int:
    """Give leases that end later than any lease can the usual time from now; gives how many."""
    return _repeat(
        _ENDLESS_LEASES, {"batch": BATCH, "lease": LEASE, "longest": LEASE + CLOCKS_DIFFER}
    )


def sweep_orphan_content() -> int:
    """Remove pieces that no message came for; gives pieces."""
    after: dict[str, Any]
    total, after = 0, {"id": UUID(int=0), "number": -1}
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_ORPHAN_CONTENT, {"batch": BATCH, **after})
            row = cursor.fetchone()
        if row is None:
            return total
        total, after = total + row[0], {"id": row[1], "number": row[2]}


def sweep_finished_messages() -> int:
    """Remove messages without deliveries; the sending loop removes nearly all itself."""
    total, last_id = 0, UUID(int=0)
    while True:
        with connection.cursor() as cursor:
            cursor.execute(_UNFINISHED_PAGE, {"id": last_id, "batch": BATCH})
            page = cursor.fetchall()
        if not page:
            return total
        done = [trace_id for trace_id, finished in page if finished]
        total += drop_finished_messages(done) if done else 0
        last_id = page[-1][0]
