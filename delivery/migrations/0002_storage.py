"""Storage of a busy queue: sealed octets do not compress, and rows live for seconds."""

from django.db import migrations

BUSY = ("delivery_message", "delivery_content", "delivery_delivery", "delivery_deliveryevent")


class Migration(migrations.Migration):
    dependencies = (("delivery", "0001_initial"),)

    operations = (
        migrations.RunSQL(
            "ALTER TABLE delivery_content ALTER COLUMN octets SET STORAGE EXTERNAL",
            "ALTER TABLE delivery_content ALTER COLUMN octets SET STORAGE EXTENDED",
        ),
        *(
            migrations.RunSQL(
                f"ALTER TABLE {table} SET (autovacuum_vacuum_scale_factor = 0.02,"
                " autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0)",
                f"ALTER TABLE {table} RESET (autovacuum_vacuum_scale_factor,"
                " autovacuum_vacuum_threshold, autovacuum_vacuum_cost_delay)",
            )
            for table in BUSY
        ),
    )
