from django.db import migrations

# Before it was written down who holds a delivery, an operator was the one to ask.
NAME_THE_HOLDER = """
UPDATE public.delivery_delivery SET hold = 1 WHERE state = 2 AND hold = 0
"""


class Migration(migrations.Migration):
    dependencies = [("delivery", "0010_released_mail_and_digests")]

    operations = [migrations.RunSQL(NAME_THE_HOLDER, migrations.RunSQL.noop)]
