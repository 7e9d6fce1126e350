"""Who paused a tenant, entries of the platform's audit that can be erased, and the cut of an audit.

The platform's entries are chained anew: what may be erased has a digest of its own from now on.
"""

from typing import Any

import structlog
from django.db import migrations, models

log = structlog.get_logger("tenants.migrations")

CUT = """
CREATE FUNCTION public.mxax_cut_audit(
    tenant bigint, before timestamptz, OUT removed bigint, OUT anchor text
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    audit text := format('%I.routing_auditentry', 't' || tenant);
    last_gone bigint;
BEGIN
    IF before > clock_timestamp() - interval '90 days' THEN
        RAISE EXCEPTION 'an audit keeps at least 90 days' USING ERRCODE = 'insufficient_privilege';
    END IF;
    EXECUTE format(
        'SELECT id, digest FROM %s WHERE id < coalesce((SELECT min(id) FROM %s WHERE at >= $1),'
        ' 9223372036854775807) ORDER BY id DESC LIMIT 1', audit, audit
    ) INTO last_gone, anchor USING before;
    EXECUTE format('DELETE FROM %s WHERE id <= $1', audit) USING coalesce(last_gone, 0);
    GET DIAGNOSTICS removed = ROW_COUNT;
END $$;
REVOKE ALL ON FUNCTION public.mxax_cut_audit(bigint, timestamptz) FROM PUBLIC;
"""


def chain_anew(apps: Any, schema_editor: Any) -> None:
    """Give each entry a salt and a digest of its content, and the chain the digests of that."""
    import secrets

    from tenants.audit import SALT_OCTETS, START, content_digest_of, digest_of

    entry_model = apps.get_model("tenants", "PlatformAuditEntry")
    before = previous = START
    for entry in entry_model.objects.order_by("id").iterator(chunk_size=500):
        if entry.digest != old_digest_of(entry, before):
            log.error("audit.was_broken", entry_id=entry.pk)  # seen here for the last time
        before = entry.digest
        entry.salt = secrets.token_hex(SALT_OCTETS)
        entry.content_digest = content_digest_of(entry)
        previous = entry.digest = digest_of(entry, previous)
        entry.save(update_fields=["salt", "content_digest", "digest"])


def old_digest_of(entry: Any, previous: str) -> str:
    """The digest as it was before this migration."""
    import hashlib
    import json
    from datetime import UTC

    from django.core.serializers.json import DjangoJSONEncoder

    covered = [
        previous,
        entry.at.astimezone(UTC).isoformat(timespec="microseconds"),
        *(entry.actor_id, entry.actor, entry.client_ip),
        *(entry.action, entry.subject, entry.tenant_slug),
        *(entry.old, entry.new),
    ]
    text = json.dumps(covered, cls=DjangoJSONEncoder, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


class Migration(migrations.Migration):
    dependencies = (("tenants", "0003_people_sign_in_and_checks"),)

    operations = (
        migrations.AddField(
            "tenant",
            "paused_by_owner",
            models.BooleanField(
                default=False,
                db_default=False,
                help_text="Suspended by one of its owners, who may resume it; not by an operator.",
            ),
        ),
        migrations.AddField(
            "platformauditentry",
            "salt",
            models.CharField(
                max_length=32, blank=True, default="", db_default="", help_text="Empty once erased."
            ),
        ),
        migrations.AddField(
            "platformauditentry",
            "content_digest",
            models.CharField(max_length=64, blank=True, default="", db_default=""),
        ),
        migrations.AlterField(
            "platformauditentry",
            "tenant_slug",
            models.CharField(
                max_length=40,
                blank=True,
                help_text="No key: it outlives the tenant. The schema's name (t17) once that is"
                " erased.",
            ),
        ),
        migrations.RunPython(chain_anew, migrations.RunPython.noop),
        migrations.RunSQL(
            CUT, "DROP FUNCTION public.mxax_cut_audit(bigint, timestamptz)"
        ),
    )
