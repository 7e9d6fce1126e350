"""Owners are also told that records of keys vanished: a word more for `DomainCheck.told`."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = (("tenants", "0004_pauses_and_erasable_audit"),)

    operations = (
        migrations.AlterField(
            "domaincheck",
            "told",
            models.CharField(
                max_length=10,
                choices=[("", "Nothing"), ("broken", "Broken"), ("keys gone", "Keys Gone")],
                default="",
                blank=True,
            ),
        ),
    )
