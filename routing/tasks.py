"""Celery tasks of routing: thin, each calls one service."""

from celery import shared_task

from routing.services.proofs import check_due_claims
from tenants.context import close_idle_connections


@shared_task(name="routing.tasks.check_claims", ignore_result=True, expires=300)
def check_claims() -> None:
    """Look for the proofs that are due, of all tenants. Every minute by beat."""
    close_idle_connections()
    try:
        check_due_claims()
    finally:
        close_idle_connections()
