"""Reads the story of a message from the places it may be in: queue, outbox, the tenant's log.

An event is in the outbox until the log writer has carried it over, a second usually. The outbox is
read before the log, so that one which moves in between is seen twice and never missed; its id drops
the second one.
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import Q
from django.db.models.functions import Now

from delivery.messagelog.models import LoggedEvent, LoggedMessage, LoggedName
from delivery.models import Delivery, DeliveryEvent, Message, RefusalTally, ServiceEvent
from delivery.outbox import address_pepper
from delivery.refusals import KEPT_EXACTLY, NOT_HOSTED
from delivery.story import MoreRefusals, Stories, Story, StoryEvent, Waiting, read_event
from mail.address import canonical_domain, split_path
from mail.errors import MailError
from mail.events import hash_address
from mail.plan import Hold
from tenants.context import public_schema, tenant_schema
from tenants.models import ClaimedDomain, Tenant

SCHEMAS_AT_ONCE = 50
MOST_COUNTED = 20
MOST_EVENTS, FIRST_EVENTS = 5000, 1000
"""A message for a hundred recipients with twenty destinations each can have fifty times as many."""
_NOWHERE = object()


def story_of(trace_id: UUID) -> Story | None:
    """Everything known of a trace id, None for nothing. Asks every tenant's log if it has to."""
    with public_schema():
        tenant_id = _tenant_in_queue(trace_id)
        if tenant_id is _NOWHERE:
            tenant_id = _tenant_in_logs(trace_id)
        if tenant_id is _NOWHERE:
            return None
        return story_in_tenant(trace_id, tenant_id)


def story_in_tenant(
    trace_id: UUID, tenant_id: int | None, *, slug: str | None = None
) -> Story | None:
    """The same where the tenant is known (None: the service itself); nothing of other tenants.

    `slug`: the tenant's, by who knows it already.
    """
    with _opened(tenant_id):
        queue = _queue_of(trace_id, tenant_id)
        events = _events_of(trace_id, tenant_id)
        if not queue and not events:
            return None
        state = _logged_state(trace_id) if tenant_id is not None else ""
        slug = _slug(tenant_id) if slug is None else slug
        is_cut = len(events) >= MOST_EVENTS
        return Story(trace_id, tenant_id, slug, events, queue, state, is_cut)


def latest_stories(tenant_id: int, limit: int) -> list[Story]:
    """A tenant's last messages and refusals, newest first."""
    with tenant_schema(tenant_id):
        ids = set(
            DeliveryEvent.objects.filter(tenant_id=tenant_id)
            .order_by("-id")
            .values_list("message_id", flat=True)[: limit * 4]
        )
        ids.update(LoggedMessage.objects.order_by("-at").values_list("trace_id", flat=True)[:limit])
        stories = (story_in_tenant(trace_id, tenant_id) for trace_id in _newest(ids, limit))
        return [story for story in stories if story is not None]


def _newest(trace_ids: Iterable[UUID], limit: int) -> list[UUID]:
    return sorted(trace_ids, reverse=True)[:limit]  # the ids begin with their time


def _opened(tenant_id: int | None) -> AbstractContextManager[None]:
    # Row-level security shows the web role the queue rows of the tenant that is open, no others.
    return public_schema() if tenant_id is None else tenant_schema(tenant_id)


def stories_for(recipient: str, *, limit: int = 20) -> Stories:
    """What is known of an envelope recipient: messages and refusals, newest first."""
    with public_schema():
        domain = _domain_of(recipient)
        tenants = list(
            ClaimedDomain.objects.filter(name=domain).values_list("tenant_id", flat=True)
        )
        found: list[tuple[UUID, int | None]] = []
        for tenant_id in (*tenants, None):
            found += [(one, tenant_id) for one in _traces_for(recipient, tenant_id, limit)]
        newest = sorted(dict.fromkeys(found), key=lambda pair: pair[0], reverse=True)[:limit]
        stories = [story_in_tenant(trace_id, tenant_id) for trace_id, tenant_id in newest]
        return Stories(
            recipient,
            tuple(story for story in stories if story is not None),
            _more_refusals(domain if tenants else NOT_HOSTED),
        )


def _tenant_in_queue(trace_id: UUID) -> Any:
    for rows in (
        Message.objects.filter(pk=trace_id),
        DeliveryEvent.objects.filter(message_id=trace_id),
    ):
        found = list(rows.values_list("tenant_id", flat=True)[:1])
        if found:
            return found[0]
    return None if ServiceEvent.objects.filter(message_id=trace_id).exists() else _NOWHERE


def _tenant_in_logs(trace_id: UUID) -> Any:
    """The tenant whose log has the trace id: many schemas a statement, else it takes minutes."""
    tenants = list(_logged_tenants())
    for start in range(0, len(tenants), SCHEMAS_AT_ONCE):
        found = _first_with(trace_id, tenants[start : start + SCHEMAS_AT_ONCE])
        if found is not None:
            return found
    return _NOWHERE


def _logged_tenants() -> Iterable[int]:
    """Tenants whose schema has a log; one being made or dropped has none."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT substr(schemaname, 2)::bigint FROM pg_tables"
            " WHERE tablename = 'messagelog_loggedevent' AND schemaname ~ '^t[0-9]+$' ORDER BY 1"
        )
        return [tenant_id for (tenant_id,) in cursor.fetchall()]


def _first_with(trace_id: UUID, tenants: Sequence[int]) -> int | None:
    each = (
        f"(SELECT {tenant} FROM t{tenant}.messagelog_loggedevent"
        " WHERE trace_id = %(trace_id)s LIMIT 1)"
        for tenant in tenants
    )
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(each), {"trace_id": trace_id})
        row = cursor.fetchone()
    return row[0] if row else None


def _events_of(trace_id: UUID, tenant_id: int | None) -> tuple[StoryEvent, ...]:
    rows: list[Any] = list(DeliveryEvent.objects.filter(message_id=trace_id, tenant_id=tenant_id))
    if tenant_id is None:
        rows += ServiceEvent.objects.filter(message_id=trace_id)
    else:
        rows += _logged(trace_id)
    by_id = {row.id: row for row in rows}
    return tuple(
        StoryEvent(id, row.at, read_event(row.kind, trace_id, tenant_id, row.data))
        for id, row in sorted(by_id.items())
    )


def _logged(trace_id: UUID) -> list[LoggedEvent]:
    """The events in the log; of a great many the first and the last."""
    rows = LoggedEvent.objects.filter(trace_id=trace_id)
    found = list(rows.order_by("id")[:MOST_EVENTS])
    if len(found) < MOST_EVENTS:
        return found
    return found[:FIRST_EVENTS] + list(rows.order_by("-id")[: MOST_EVENTS - FIRST_EVENTS])


def _logged_state(trace_id: UUID) -> str:
    rows = LoggedMessage.objects.filter(pk=trace_id)
    return rows.values_list("state", flat=True).first() or ""


def _queue_of(trace_id: UUID, tenant_id: int | None) -> tuple[Waiting, ...]:
    rows = (
        Delivery.objects.filter(message_id=trace_id, tenant_id=tenant_id)
        .annotate(is_later=Q(next_attempt_at__gt=Now()))
        .order_by("id")
    )
    return tuple(
        Waiting(
            row.recipient,
            row.destination,
            state_word(row.state, row.attempts, later=row.is_later),
            row.attempts,
            row.next_attempt_at,
            row.last_reply,
            Hold(row.hold),
            row.hold_reason,
            row.held_until,
        )
        for row in rows
    )


def state_word(state: int, attempts: int, *, later: bool) -> str:
    """The state of a queue row as people say it: deferred is queued, tried before, due later."""
    if state == Delivery.State.QUEUED:
        return "deferred" if attempts and later else "queued"
    return Delivery.State(state).label.lower()


def _slug(tenant_id: int | None) -> str:
    if tenant_id is None:
        return ""
    return Tenant.objects.filter(pk=tenant_id).values_list("slug", flat=True).first() or ""


def _domain_of(recipient: str) -> str:
    """The A-label of an address as typed; text that is no address is looked up as it is."""
    try:
        return canonical_domain(split_path(recipient)[1])
    except (MailError, ValueError):
        return recipient.rpartition("@")[2].lower()


def _traces_for(recipient: str, tenant_id: int | None, limit: int) -> list[UUID]:
    names = _spellings(recipient)
    found = list(
        Delivery.objects.filter(tenant_id=tenant_id, recipient__in=names)
        .order_by("-id")
        .values_list("message_id", flat=True)[:limit]
    )
    found += (
        DeliveryEvent.objects.filter(tenant_id=tenant_id, data__recipient__in=names)
        .order_by("-id")
        .values_list("message_id", flat=True)[:limit]
    )
    if tenant_id is None:
        logged = ServiceEvent.objects.filter(recipient__in=names).order_by("-at")
        return found + list(logged.values_list("message_id", flat=True)[:limit])
    if tenant_id not in _logged_tenants():
        return found
    with tenant_schema(tenant_id):
        rows = LoggedName.objects.filter(name__in=[f"to:{name.lower()}" for name in names])
        return found + list(
            rows.order_by("-trace_id").values_list("trace_id", flat=True)[: limit * 4]
        )


def _spellings(recipient: str) -> list[str]:
    """As typed, as stored, and as the level "addresses hashed" writes it."""
    local_part, _, _ = recipient.rpartition("@")
    stored = f"{local_part}@{_domain_of(recipient)}"
    spellings = {recipient, stored, stored.lower()}
    return [*spellings, *(hash_address(one, address_pepper()) for one in spellings)]


def counted_refusals(tenant_id: int, *, domain: str = "") -> list[MoreRefusals]:
    """Refusals of a tenant's domains that were only counted, the newest hours first."""
    rows = RefusalTally.objects.filter(tenant_id=tenant_id, count__gt=KEPT_EXACTLY)
    if domain:
        rows = rows.filter(domain=domain)
    return [_more(row) for row in rows.order_by("-hour", "-count")[:MOST_COUNTED]]


def more_like(refused: StoryEvent, tenant_id: int) -> int:
    """How many refusals of the same client, domain and hour were only counted."""
    row = RefusalTally.objects.filter(
        tenant_id=tenant_id,
        hour=refused.at.replace(minute=0, second=0, microsecond=0),
        client_ip=refused.event.client_ip,
        domain=_domain_of(refused.event.recipient),
        count__gt=KEPT_EXACTLY,
    ).first()
    return _more(row).count if row else 0


def _more_refusals(domain: str) -> tuple[MoreRefusals, ...]:
    if domain in (settings.ENV.service_domain, settings.ENV.forward_domain):
        domain = NOT_HOSTED
    rows = RefusalTally.objects.filter(
        domain=domain, count__gt=KEPT_EXACTLY, hour__gt=Now() - timedelta(hours=24)
    ).order_by("-hour", "-count")[:10]
    return tuple(_more(row) for row in rows)


def _more(row: RefusalTally) -> MoreRefusals:
    return MoreRefusals(row.hour, row.client_ip, row.domain, row.count - KEPT_EXACTLY)
