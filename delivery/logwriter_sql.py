"""The statements of the log writer: one moves a whole batch inside PostgreSQL.

The state of a message in the tenant's log is the most telling of its deliveries' last outcomes:
one failed recipient shows before three delivered ones, and a recipient nobody has tried yet keeps
the message "accepted".
"""

import re

_SCHEMA = re.compile(r"t[0-9]+")

# A loose index scan: one probe of the index per tenant that has events, whatever their number.
WAITING = """
    WITH RECURSIVE waiting (tenant_id) AS (
        (SELECT tenant_id FROM public.delivery_deliveryevent
         WHERE tenant_id IS NOT NULL ORDER BY tenant_id LIMIT 1)
        UNION ALL
        SELECT (SELECT later.tenant_id FROM public.delivery_deliveryevent later
                WHERE later.tenant_id > waiting.tenant_id ORDER BY later.tenant_id LIMIT 1)
        FROM waiting WHERE waiting.tenant_id IS NOT NULL
    )
    SELECT tenant_id FROM waiting WHERE tenant_id IS NOT NULL
    UNION ALL
    (SELECT NULL FROM public.delivery_deliveryevent WHERE tenant_id IS NULL LIMIT 1)
"""

_TAKE = """
    {name} AS (
        DELETE FROM public.delivery_deliveryevent
        WHERE id IN (
            SELECT id FROM public.delivery_deliveryevent
            WHERE {whose} ORDER BY id LIMIT %(batch)s FOR UPDATE SKIP LOCKED
        )
        RETURNING id, message_id, kind, at, data
    )"""
_RECIPIENT = "left(coalesce(data->>'recipient', data->'recipients'->0->>0, ''), 320)"

MOVE_SERVICE = f"""
    WITH {_TAKE.format(name="taken", whose="tenant_id IS NULL")}, logged AS (
        INSERT INTO public.delivery_serviceevent (id, message_id, kind, at, recipient, data)
        SELECT id, message_id, kind, at, {_RECIPIENT}, data FROM taken
        ON CONFLICT (id) DO NOTHING
    )
    SELECT count(*) FROM taken
"""

_OF_TENANT = "tenant_id = %(tenant)s"
DISCARD = f"WITH {_TAKE.format(name='taken', whose=_OF_TENANT)} SELECT count(*) FROM taken"

# What each event says of one delivery; the highest rank of the last words is the message's state.
_STATES = """
    (VALUES ('accepted', 40), ('refused', 10), ('dropped', 15), ('returned', 30), ('held', 50),
            ('released', 40), ('deleted', 25), ('delivered', 20), ('deferred', 45), ('failed', 60)
    ) AS ranked (word, rank)"""

# What a message can be found by (LoggedName): only these kinds bring names that are not known yet.
_NAMED = """
    named AS MATERIALIZED (
        SELECT message_id, array_agg(DISTINCT name) AS names
        FROM (
            SELECT message_id, 'to:' AS side, left(pair->>0, 320) AS address
            FROM taken, jsonb_array_elements(data->'recipients') AS pair WHERE kind = 'accepted'
            UNION ALL
            SELECT message_id, side, left(address, 320)
            FROM taken, LATERAL (VALUES
                ('to:', data->>'recipient'),
                ('from:', data->>'reverse_path'),
                ('from:', data->>'author')) AS said (side, address)
            WHERE kind IN ('accepted', 'refused', 'dropped')
        ) AS found, LATERAL (VALUES
            (lower(side || address)),
            (CASE WHEN strpos(address, '@') > 0
             THEN lower(side || '@' || split_part(address, '@', -1)) END)) AS parts (name)
        WHERE address <> '' AND name IS NOT NULL
        GROUP BY message_id
    )"""

_MOVE = """
    WITH {take}, taken AS (
        SELECT * FROM moved WHERE kind <> 'counted'
    ), {named}, findable AS (
        INSERT INTO {schema}.messagelog_loggedname (name, trace_id)
        SELECT unnest(names), message_id FROM named
        ON CONFLICT DO NOTHING
    ), logged AS (
        INSERT INTO {schema}.messagelog_loggedevent (id, trace_id, kind, at, recipient, data)
        SELECT id, message_id, kind, at, {recipient}, data FROM taken
        ON CONFLICT (id) DO NOTHING
        RETURNING id
    ), first AS (
        SELECT DISTINCT ON (message_id) message_id, at, data
        FROM taken ORDER BY message_id, (kind = 'accepted') DESC, id
    ), news AS (
        SELECT message_id, max(at) AS at, bool_or(kind = 'accepted') AS whole
        FROM taken GROUP BY message_id
    ), known AS (
        SELECT id, message_id, kind, data FROM taken
        UNION ALL
        SELECT old.id, old.trace_id, old.kind, old.data
        FROM news JOIN {schema}.messagelog_loggedevent old ON old.trace_id = news.message_id
        WHERE NOT news.whole
    ), said AS (
        SELECT known.id, message_id, data,
               pair.value->>0 AS recipient, pair.value->>1 AS destination,
               CASE WHEN kind = 'attempted' THEN data->>'outcome' ELSE kind END AS word
        FROM known, jsonb_array_elements(
            CASE WHEN kind = 'accepted' AND data ? 'recipients' THEN data->'recipients'
            ELSE jsonb_build_array(jsonb_build_array(data->>'recipient', data->>'destination')) END
        ) AS pair
    ), last AS (
        SELECT DISTINCT ON (message_id, recipient, destination) message_id, id, word, data
        FROM said ORDER BY message_id, recipient, destination, id DESC
    ), standing AS (
        SELECT DISTINCT ON (message_id) message_id, word AS state,
               CASE WHEN word IN ('delivered', 'accepted', 'released') THEN ''
               ELSE coalesce(data->>'reason', data->>'reply', '') END AS reason
        FROM last LEFT JOIN {states} USING (word)
        ORDER BY message_id, rank DESC NULLS LAST, id DESC
    ), messages AS (
        INSERT INTO {schema}.messagelog_loggedmessage AS known (
            trace_id, at, direction, state, reverse_path, recipient, author, subject, client_ip,
            size_octets, reason, changed_at, names)
        SELECT message_id, first.at, left(coalesce(data->>'direction', ''), 8),
               left(replace(coalesce(state, ''), 'released', 'accepted'), 10),
               left(coalesce(data->>'reverse_path', ''), 320), {recipient},
               left(coalesce(data->>'author', ''), 320), coalesce(data->>'subject', ''),
               left(coalesce(data->>'client_ip', ''), 45),
               coalesce((data->>'size_octets')::int, 0), reason, news.at,
               coalesce(named.names, ARRAY[]::text[])
        FROM first JOIN news USING (message_id) JOIN standing USING (message_id)
        LEFT JOIN named USING (message_id)
        ON CONFLICT (trace_id) DO UPDATE SET
            state = excluded.state, reason = excluded.reason, changed_at = excluded.changed_at,
            direction = coalesce(nullif(excluded.direction, ''), known.direction),
            author = coalesce(nullif(excluded.author, ''), known.author),
            subject = coalesce(nullif(excluded.subject, ''), known.subject),
            size_octets = greatest(excluded.size_octets, known.size_octets),
            -- Of a transaction whose first recipient was refused, and others were not.
            recipient = CASE WHEN known.state = 'refused' AND excluded.state <> 'refused'
                        THEN excluded.recipient ELSE known.recipient END,
            names = CASE WHEN known.names @> excluded.names THEN known.names
                    ELSE ARRAY(SELECT DISTINCT unnest(known.names || excluded.names)) END
    ), {counts}
    SELECT (SELECT count(*) FROM moved), (SELECT array_agg(DISTINCT route_id) FROM failures)
"""

# Route 0 is the whole tenant. Only what was not logged before is counted, so that moving the same
# event twice counts once. Mail of our own making is none of the tenant's.
_COUNTS = """
    counted AS (
        SELECT id, at, (at AT TIME ZONE 'UTC')::date AS day, data->'routes' AS routes,
               CASE WHEN kind IN ('attempted', 'counted', 'returned') THEN data->>'outcome'
               ELSE kind END AS word, data ? 'about_message' AS about_message
        FROM moved LEFT JOIN logged USING (id)
        WHERE (logged.id IS NOT NULL OR kind = 'counted')
            AND data->>'direction' IS DISTINCT FROM 'notice'
    ), of_route AS (
        SELECT id, at, day, word, about_message, 0::bigint AS route_id FROM counted
        UNION ALL
        SELECT id, at, day, word, about_message, route::bigint
        FROM counted, jsonb_array_elements_text(routes) AS route
    ), days AS (
        INSERT INTO {schema}.messagelog_routeday AS known (
            route_id, day, accepted, delivered, deferred, failed, refused, last_at)
        SELECT route_id, day, count(*) FILTER (WHERE word = 'accepted'),
               count(*) FILTER (WHERE word = 'delivered'),
               count(*) FILTER (WHERE word = 'deferred'),
               count(*) FILTER (WHERE word = 'failed'),
               count(*) FILTER (WHERE word = 'refused'),
               max(at) FILTER (WHERE word = 'accepted')
        FROM of_route
        WHERE word IN ('accepted', 'delivered', 'deferred', 'failed', 'refused')
        GROUP BY route_id, day ORDER BY route_id, day
        ON CONFLICT (route_id, day) DO UPDATE SET
            accepted = known.accepted + excluded.accepted,
            delivered = known.delivered + excluded.delivered,
            deferred = known.deferred + excluded.deferred,
            failed = known.failed + excluded.failed,
            refused = known.refused + excluded.refused,
            last_at = greatest(known.last_at, excluded.last_at)
    ), failures AS (
        INSERT INTO {schema}.messagelog_routefailure (event_id, route_id, at)
        SELECT id, route_id, at FROM of_route
        WHERE word = 'failed' AND route_id <> 0 AND NOT about_message
        ON CONFLICT (event_id) DO NOTHING
        RETURNING route_id
    )"""


def move_statement(schema: str) -> str:
    """The statement that carries one batch of one tenant into his schema (`t17`).

    It gives how many events it took, and the routes that something failed on (NULL for none).
    """
    if not _SCHEMA.fullmatch(schema):
        raise ValueError(f"not a tenant's schema: {schema!r}")
    return _MOVE.format(
        take=_TAKE.format(name="moved", whose=_OF_TENANT),
        named=_NAMED,
        schema=f'"{schema}"',
        recipient=_RECIPIENT,
        states=_STATES,
        counts=_COUNTS.format(schema=f'"{schema}"'),
    )
