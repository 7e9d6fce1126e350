"""The statements behind the figures of the queue; without Django, for the small metrics process."""

# One pass over a table that holds what is not finished yet: small unless something is wrong.
STATUS = """
    SELECT count(*) FILTER (WHERE state = 0 AND NOT (attempts > 0 AND later)),
           count(*) FILTER (WHERE state = 0 AND attempts > 0 AND later),
           count(*) FILTER (WHERE state = 1),
           count(*) FILTER (WHERE state = 2),
           count(*) FILTER (WHERE state = 3)
    FROM (SELECT state, attempts, next_attempt_at > (SELECT clock_timestamp()) AS later
          FROM public.delivery_delivery) AS rows
"""
# Trace ids begin with their time, so the lowest is the oldest and its index gives it at once. What
# waits for its route (hold 4) or in quarantine (5) is not late; a release begins a new age.
OLDEST = """
    SELECT extract(epoch FROM clock_timestamp() - since)::float FROM (
        SELECT accepted_at AS since FROM public.delivery_message WHERE id = (
            SELECT message_id FROM public.delivery_delivery
            WHERE state < 3 AND released_at IS NULL AND NOT (state = 2 AND hold IN (4, 5))
            ORDER BY message_id LIMIT 1)
        UNION ALL
        SELECT min(released_at) FROM public.delivery_delivery WHERE state IN (0, 1)
    ) AS oldest
    WHERE since IS NOT NULL ORDER BY since LIMIT 1
"""
