"""Housekeeping of accounts by beat: what is over, counts no more, or was answered long ago."""

import structlog
from celery import shared_task
from django.db import close_old_connections

from tenants.limits import sweep_tallies
from tenants.services.invitations import forget_settled
from tenants.services.signins import sweep_sessions

log = structlog.get_logger("tenants.housekeeping")


@shared_task(name="tenants.sweep_accounts", ignore_result=True, expires=3600)
def sweep_accounts() -> None:
    """Rows of the shared schema that are past their time; may run twice at once."""
    close_old_connections()
    try:
        log.info(
            "housekeeping.done",
            sessions=sweep_sessions(),
            tallies=sweep_tallies(),
            invitations=forget_settled(),
        )
    finally:
        close_old_connections()
