"""How many leases of a delivery ran out in a row: a message that kills its workers is held."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = (("delivery", "0003_notices"),)

    operations = (
        migrations.AddField(
            model_name="delivery",
            name="leases_lost",
            field=models.PositiveSmallIntegerField(db_default=0),
        ),
    )
