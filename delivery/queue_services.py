"""What people do to the queue: try now, hold, release, delete.

Every change writes the event of it, as far as the message's log level allows, in the same
transaction. Rows that a worker holds are passed over: what is being sent is not ours to change.

| action | takes | leaves |
|---|---|---|
| retry | queued, failed (while content is there) | queued, due now |
| hold | queued | held |
| release | held | queued, due now; its age counts from here |
| delete | queued, held, failed | nothing; message and content with the last delivery |

Whoever holds a delivery is written on it (`Hold`). What an operator holds, or what killed workers,
only an operator lets go: the tenant's own services (delivery/tenant_queue.py) select by holder.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from delivery.models import ClockTimestamp, Content, Delivery, Message
from delivery.outbox import insert_events
from mail.events import Event, EventKind
from mail.facts import LogLevel
from mail.plan import Hold

BATCH = 1000
State = Delivery.State
OF_THE_TENANT: Final = (Hold.TENANT, Hold.ROUTE, Hold.QUARANTINE)
"""What a member may let go: he, his route or his own policy keeps it."""
OF_THE_SERVICE: Final = (Hold.NONE, Hold.OPERATOR, Hold.SUSPECT)
"""What only an operator lets go; NONE is of a time when the holder was not written down."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which deliveries: every field given narrows it; `domain` is of recipient or destination."""

    trace_id: UUID | None = None
    tenant_id: int | None = None
    states: tuple[Delivery.State, ...] = ()
    deferred: bool | None = None  # tried before and due later; False for those that are not
    domain: str = ""
    ids: tuple[int, ...] = ()
    next_hop: str | None = None  # where it was tried last; "" where it was not tried yet
    holds: tuple[Hold, ...] = ()
    route_ids: tuple[int, ...] = ()
    destination: str = ""

    def rows(self) -> QuerySet[Delivery]:
        rows = Delivery.objects.order_by("id")
        if self.trace_id is not None:
            rows = rows.filter(message_id=self.trace_id)
        if self.ids:
            rows = rows.filter(pk__in=self.ids)
        if self.tenant_id is not None:
            rows = rows.filter(tenant_id=self.tenant_id)
        if self.next_hop is not None:
            rows = rows.filter(next_hop=self.next_hop)
        if self.holds:
            rows = rows.filter(hold__in=self.holds)
        if self.route_ids:
            rows = rows.filter(route_id__in=self.route_ids)
        if self.destination:
            rows = rows.filter(destination=self.destination)
        if self.states:
            rows = rows.filter(state__in=self.states)
        if self.deferred is not None:
            later = Q(attempts__gt=0, next_attempt_at__gt=Now())
            rows = rows.filter(later if self.deferred else ~later)
        if self.domain:
            suffix = f"@{self.domain}"
            rows = rows.filter(destination__iendswith=suffix) | rows.filter(
                recipient__iendswith=suffix
            )
        return rows


Ring = Callable[[], None]
AN_OPERATOR = "an operator"


def retry(selection: Selection, *, ring: Ring, by: str = AN_OPERATOR) -> int:
    """Make deliveries due now, failed ones too while their content is there; gives how many."""
    content = Content.objects.filter(message_id=OuterRef("message_id"))
    queued = selection.rows().filter(state=State.QUEUED)
    failed = selection.rows().filter(Exists(content), state=State.FAILED)
    requeue = partial(_requeue, reason=f"tried again by {by}", ring=ring)
    return _each_batch(queued, requeue) + _each_batch(failed, requeue)


def release(selection: Selection, *, ring: Ring, by: str = AN_OPERATOR) -> int:
    """Put held deliveries back into the queue, due now; gives how many."""
    requeue = partial(_requeue, reason=f"released by {by}", ring=ring, released_at=ClockTimestamp())
    return _each_batch(selection.rows().filter(state=State.HELD), requeue)


def hold(selection: Selection, *, by: str = AN_OPERATOR, holder: Hold = Hold.OPERATOR) -> int:
    """Keep queued deliveries until they are released; gives how many.

    An operator who names a message or deliveries also takes over what the tenant's side holds, for
    no end that somebody else set: then no member lets it go.
    """
    taken = Q(state=State.QUEUED)
    if holder is Hold.OPERATOR and (selection.trace_id is not None or selection.ids):
        taken |= Q(state=State.HELD, hold__in=OF_THE_TENANT)
    keep = partial(_hold, reason=f"held by {by}", holder=holder)
    return _each_batch(selection.rows().filter(taken), keep)


def delete_expired() -> int:
    """Delete what is held longer than it was to be; gives how many."""
    expired = Delivery.objects.order_by("id").filter(state=State.HELD, held_until__lt=Now())
    return sum(
        _each_batch(rows, partial(_delete, reason=reason))
        for rows, reason in (
            (expired.filter(hold=Hold.QUARANTINE), "nobody released it from quarantine in time"),
            (expired.filter(hold=Hold.ROUTE), "its route was paused for longer than mail is kept"),
            (expired, "it was held for as long as it was to be"),
        )
    )


def deletable(selection: Selection) -> QuerySet[Delivery]:
    """What `delete` would take."""
    return selection.rows().exclude(state=State.IN_FLIGHT)


def delete(selection: Selection, *, by: str = AN_OPERATOR) -> int:
    """Remove deliveries for good; message and content go with the last one. Gives how many."""
    return _each_batch(deletable(selection), partial(_delete, reason=f"deleted by {by}"))


def _each_batch(rows: QuerySet[Delivery], change: Callable[[list[Delivery]], None]) -> int:
    """Change the rows in transactions of 1,000; rows locked by others are skipped."""
    done, last_id = 0, 0
    while True:
        with transaction.atomic():
            batch = list(
                rows.filter(id__gt=last_id)
                .select_related("message")
                .select_for_update(skip_locked=True, of=("self",))[:BATCH]
            )
            if not batch:
                return done
            change(batch)
        done, last_id = done + len(batch), batch[-1].id


def _requeue(batch: list[Delivery], *, reason: str, ring: Ring, **more: Any) -> None:
    _ids(batch).update(
        state=State.QUEUED,
        hold=Hold.NONE,
        hold_reason="",
        held_until=None,
        next_attempt_at=ClockTimestamp(),
        finished_at=None,
        lease_token=None,
        leases_lost=0,
        **more,
    )
    insert_events(_events(batch, EventKind.RELEASED, reason))
    transaction.on_commit(ring)


def _hold(batch: list[Delivery], *, reason: str, holder: Hold) -> None:
    _ids(batch).update(state=State.HELD, hold=holder, hold_reason=reason, held_until=None)
    insert_events(_events(batch, EventKind.HELD, reason))


def _delete(batch: list[Delivery], *, reason: str) -> None:
    insert_events(_events(batch, EventKind.DELETED, reason))
    _ids(batch).delete()
    drop_finished_messages(sorted({row.message_id for row in batch}))


def drop_finished_messages(message_ids: list[UUID]) -> int:
    """Remove messages of these that have no delivery any more, with their content."""
    with transaction.atomic(), connection.cursor() as cursor:
        # Locked first, by id: two that finish one message's last deliveries wait for each other.
        cursor.execute(
            "SELECT id FROM public.delivery_message WHERE id = ANY(%s) ORDER BY id FOR UPDATE",
            [message_ids],
        )
        rows = Message.objects.filter(pk__in=message_ids)
        done = rows.filter(~Exists(Delivery.objects.filter(message_id=OuterRef("pk"))))
        ids = list(done.values_list("pk", flat=True))
        Content.objects.filter(message_id__in=ids).delete()
        Message.objects.filter(pk__in=ids).delete()
    return len(ids)


def _ids(batch: list[Delivery]) -> QuerySet[Delivery]:
    return Delivery.objects.filter(pk__in=[row.pk for row in batch])


def _events(
    batch: list[Delivery], kind: EventKind, reason: str
) -> Iterator[tuple[Event, LogLevel]]:
    for row in batch:
        event = Event(
            kind=kind,
            trace_id=row.message_id,
            tenant_id=row.tenant_id,
            recipient=row.recipient,
            destination=row.destination,
            reason=reason,
        )
        yield event, LogLevel(row.message.log_level)
