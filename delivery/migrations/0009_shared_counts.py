from django.db import migrations, models

# Counts of the last minutes: not worth the write-ahead log, nor a place in a backup.
UNLOGGED = "ALTER TABLE public.delivery_sharedcount SET UNLOGGED"
LOGGED = "ALTER TABLE public.delivery_sharedcount SET LOGGED"


class Migration(migrations.Migration):
    dependencies = [("delivery", "0008_held_mail_and_our_fields")]

    operations = [
        migrations.CreateModel(
            name="Greylisting",
            fields=[
                ("key", models.BinaryField(primary_key=True, serialize=False)),
                ("first_at", models.DateTimeField()),
                ("passes", models.PositiveIntegerField(db_default=0)),
                ("expires_at", models.DateTimeField(db_index=True)),
            ],
        ),
        migrations.CreateModel(
            name="SharedCount",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "key",
                        "starts_at",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("key", models.BinaryField()),
                ("starts_at", models.DateTimeField()),
                (
                    "ends_at",
                    models.DateTimeField(help_text="From then on it matters to nobody."),
                ),
                ("count", models.PositiveIntegerField()),
                (
                    "is_over",
                    models.BooleanField(
                        db_default=False,
                        help_text="Over its limit: every edge wants to know.",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["ends_at"], name="shared_count_ends"),
                    models.Index(
                        condition=models.Q(("is_over", True)),
                        fields=["starts_at"],
                        name="shared_count_over",
                    ),
                ],
            },
        ),
        migrations.RunSQL(UNLOGGED, LOGGED),
    ]
