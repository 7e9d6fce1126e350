"""Cutting a tenant's audit from the old end, as far as his logging policy says.

No role at work may delete from an audit. The one way out is a function of the database that takes
entries from the old end only, all of them up to a moment at least 90 days ago, and gives the digest
of the last one. It is written into the chain as the anchor from which the rest follows
(`tenants.audit.anchor_of`): who deletes without writing it down leaves a chain that is broken.
"""

from datetime import datetime
from typing import Any, Final

from django.db import connection, transaction
from django.db.models import Min, QuerySet

from tenants.audit import CUT, THE_SERVICE, lock_chain, record_in_tenant
from tenants.context import open_schema, tenant_schema
from tenants.models import AuditEntryBase
from tenants.schema_models import log_policy, tenant_audit

SHORTEST_DAYS: Final = 90

# Whole days (UTC): an audit is cut, and the cut written down, once a day at most.
_BEFORE = (
    "SELECT date_trunc('day', clock_timestamp() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'"
    " - make_interval(days => %s)"
)


def cut_audit(tenant_id: int, *, dry_run: bool = False) -> int:
    """Remove (or count) what the tenant's audit need not keep any longer; gives entries."""
    with transaction.atomic(), tenant_schema(tenant_id):
        before = _before(_days())
        if dry_run or not _old(before).exists():
            return _old(before).count()
        lock_chain(open_schema())
        anchor = _old(before).order_by("-id").values_list("digest", flat=True)[0]
        new = {"removed": _old(before).count(), "before": before, "anchor": anchor}
        # Before anything goes: it follows from the last entry, which may be one that goes.
        record_in_tenant(CUT, "audit", actor=THE_SERVICE, new=new)
        return _cut(tenant_id, before, anchor)


def _days() -> int:
    policies: Any = log_policy()._default_manager.filter(domain=None)
    days = policies.values_list("audit_days", flat=True).first()
    return max(SHORTEST_DAYS, days or log_policy()().audit_days)  # type: ignore[attr-defined]


def _before(days: int) -> datetime:
    with connection.cursor() as cursor:
        cursor.execute(_BEFORE, [days])
        before: datetime = cursor.fetchone()[0]
    return before


def _old(before: datetime) -> QuerySet[AuditEntryBase]:
    """Entries in front of the first one that stays: never one out of the middle."""
    entries = tenant_audit()._base_manager
    first = entries.filter(at__gte=before).aggregate(pk=Min("pk"))["pk"]
    return entries.all() if first is None else entries.filter(pk__lt=first)


def _cut(tenant_id: int, before: datetime, anchor: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT removed, anchor FROM public.mxax_cut_audit(%s, %s)", [tenant_id, before]
        )
        removed, last = cursor.fetchone()
    if last != anchor:
        raise RuntimeError("the audit changed under its lock: nothing is cut")
    return int(removed)
