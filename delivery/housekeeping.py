"""Housekeeping by beat: thin tasks, each of one service. Mail flows without any of them.

A run that is still going when the next is due makes that one end at once (advisory lock), so that a
slow sweep never piles up.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import structlog
from celery import shared_task
from django.db import close_old_connections, connection

from delivery import holds, pulse, quarantine_digest, queue_services, retention, sweeps

log = structlog.get_logger("delivery.housekeeping")


@shared_task(name="delivery.sweep_queue", ignore_result=True, expires=600)
def sweep_queue() -> None:
    """Content nobody needs, messages without deliveries, mail held for as long as it may be."""
    _alone("sweep_queue", _sweep_queue)


@shared_task(name="delivery.sweep_old_rows", ignore_result=True, expires=3600)
def sweep_old_rows() -> None:
    """Rows of the shared tables that are past their time."""
    _alone("sweep_old_rows", sweeps.sweep_old_rows)


@shared_task(name="delivery.feel_pulse", ignore_result=True, expires=60)
def feel_pulse() -> None:
    """How the service does, for the status page."""
    close_old_connections()
    try:
        pulse.feel_pulse()
    finally:
        close_old_connections()


@shared_task(name="delivery.tell_of_quarantine", ignore_result=True, expires=600)
def tell_of_quarantine() -> None:
    """Once a day to each tenant who wants it: what came into his quarantine."""
    _alone("tell_of_quarantine", lambda: {"tenants": quarantine_digest.send_digests()})


@shared_task(name="delivery.apply_retention", ignore_result=True, expires=900)
def apply_retention() -> None:
    """Every tenant's log down to what his policy keeps."""
    _alone("apply_retention", _apply_retention)


def _apply_retention() -> dict[str, int]:
    """Rows by kind, over all tenants."""
    total: Counter[str] = Counter()
    for rows in retention.apply_retention().values():
        total.update(rows)
    return dict(total)


_QUEUE_SWEEPS: dict[str, Callable[[], int]] = {
    "endless_leases": sweeps.sweep_endless_leases,
    "failed_content": sweeps.sweep_failed_content,
    "orphan_content": sweeps.sweep_orphan_content,
    "finished_messages": sweeps.sweep_finished_messages,
    "released_for_routes": holds.release_for_routes_on,
    "told_of_ends": holds.tell_of_ends,
    "expired_holds": queue_services.delete_expired,
}


def _sweep_queue() -> dict[str, int]:
    """How much each of them moved; one that fails keeps none of the others from its work."""
    moved = {}
    for what, sweep in _QUEUE_SWEEPS.items():
        try:
            moved[what] = sweep()
        except Exception:
            log.exception("housekeeping.sweep_failed", sweep=what)
    return moved


def _alone(name: str, work: Callable[[], dict[str, Any]]) -> None:
    """Do the work unless another process is at it; the lock ends with the connection at worst."""
    close_old_connections()
    try:
        if _lock("pg_try_advisory_lock", name):
            try:
                removed = {what: count for what, count in work().items() if count}
                log.info("housekeeping.done", task=name, **removed)
            finally:
                _lock("pg_advisory_unlock", name)
    finally:
        close_old_connections()


def _lock(function: str, name: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(hashtextextended(%s, 0))", [f"mxax.{name}"])
        return bool(cursor.fetchone()[0])
