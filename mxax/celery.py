"""Celery: the bell of the sending loops, and housekeeping. The queue itself is in PostgreSQL.

    celery -A mxax worker -c N      N processes, a sending loop in each (delivery/worker.py)
    celery -A mxax beat             housekeeping, at the times below

No results, no ETA, no Celery retries: what must happen later stands in the database. A broker that
is away or wiped costs nothing but the wait for the loops' own timers.
"""

import os

from celery import Celery, signals

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mxax.settings")
os.environ.setdefault("MXAX_DATABASE_ROLE", "mxax_worker")

from django.conf import settings

app = Celery("mxax")
app.conf.update(
    broker_url=settings.CELERY_BROKER_URL,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_connection_timeout=2,
    result_backend=None,
    task_ignore_result=True,
    task_store_errors_even_if_ignored=False,
    task_track_started=False,
    task_default_queue="celery",
    task_serializer="json",
    accept_content=["json"],
    task_acks_late=False,
    worker_consumer="mxax.celery_consumer:PatientConsumer",
    worker_prefetch_multiplier=1,
    worker_send_task_events=False,
    worker_enable_remote_control=False,
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    worker_proc_alive_timeout=30,
    event_queue_expires=60,
    enable_utc=True,
    timezone="UTC",
)

if settings.CELERY_BROKER_URL.startswith(("redis", "valkey", "unix")):
    # Valkey redelivers what a dead worker held: after two minutes, looked at every five seconds.
    app.conf.broker_transport_options = {
        "visibility_timeout": 120,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "socket_connect_timeout": 2,
        "socket_timeout": 20,
        "socket_keepalive": True,
        "health_check_interval": 25,
    }
else:
    app.conf.broker_transport_options = {"confirm_publish": True}
    app.conf.task_default_queue_type = "quorum"

app.autodiscover_tasks()
app.autodiscover_tasks(related_name="housekeeping")


@app.on_after_finalize.connect
def set_schedule(sender: Celery, **_: object) -> None:
    """What beat does; a run that nobody took in time is not made up for."""
    from delivery.housekeeping import SCHEDULE
    from tenants.housekeeping import SCHEDULE as OF_ACCOUNTS

    sender.conf.beat_schedule = {
        **{
            name: {**entry, "options": {"expires": entry["schedule"]}}
            for name, entry in (SCHEDULE | OF_ACCOUNTS).items()
        },
        "check claims": {
            "task": "routing.tasks.check_claims",
            "schedule": 60.0,
            "options": {"expires": 60.0},
        },
        "check records": {
            "task": "routing.tasks.check_records",
            "schedule": 60.0,
            "options": {"expires": 60.0},
        },
        "purge trash": {
            "task": "routing.tasks.purge_trash",
            "schedule": 3600.0,
            "options": {"expires": 3600.0},
        },
    }


@signals.task_failure.connect
def report_failure(sender: object = None, exception: object = None, **_: object) -> None:
    """One error line for each task that failed; `NoTenant` is an alert of its own."""
    import structlog

    kind = type(exception).__name__
    event = "task.refused" if kind == "NoTenant" else "task.failed"
    structlog.get_logger().error(event, task=getattr(sender, "name", ""), error=str(exception))
