"""The queue's statements, and the cursor that they run on.

Django's own cursors put parameters into the text, a message as two hexadecimal digits an octet;
`queue_cursor` gives a psycopg cursor on the same connection that sends them apart, in binary: `%b`.
Errors come as Django's, as they do from its own cursors.
Columns travel as arrays, one parameter a column, so that any number of rows is one statement.

| statement | by | does |
|---|---|---|
| INSERT_MESSAGES | acceptance | message, content, deliveries, opaque rows and events of a batch |
| CLAIM | loop | leases due rows, gives them with message and small content |
| LOCK_MESSAGES, SETTLE, FORGET_FINISHED | settle | ends a batch of attempts, in one transaction |
| RENEW | loop | moves the end of the leases that are still ours |

`(SELECT clock_timestamp())` is deliberate: the bare function is volatile, so that the index on
`next_attempt_at` could not be used to find where the due rows end.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import connection

# The checks of foreign keys keep the plan that was best when they ran first, and right after a
# vacuum of an empty queue that is to read the table whole: a few thousand rows later each row costs
# more than everything else. Here every row has an index that leads to it.
BY_INDEX = "SET LOCAL enable_seqscan = off"

INSERT_MESSAGES = """
WITH opaque AS (
    INSERT INTO public.delivery_opaquepath (row_id, sealed, expires_on)
    SELECT * FROM unnest(%b::bytea[], %b::bytea[], %b::date[])
    ON CONFLICT DO NOTHING
), message AS (
    INSERT INTO public.delivery_message (
        id, tenant_id, direction, reverse_path, outgoing_path, client_ip, helo, protocol, tls,
        size_octets, header_octets, chunk_count, smtputf8, eight_bit, log_level, authenticated,
        keeps_attempts, our_fields, chain)
    SELECT * FROM unnest(
        %b::uuid[], %b::bigint[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[],
        %b::text[], %b::text[], %b::int[], %b::int[], %b::int[], %b::bool[], %b::bool[], %b::int[],
        %b::bool[], %b::bool[], %b::text[], %b::text[])
), content AS (
    INSERT INTO public.delivery_content (message_id, number, tenant_id, octets)
    SELECT * FROM unnest(%b::uuid[], %b::int[], %b::bigint[], %b::bytea[])
), event AS (
    INSERT INTO public.delivery_deliveryevent (tenant_id, message_id, kind, data)
    SELECT * FROM unnest(%b::bigint[], %b::uuid[], %b::text[], %b::text[]::jsonb[])
)
INSERT INTO public.delivery_delivery (
    message_id, tenant_id, route_id, recipient, destination, hold, hold_reason,
    held_until, next_hop, state, attempts, last_reply)
SELECT message_id, tenant_id, route_id, recipient, destination, hold, hold_reason,
    CASE WHEN hold_days > 0 THEN clock_timestamp() + make_interval(days => hold_days) END,
    '', CASE WHEN hold > 0 THEN 2 ELSE 0 END, 0, ''
FROM unnest(%b::uuid[], %b::bigint[], %b::bigint[], %b::text[], %b::text[], %b::int[], %b::text[],
    %b::int[])
    AS planned (message_id, tenant_id, route_id, recipient, destination, hold, hold_reason,
        hold_days)
"""

# The COMMIT of the message flushes it too. A server that crashes before may forget pieces, so that
# they are counted in that transaction.
INSERT_CHUNK = """
WITH unflushed AS (SELECT set_config('synchronous_commit', 'off', true))
INSERT INTO public.delivery_content (message_id, number, tenant_id, octets)
SELECT %b::uuid, %b::int, %b::bigint, %b::bytea FROM unflushed
ON CONFLICT DO NOTHING
"""

COUNT_PIECES = """
SELECT count(*)
FROM unnest(%b::uuid[], %b::int[]) AS message (id, pieces)
JOIN public.delivery_content content
    ON content.message_id = message.id AND content.number < message.pieces
"""

# Deliveries that a worker holds are skipped, and so is their message: they are on their way.
WITHDRAW_DELIVERIES = """
DELETE FROM public.delivery_delivery WHERE id IN (
    SELECT id FROM public.delivery_delivery
    WHERE message_id = ANY(%b::uuid[]) AND state IN (0, 2) AND attempts = 0
    ORDER BY id FOR UPDATE SKIP LOCKED)
"""
WITHDRAW_MESSAGES = """
WITH gone AS (
    DELETE FROM public.delivery_message message
    WHERE id = ANY(%(ids)b::uuid[]) AND NOT EXISTS (
        SELECT FROM public.delivery_delivery WHERE message_id = message.id)
    RETURNING id
), event AS (
    DELETE FROM public.delivery_deliveryevent WHERE message_id IN (SELECT id FROM gone)
), content AS (
    DELETE FROM public.delivery_content content
    WHERE message_id = ANY(%(ids)b::uuid[]) AND (
        message_id IN (SELECT id FROM gone)
        OR NOT EXISTS (SELECT FROM public.delivery_message WHERE id = content.message_id))
)
SELECT id FROM gone
"""

# Content comes with the first delivery of a message only; pieces of large ones are fetched when
# there is room for them.
_LEASE_AND_READ = """
), claimed AS (
    UPDATE public.delivery_delivery delivery
    SET state = 1, attempts = attempts + 1, lease_token = %(token)b,
        next_attempt_at = clock_timestamp() + %(lease)b,
        leases_lost = leases_lost + (due.state = 1)::int
    FROM due WHERE delivery.id = due.id
    RETURNING delivery.id, message_id, tenant_id, route_id, recipient, destination, attempts,
        due.state = 1 AS taken_over, leases_lost, released_at
)
SELECT claimed.id, claimed.message_id, claimed.tenant_id, claimed.route_id, claimed.recipient,
    claimed.destination, claimed.attempts, claimed.taken_over,
    message.direction, message.reverse_path, message.outgoing_path, message.size_octets,
    message.header_octets, message.chunk_count, message.smtputf8, message.log_level,
    message.accepted_at, clock_timestamp(), content.octets, message.authenticated,
    claimed.leases_lost, message.keeps_attempts, message.our_fields, message.chain,
    message.client_ip, message.helo, claimed.released_at
FROM (SELECT *, min(id) OVER (PARTITION BY message_id) AS first_id FROM claimed) claimed
JOIN public.delivery_message message ON message.id = claimed.message_id
LEFT JOIN public.delivery_content content
    ON content.message_id = claimed.message_id AND content.number = 0
    AND message.chunk_count = 1 AND claimed.id = claimed.first_id
ORDER BY claimed.id
"""


def claim_of(due: str) -> str:
    """The statement that leases the rows (id, state) of the query `due`, and reads their mail."""
    return f"WITH due AS MATERIALIZED ({due}{_LEASE_AND_READ}"


# A lease is over by the loop's clock too, for the database's may have been set forward.
LEASE_IS_OVER = "(state = 0 OR next_attempt_at <= coalesce(%(leases_at)b, clock_timestamp()))"

# The partial index delivery_due needs the states as literals.
CLAIM = claim_of(f"""
    SELECT id, state FROM public.delivery_delivery
    WHERE state IN (0, 1) AND next_attempt_at <= (SELECT clock_timestamp())
        AND {LEASE_IS_OVER}
    ORDER BY next_attempt_at, id
    LIMIT %(limit)b
    FOR UPDATE SKIP LOCKED
""")

LOAD_CHUNK = """
SELECT octets FROM public.delivery_content WHERE message_id = %b AND number = %b
"""

RENEW = """
UPDATE public.delivery_delivery delivery
SET next_attempt_at = clock_timestamp() + %(lease)b
FROM unnest(%(ids)b::bigint[], %(tokens)b::uuid[]) AS held (id, token)
WHERE delivery.id = held.id AND delivery.lease_token = held.token AND delivery.state = 1
RETURNING delivery.id
"""

# Two loops that settle the last two deliveries of a message at once would each still see the
# other's row and leave the message behind: the lock makes one wait, and then see.
LOCK_MESSAGES = """
SELECT id FROM public.delivery_message WHERE id = ANY(%b::uuid[]) ORDER BY id FOR UPDATE
"""

# A row whose token is not ours any more matches nothing: neither the row nor the log changes.
SETTLE = """
WITH ended AS MATERIALIZED (
    SELECT delivery.id, delivery.message_id, delivery.tenant_id, ending.*
    FROM unnest(%b::bigint[], %b::uuid[], %b::int[], %b::float8[], %b::int[],
        %b::text[], %b::text[], %b::text[], %b::text[])
        AS ending (delivery_id, token, state, delay, unmade, reply, next_hop, kind, data)
    JOIN public.delivery_delivery delivery
        ON delivery.id = ending.delivery_id AND delivery.lease_token = ending.token
        AND delivery.state = 1
    ORDER BY delivery.id
    FOR UPDATE OF delivery
), gone AS (
    DELETE FROM public.delivery_delivery
    WHERE id IN (SELECT id FROM ended WHERE state IS NULL)
), kept AS (
    UPDATE public.delivery_delivery delivery
    SET state = ended.state, lease_token = NULL,
        attempts = delivery.attempts - ended.unmade,
        leases_lost = delivery.leases_lost * ended.unmade,
        last_reply = coalesce(ended.reply, delivery.last_reply),
        next_hop = coalesce(ended.next_hop, delivery.next_hop),
        next_attempt_at = clock_timestamp() + make_interval(secs => ended.delay),
        finished_at = CASE WHEN ended.state = 3 THEN clock_timestamp() END
    FROM ended WHERE delivery.id = ended.id AND ended.state IS NOT NULL
), event AS (
    INSERT INTO public.delivery_deliveryevent (tenant_id, message_id, kind, data)
    SELECT tenant_id,
        CASE kind WHEN 'counted' THEN '00000000-0000-0000-0000-000000000000' ELSE message_id END,
        kind, data::jsonb
    FROM ended WHERE data IS NOT NULL ORDER BY id
)
SELECT id FROM ended
"""

FORGET_FINISHED = """
WITH gone AS (
    DELETE FROM public.delivery_message message
    WHERE id = ANY(%b::uuid[]) AND NOT EXISTS (
        SELECT FROM public.delivery_delivery WHERE message_id = message.id)
    RETURNING id
)
DELETE FROM public.delivery_content WHERE message_id IN (SELECT id FROM gone)
"""

BEAT_HEART = """
INSERT INTO public.delivery_workerheartbeat (name, at, in_flight, latency)
VALUES (%b, clock_timestamp(), %b, to_jsonb(%b::int[]))
ON CONFLICT (name) DO UPDATE
SET at = excluded.at, in_flight = excluded.in_flight, latency = excluded.latency
RETURNING at
"""
FORGET_HEARTS = """
DELETE FROM public.delivery_workerheartbeat
WHERE name = %b OR at < (SELECT clock_timestamp()) - interval '1 hour'
"""


@contextmanager
def queue_cursor() -> Iterator["psycopg.Cursor[Any]"]:
    """A cursor with parameters apart, in the transaction of Django's connection of this thread."""
    # Django's cursor connects and sets the search path.
    with (
        connection.wrap_database_errors,
        connection.cursor() as ready,
        psycopg.Cursor(ready.connection) as cursor,
    ):
        # Parsing and planning a large statement costs more than running it for one message.
        cursor.connection.prepare_threshold = 2
        yield cursor
