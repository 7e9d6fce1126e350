"""Retention: a tenant's log lives as long as his policy says, and then it is gone.

A domain's own policy governs rows of that domain's recipients; the tenant's governs the others.
Hashed recipients tell no domain, so the tenant's own policy is what governs them.

| days of the policy | govern |
|---|---|
| refused_days | refusals |
| attempt_days | events of attempts |
| message_days | messages and all their other events; failed deliveries in the queue |
| content_days | content kept of mail that failed (level "content" only) |
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from django.db import DatabaseError, connection

from delivery.sweeps import delete_in_batches
from mail.events import EventKind
from tenants.context import public_schema, tenant_schema
from tenants.models import Tenant
from tenants.schema_models import log_policy

log = structlog.get_logger("delivery.retention")

_REFUSED = ("refused",)
_ATTEMPTED = ("attempted",)
_OTHERS = tuple(
    kind.value for kind in EventKind if kind not in (EventKind.REFUSED, EventKind.ATTEMPTED)
)
_CUTOFF = "(SELECT clock_timestamp()) - make_interval(days => {days})"
# The shortest time bounds the index scan; the exact one is looked up for what it finds.
_OLD = f"at < {_CUTOFF.format(days='%(shortest)s')} AND at < " + _CUTOFF.format(
    days="coalesce((SELECT own.days FROM unnest(%(domains)s::text[], %(days)s::int[])"
    " AS own (domain, days)"
    " WHERE right(lower(recipient), length(own.domain) + 1) = '@' || own.domain LIMIT 1),"
    " %(otherwise)s)"
)
_FAILED = "tenant_id = %(tenant)s AND state = 3 AND finished_at < " + _CUTOFF.format(
    days="%(otherwise)s"
)
_FAILED_CONTENT = f"""tenant_id = %(tenant)s AND message_id IN (
    SELECT message_id FROM public.delivery_delivery WHERE {_FAILED}) AND NOT EXISTS (
    SELECT FROM public.delivery_delivery open
    WHERE open.message_id = delivery_content.message_id AND open.state <> 3)"""


@dataclass(frozen=True, slots=True)
class Days:
    """One kind of days of a tenant: his own, and those of domains with a policy of theirs."""

    otherwise: int
    domains: tuple[str, ...] = ()
    days: tuple[int, ...] = ()

    def values(self, **more: Any) -> dict[str, Any]:
        return {
            "otherwise": self.otherwise,
            "shortest": min((self.otherwise, *self.days)),
            "domains": list(self.domains),
            "days": list(self.days),
            **more,
        }


@dataclass(frozen=True, slots=True)
class Sweep:
    """One condition on one table."""

    table: str
    old: str
    values: dict[str, Any]


def apply_retention(*, dry_run: bool = False) -> dict[str, int]:
    """Apply every tenant's retention; gives rows by slug. A tenant that fails waits alone."""
    with public_schema():
        tenants = list(Tenant.objects.exclude(schema_name="public").values_list("pk", "slug"))
    removed = {}
    for tenant_id, slug in tenants:
        try:
            removed[slug] = apply_to_tenant(tenant_id, dry_run=dry_run)
        except DatabaseError as error:
            cause = type(error.__cause__ or error).__name__
            log.warning("retention.tenant_waits", tenant_id=tenant_id, reason=cause)
    return removed


def apply_to_tenant(tenant_id: int, *, dry_run: bool = False) -> int:
    """Remove what one tenant's policy no longer keeps (or count it); gives rows."""
    with tenant_schema(tenant_id):
        count = _count if dry_run else _delete
        return sum(count(sweep) for sweep in _sweeps(tenant_id))


def _delete(sweep: Sweep) -> int:
    return delete_in_batches(sweep.table, sweep.old, sweep.values)


def _count(sweep: Sweep) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {sweep.table} WHERE {sweep.old}", sweep.values)
        return int(cursor.fetchone()[0])


def _sweeps(tenant_id: int) -> Iterator[Sweep]:
    policies = list(log_policy()._default_manager.select_related("domain"))
    messages = _days(policies, "message_days")
    refused = _days(policies, "refused_days")
    kinds = {_REFUSED: refused, _ATTEMPTED: _days(policies, "attempt_days"), _OTHERS: messages}
    for names, days in kinds.items():
        old = f"kind = ANY(%(kinds)s) AND {_OLD}"
        yield Sweep("messagelog_loggedevent", old, days.values(kinds=list(names)))
    yield Sweep("messagelog_loggedmessage", f"state = 'refused' AND {_OLD}", refused.values())
    yield Sweep("messagelog_loggedmessage", f"state <> 'refused' AND {_OLD}", messages.values())
    content = _days(policies, "content_days").values(tenant=tenant_id)
    yield Sweep("public.delivery_content", _FAILED_CONTENT, content)
    yield Sweep("public.delivery_delivery", _FAILED, messages.values(tenant=tenant_id))


def _days(policies: Sequence[Any], name: str) -> Days:
    """The days of this name; a tenant without policy has the model's defaults."""
    own = {p.domain.name: getattr(p, name) for p in policies if p.domain is not None}
    default = next((p for p in policies if p.domain is None), None)
    return Days(getattr(default or log_policy()(), name), tuple(own), tuple(own.values()))
