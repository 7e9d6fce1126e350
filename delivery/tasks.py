"""Celery's tasks of delivery: thin, and none of them carries mail."""

from celery import shared_task

from delivery.bell import TASK
from delivery.worker import wake_loop


@shared_task(name=TASK, ignore_result=True)
def wake() -> None:
    """The bell: the sending loop of this process looks into the queue."""
    wake_loop()
