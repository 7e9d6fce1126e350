"""Statements of the fair claim: who has something due, so many of each, and rows put off.

Used while more is due than a loop has room for (delivery/fair.py). The partial index
`delivery_due_by_tenant` gives the first due row of a tenant by one probe, however many he has.
"""

from delivery.sql import LEASE_IS_OVER, claim_of

# A loose index scan: one probe a tenant, also for those whose rows wait for a retry.
DUE_TENANTS = """
WITH RECURSIVE earliest AS (
    (SELECT tenant_id, next_attempt_at FROM public.delivery_delivery
     WHERE state IN (0, 1) AND tenant_id IS NOT NULL
     ORDER BY tenant_id, next_attempt_at LIMIT 1)
    UNION ALL
    SELECT later.tenant_id, later.next_attempt_at
    FROM earliest CROSS JOIN LATERAL (
        SELECT tenant_id, next_attempt_at FROM public.delivery_delivery
        WHERE state IN (0, 1) AND tenant_id > earliest.tenant_id
        ORDER BY tenant_id, next_attempt_at LIMIT 1) later
)
SELECT tenant_id FROM earliest WHERE next_attempt_at <= (SELECT clock_timestamp())
UNION ALL
(SELECT NULL FROM public.delivery_delivery
 WHERE state IN (0, 1) AND tenant_id IS NULL
     AND next_attempt_at <= (SELECT clock_timestamp())
 LIMIT 1)
"""

# NULL is a tenant too, the service itself: `IS NOT DISTINCT FROM` would not use the index.
CLAIM_SHARES = claim_of(f"""
    SELECT due.id, due.state
    FROM unnest(%(tenants)b::bigint[], %(shares)b::int[]) AS mine (tenant_id, share)
    CROSS JOIN LATERAL (
        SELECT id, state FROM public.delivery_delivery
        WHERE state IN (0, 1) AND tenant_id = mine.tenant_id
            AND next_attempt_at <= (SELECT clock_timestamp()) AND {LEASE_IS_OVER}
        ORDER BY next_attempt_at LIMIT mine.share
        FOR UPDATE SKIP LOCKED) due
    UNION ALL
    SELECT ours.id, ours.state FROM (
        SELECT id, state FROM public.delivery_delivery
        WHERE state IN (0, 1) AND tenant_id IS NULL
            AND next_attempt_at <= (SELECT clock_timestamp()) AND {LEASE_IS_OVER}
        ORDER BY next_attempt_at LIMIT %(own_share)b
        FOR UPDATE SKIP LOCKED) ours
""")

# Nothing is attempted and nothing counted; the spread keeps them from coming back all at once.
# Old mail is left to its own schedule, so that it is attempted, told of and ended in time.
PUT_OFF = """
WITH due AS MATERIALIZED (
    SELECT id, message_id, destination FROM public.delivery_delivery
    WHERE state = 0 AND tenant_id = %(tenant)b
        AND next_attempt_at <= (SELECT clock_timestamp())
    ORDER BY next_attempt_at LIMIT %(window)b
    FOR UPDATE SKIP LOCKED
)
UPDATE public.delivery_delivery delivery
SET next_attempt_at = clock_timestamp()
    + make_interval(secs => %(seconds)b::float8 + random() * %(spread)b::float8)
FROM due JOIN public.delivery_message message ON message.id = due.message_id
WHERE delivery.id = due.id
    AND lower(substring(due.destination FROM '@([^@]*)$')) = %(domain)b
    AND message.accepted_at > clock_timestamp() - %(young)b::interval
"""
