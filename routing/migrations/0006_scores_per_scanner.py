from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import migrations, models

# One number served all scanners: what was chosen holds for the second one too.
COPY = """
UPDATE routing_trustpreference SET spamd_add_fields_from = add_fields_from,
    spamd_quarantine_from = quarantine_from, spamd_refuse_from = refuse_from
"""
NAMES = ("add_fields_from", "quarantine_from", "refuse_from")
RSPAMD = {"add_fields_from": 6, "refuse_from": 15}
SPAMD = {"add_fields_from": 5, "refuse_from": 15}


def score(default=None, **options):
    return models.FloatField(
        null=True,
        blank=True,
        default=default,
        validators=[MinValueValidator(-100), MaxValueValidator(1000)],
        help_text="In the scanner's own units; empty: never.",
        **options,
    )


class Migration(migrations.Migration):
    """The columns of rspamd stay as they are, so that older code goes on with them."""

    dependencies = [("routing", "0005_hold_mode")]

    operations = [
        *(migrations.AlterField("trustpreference", name, score(db_column=name)) for name in NAMES),
        *(migrations.RenameField("trustpreference", name, f"rspamd_{name}") for name in NAMES),
        *(migrations.AddField("trustpreference", f"spamd_{name}", score()) for name in NAMES),
        migrations.RunSQL(COPY, migrations.RunSQL.noop),
        *(
            migrations.AlterField(
                "trustpreference",
                f"rspamd_{name}",
                score(RSPAMD.get(name), db_column=name),
            )
            for name in NAMES
        ),
        *(
            migrations.AlterField("trustpreference", f"spamd_{name}", score(SPAMD.get(name)))
            for name in NAMES
        ),
    ]
