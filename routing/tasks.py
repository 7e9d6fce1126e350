"""Celery tasks of routing: thin, each calls one service."""

from celery import shared_task

from routing.services.checks import check_due_records
from routing.services.proofs import check_due_claims
from routing.services.trash import purge_all
from tenants.context import close_idle_connections


@shared_task(name="routing.tasks.check_claims", ignore_result=True, expires=300)
def check_claims() -> None:
    """Look for the proofs that are due, of all tenants. Every minute by beat."""
    close_idle_connections()
    try:
        check_due_claims()
    finally:
        close_idle_connections()


@shared_task(name="routing.tasks.check_records", ignore_result=True, expires=60)
def check_records() -> None:
    """Look at what domains publish, those that are due, of all tenants. Every minute by beat."""
    close_idle_connections()
    try:
        check_due_records()
    finally:
        close_idle_connections()


@shared_task(name="routing.tasks.purge_trash", ignore_result=True, expires=3600)
def purge_trash() -> None:
    """Remove routes that were in the trash for thirty days. Every hour by beat."""
    close_idle_connections()
    try:
        purge_all()
    finally:
        close_idle_connections()
