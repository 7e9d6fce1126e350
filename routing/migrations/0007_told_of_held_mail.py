from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("routing", "0006_scores_per_scanner")]

    operations = [
        migrations.AddField(
            "route",
            "held_told_at",
            models.DateTimeField(
                blank=True,
                editable=False,
                help_text="Owners heard that its held mail ends.",
                null=True,
            ),
        ),
    ]
