from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("routing", "0004_trust")]

    operations = [
        migrations.AlterField(
            "route",
            "mode",
            models.CharField(
                choices=[
                    ("on", "on"),
                    ("refuse", "paused: refuse (550)"),
                    ("defer", "paused: ask to try later (450)"),
                    ("drop", "paused: accept and drop (250)"),
                    ("hold", "paused: accept and hold (250)"),
                ],
                default="on",
                max_length=10,
            ),
        ),
    ]
