"""What workers and beat have to agree on, and the schedule."""

from typing import Any

from delivery.schedule import SCHEDULE as OF_MAIL
from tenants.schedule import SCHEDULE as OF_ACCOUNTS

_VALKEY = ("redis", "valkey", "unix")
_SCHEDULE: dict[str, dict[str, Any]] = {
    **OF_MAIL,
    **OF_ACCOUNTS,
    "check claims": {"task": "routing.tasks.check_claims", "schedule": 60.0},
    "check records": {"task": "routing.tasks.check_records", "schedule": 60.0},
    "purge trash": {"task": "routing.tasks.purge_trash", "schedule": 3600.0},
}


def options(broker_url: str) -> dict[str, Any]:
    """Celery's configuration with this broker."""
    return {
        "broker_url": broker_url,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_connection_timeout": 2,
        "result_backend": None,
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        "task_track_started": False,
        "task_default_queue": "celery",
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_acks_late": False,
        "worker_consumer": "mxax.celery_consumer:PatientConsumer",
        "worker_prefetch_multiplier": 1,
        "worker_send_task_events": False,
        "worker_enable_remote_control": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_proc_alive_timeout": 30,
        "event_queue_expires": 60,
        "enable_utc": True,
        "timezone": "UTC",
        "beat_schedule": _schedule(),
        **_of_broker(broker_url),
    }


def _schedule() -> dict[str, Any]:
    """What beat does; a run that nobody took in time is not made up for."""
    return {
        name: {**entry, "options": {"expires": entry["schedule"]}}
        for name, entry in _SCHEDULE.items()
    }


def _of_broker(broker_url: str) -> dict[str, Any]:
    if not broker_url.startswith(_VALKEY):
        return {
            "broker_transport_options": {"confirm_publish": True},
            "task_default_queue_type": "quorum",
        }
    # Valkey redelivers what a dead worker held: after two minutes, looked at every five seconds.
    transport = {
        "visibility_timeout": 120,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "socket_connect_timeout": 2,
        "socket_timeout": 20,
        "socket_keepalive": True,
        "health_check_interval": 25,
    }
    return {"broker_transport_options": transport}
