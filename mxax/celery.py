"""Celery: the bell of the sending loops, and housekeeping. The queue itself is in PostgreSQL.

    celery -A mxax worker -c N      N processes, a sending loop in each (delivery/worker.py)
    celery -A mxax.beat beat        asks for housekeeping (mxax/beat.py)

No results, no ETA, no Celery retries: what must happen later stands in the database. A broker that
is away or wiped costs nothing but the wait for the loops' own timers.
"""

import os

from celery import Celery, signals

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mxax.settings")
os.environ.setdefault("MXAX_DATABASE_ROLE", "mxax_worker")

from django.conf import settings

from mxax.celery_options import options

app = Celery("mxax")
app.conf.update(options(settings.CELERY_BROKER_URL))

app.autodiscover_tasks()
app.autodiscover_tasks(related_name="housekeeping")


@signals.task_failure.connect
def report_failure(sender: object = None, exception: object = None, **_: object) -> None:
    """One error line for each task that failed; `NoTenant` is an alert of its own."""
    import structlog

    kind = type(exception).__name__
    event = "task.refused" if kind == "NoTenant" else "task.failed"
    structlog.get_logger().error(event, task=getattr(sender, "name", ""), error=str(exception))
