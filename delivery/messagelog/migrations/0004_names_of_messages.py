"""Messages that were logged before names were get theirs, out of their events."""

from django.db import migrations

_FILL = """
    INSERT INTO messagelog_loggedname (name, trace_id)
    SELECT DISTINCT lower(side || part), trace_id
    FROM (
        SELECT trace_id, 'to:' AS side, pair->>0 AS address
        FROM messagelog_loggedevent, jsonb_array_elements(data->'recipients') AS pair
        WHERE kind = 'accepted'
        UNION ALL
        SELECT trace_id, side, address
        FROM messagelog_loggedevent, LATERAL (VALUES
            ('to:', data->>'recipient'),
            ('from:', data->>'reverse_path'),
            ('from:', data->>'author')) AS said (side, address)
        WHERE kind IN ('accepted', 'refused', 'dropped')
    ) AS found, LATERAL (VALUES
        (left(address, 320)),
        (CASE WHEN strpos(address, '@') > 0 THEN '@' || split_part(left(address, 320), '@', -1) END)
    ) AS parts (part)
    WHERE part <> ''
    ON CONFLICT DO NOTHING;
    UPDATE messagelog_loggedmessage message SET names = found.names
    FROM (SELECT trace_id, array_agg(name ORDER BY name) AS names
          FROM messagelog_loggedname GROUP BY trace_id) AS found
    WHERE message.trace_id = found.trace_id
"""


class Migration(migrations.Migration):
    dependencies = [("messagelog", "0003_search")]
    operations = [migrations.RunSQL(_FILL, migrations.RunSQL.noop)]
