"""Retention: a tenant's log lives as long as his policy says, and then it is gone.

A domain's own policy governs what names that domain as a recipient's; the tenant's governs the
rest. What names recipients of several domains lives as long as the strictest of them says. Hashed
recipients tell no domain, so the tenant's own policy is what governs them.

| days of the policy | govern |
|---|---|
| refused_days | refusals, exact ones and those that were only counted |
| attempt_days | events of attempts |
| message_days | messages and all their other events; failed deliveries in the queue |
| content_days | content kept of mail that failed (level "content" only) |
| audit_days | the tenant's audit (tenants/audit_cut.py) |

Each sweep walks along an index from the oldest row to the first that nobody's days have ended for,
in batches, one transaction each; so a pass over a log where nothing is old costs a few probes.
Where domains have days of their own, rows that some keep longer stay between: then a pass walks
only through those that came of age since the last one (`delivery/retention_windows.py`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from django.db import DatabaseError, connection, transaction

from delivery import retention_sql as sql
from delivery.retention_figures import LAG
from delivery.retention_windows import Window, seen_to_until, windows_of
from delivery.sweeps import delete_in_batches
from mail.events import EventKind
from mail.facts import LogLevel
from tenants.audit_cut import cut_audit
from tenants.context import public_schema, tenant_schema
from tenants.models import Tenant
from tenants.schema_models import log_policy

log = structlog.get_logger("delivery.retention")

BATCH = 2000
LAG_SECONDS = 3600
"""What is past its days for longer than this is late; a pass is made every quarter of an hour."""

REFUSED, ATTEMPTS, MESSAGES, CONTENT, AUDIT = "refused", "attempts", "messages", "content", "audit"
COUNTS_DAYS = 400
_OLD_COUNTS = "day < (SELECT clock_timestamp())::date - %(days)s"
KINDS = (MESSAGES, REFUSED, ATTEMPTS, CONTENT, AUDIT)
_DAYS_OF = {
    MESSAGES: "message_days",
    REFUSED: "refused_days",
    ATTEMPTS: "attempt_days",
    CONTENT: "content_days",
}
_WALK_OF_EVENT = {EventKind.ACCEPTED: sql.ACCEPTED, EventKind.REFUSED: sql.REFUSED_EVENTS}
_KIND_OF_EVENT = {EventKind.REFUSED: REFUSED, EventKind.ATTEMPTED: ATTEMPTS}


@dataclass(frozen=True, slots=True)
class Days:
    """One kind of days of a tenant: his own, and those of domains with a policy of theirs."""

    otherwise: int
    own: dict[str, int]

    @property
    def lengths(self) -> tuple[int, ...]:
        """The different days, the fewest first."""
        return tuple(sorted({self.otherwise, *self.own.values()}))

    def values(self) -> dict[str, Any]:
        return {
            "otherwise": self.otherwise,
            "own": sql.json_of(self.own),
            "shortest": self.lengths[0],
        }


@dataclass(frozen=True, slots=True)
class Terms:
    """How long a tenant keeps what: the days by kind."""

    days: dict[str, Days]

    @classmethod
    def of(cls, policies: "list[Any]") -> "Terms":
        """The terms of these LogPolicies; a tenant without one has the model's defaults."""
        default = next((one for one in policies if one.domain is None), None) or log_policy()()
        own = [one for one in policies if one.domain is not None]
        return cls(
            {
                kind: Days(
                    getattr(default, name), {one.domain.name: getattr(one, name) for one in own}
                )
                for kind, name in _DAYS_OF.items()
            }
        )


def current_terms() -> Terms:
    """The terms of the tenant that is open."""
    return Terms.of(list(log_policy()._default_manager.select_related("domain")))


@dataclass(frozen=True, slots=True)
class Sweep:
    """One condition on one table, and what kind of record is in it."""

    kind: str
    rows: sql.Walk | sql.Plain
    values: dict[str, Any]
    lengths: tuple[int, ...] = ()
    """Of a walk: the days that end the life of rows in it."""


def apply_retention(*, dry_run: bool = False) -> dict[str, dict[str, int]]:
    """Apply every tenant's retention; gives rows by slug and kind. One that fails waits alone."""
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


def apply_to_tenant(tenant_id: int, *, dry_run: bool = False) -> dict[str, int]:
    """Remove what one tenant's policy no longer keeps (or count it); gives rows by kind."""
    rows = dict.fromkeys(KINDS, 0)
    with tenant_schema(tenant_id):
        since = None if dry_run else seen_to_until(tenant_id)
        for sweep in sweeps_of(tenant_id, current_terms()):
            rows[sweep.kind] += _count(sweep) if dry_run else _delete(sweep, since)
        rows[AUDIT] = cut_audit(tenant_id, dry_run=dry_run)
        if not dry_run:
            # Counts name nobody, and no policy asks for their end.
            delete_in_batches("messagelog_routeday", _OLD_COUNTS, {"days": COUNTS_DAYS})
            _note_run(tenant_id, sum(rows.values()))
    return rows


def sweeps_of(tenant_id: int, terms: Terms) -> Iterator[Sweep]:
    """Everything that these terms may end the life of, but for the audit."""
    for event_kind in EventKind:
        kind = _KIND_OF_EVENT.get(event_kind, MESSAGES)
        days = terms.days[kind]
        values = {"kind": event_kind.value, **days.values()}
        yield Sweep(kind, _WALK_OF_EVENT.get(event_kind, sql.EVENTS), values, days.lengths)
    here = {"tenant": tenant_id}
    refused, messages = terms.days[REFUSED], terms.days[MESSAGES]
    yield Sweep(REFUSED, sql.REFUSALS, refused.values(), refused.lengths)
    yield Sweep(REFUSED, sql.TALLIES, refused.values() | here)
    yield Sweep(MESSAGES, sql.MESSAGES, messages.values(), messages.lengths)
    kept = {"content": LogLevel.CONTENT.value, "counts": LogLevel.COUNTS.value}
    yield Sweep(CONTENT, sql.CONTENT, terms.days[CONTENT].values() | here | kept)
    yield Sweep(MESSAGES, sql.UNLOGGED, here | kept)
    yield Sweep(MESSAGES, sql.FAILED, messages.values() | here, messages.lengths)


def _delete(sweep: Sweep, since: datetime | None) -> int:
    if isinstance(sweep.rows, sql.Plain):
        return delete_in_batches(sweep.rows.table, sweep.rows.condition, sweep.values)
    windows = windows_of(sweep.lengths, since)
    return sum(_walk(sweep.rows, sweep.values, one) for one in windows)


def _walk(walk: sql.Walk, values: dict[str, Any], window: Window) -> int:
    """Through the rows older than the window's days, from its moment on."""
    total, last = 0, (window.after, walk.start[1])
    while True:
        place = {"after": last[0], "id": last[1], "batch": BATCH, "shortest": window.days}
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '1s'")
            cursor.execute(walk.delete, {**values, **place})
            found = cursor.fetchone()
        if found is None:
            return total
        total, last = total + found[0], found[1:]


def _count(sweep: Sweep) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) {sweep.rows.matching}", sweep.values)
        return int(cursor.fetchone()[0])


def _note_run(tenant_id: int, removed: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql.NOTE_RUN, [tenant_id, removed])


def longest_wait() -> tuple[float, str]:
    """For how many seconds the tenant that waits longest has not been seen to, and its slug."""
    with public_schema(), connection.cursor() as cursor:
        cursor.execute(LAG)
        seconds, slug = cursor.fetchone() or (0.0, "")
    return float(seconds), str(slug)
