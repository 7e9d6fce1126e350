from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("delivery", "0009_shared_counts")]

    operations = [
        migrations.AddField("delivery", "released_at", models.DateTimeField(null=True)),
        migrations.CreateModel(
            name="QuarantineDigest",
            fields=[
                ("tenant_id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("sent_at", models.DateTimeField()),
                ("last_delivery", models.BigIntegerField(default=0)),
            ],
        ),
        migrations.AddIndex(
            "delivery",
            models.Index(
                condition=models.Q(("state", 2)),
                fields=["tenant_id", "hold", "id"],
                name="delivery_held",
            ),
        ),
        migrations.AddIndex(
            "delivery",
            models.Index(
                condition=models.Q(("held_until__isnull", False), ("state", 2)),
                fields=["held_until"],
                name="delivery_held_until",
            ),
        ),
    ]
