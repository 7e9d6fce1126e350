"""Beat: `celery -A mxax.beat beat` sends the names of tasks, and imports none of them.

Nor does it set up Django: with models and admin it would be twice as large (90 MB beside 43).
"""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mxax.settings")
os.environ.setdefault("MXAX_DATABASE_ROLE", "mxax_worker")

from django.conf import settings

from mxax.celery_options import options

app = Celery("mxax", fixups=())
app.conf.update(options(settings.CELERY_BROKER_URL))
