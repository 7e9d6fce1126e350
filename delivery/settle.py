"""How attempts end: rows go or change, events enter the outbox, in one transaction a batch.

Settling looks at public tables only: a tenant that is being migrated or dropped never makes a
delivered message go out twice. A row that another loop has taken over is left alone, and so is the
log: settling the same endings again changes nothing, and tells no author twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import psycopg

from delivery import sql
from delivery.acceptance import KeptMessage, insert_messages
from delivery.claim import ClaimedDelivery
from delivery.dsns import News, tell_authors
from delivery.models import Delivery
from delivery.outbox import disclosed, storable_json
from mail.events import Event, EventKind, result_of
from mail.plan import Hold

_HAND_ON_AGAIN_SECONDS = 300.0
# A statement of its own: an attempt ends as held once in a million times.
_NAME_HOLDERS = """
UPDATE public.delivery_delivery delivery SET hold = held.hold, hold_reason = held.reason
FROM unnest(%b::bigint[], %b::int[], %b::text[]) AS held (id, hold, reason)
WHERE delivery.id = held.id AND delivery.state = 2
"""


@dataclass(frozen=True, slots=True)
class Ending:
    """What becomes of one claimed delivery.

    `state` None deletes the row. `delay_seconds` counts from the database's clock when it is
    settled. `was_made` False takes the attempt back from the count. `event` is the stored form of
    what the log level discloses, None for nothing. `news` is what the author may have to be told.
    """

    delivery_id: int
    message_id: UUID
    token: UUID
    state: int | None
    delay_seconds: float = 0.0
    was_made: bool = True
    reply: str | None = None
    next_hop: str | None = None
    kind: str = ""
    event: str | None = None
    news: News | None = None
    handed_on: tuple[KeptMessage, ...] = ()
    """Messages that this delivery became: its domain is hosted here."""
    hold: Hold = Hold.NONE
    """Who keeps it back, where it ends as held."""
    hold_reason: str = ""


def released(delivery: ClaimedDelivery, seconds: float = 0.0) -> Ending:
    """Given back untried, for whoever comes: at once, or after so many seconds."""
    state, message_id = int(Delivery.State.QUEUED), delivery.message.id
    return Ending(delivery.id, message_id, delivery.token, state, seconds, was_made=False)


def barer(ending: Ending) -> tuple[Ending, Ending, Ending]:
    """The ending, the same without its texts, and without news too: for what the database takes."""
    bare = replace(ending, reply="", next_hop="", event=None)
    barest = replace(bare, news=None)
    if ending.handed_on:  # it may be the message handed on that the database does not take
        later = int(Delivery.State.QUEUED)
        barest = replace(barest, handed_on=(), state=later, delay_seconds=_HAND_ON_AGAIN_SECONDS)
    return ending, bare, barest


def ending_of(
    delivery: ClaimedDelivery,
    event: Event,
    *,
    state: int | None,
    delay_seconds: float = 0.0,
    reply: str | None = None,
    next_hop: str | None = None,
    news: News | None = None,
) -> Ending:
    """The ending of an attempt, with its event cut down to what the tenant lets us write down."""
    told = _told(delivery, event)
    if told is not event and state == Delivery.State.FAILED:
        reply = ""  # the row stays; how it failed is nobody's to read
    kept = disclosed([(told, delivery.message.log_level)]) if told is not None else []
    return Ending(
        delivery.id,
        delivery.message.id,
        delivery.token,
        state,
        delay_seconds,
        reply=reply,
        next_hop=next_hop,
        kind=kept[0].kind.value if kept else "",
        event=storable_json(kept[0]) if kept else None,
        news=news,
    )


def _told(delivery: ClaimedDelivery, event: Event) -> Event | None:
    """The event, or the mere result where attempts are not kept."""
    if event.kind is not EventKind.ATTEMPTED or delivery.message.keeps_attempts:
        return event
    return result_of(event)


def settle(cursor: "psycopg.Cursor[object]", endings: Sequence[Ending]) -> frozenset[int]:
    """Settle a batch in the current transaction; gives the deliveries that were ours still."""
    if not endings:
        return frozenset()
    messages = list({ending.message_id for ending in endings})
    cursor.execute(sql.BY_INDEX)
    cursor.execute(sql.LOCK_MESSAGES, (messages,))
    cursor.execute(
        sql.SETTLE,
        (
            [ending.delivery_id for ending in endings],
            [ending.token for ending in endings],
            [ending.state for ending in endings],
            [ending.delay_seconds for ending in endings],
            [0 if ending.was_made else 1 for ending in endings],
            [ending.reply for ending in endings],
            [ending.next_hop for ending in endings],
            [ending.kind for ending in endings],
            [ending.event for ending in endings],
        ),
    )
    settled = frozenset(row[0] for row in cursor.fetchall())  # type: ignore[index]
    _name_holders(cursor, [e for e in endings if e.hold and e.delivery_id in settled])
    insert_messages([m for e in endings if e.delivery_id in settled for m in e.handed_on])
    tell_authors(cursor, [e.news for e in endings if e.news and e.delivery_id in settled])
    if any(ending.state is None for ending in endings):
        cursor.execute(sql.FORGET_FINISHED, (messages,))
    return settled


def _name_holders(cursor: "psycopg.Cursor[object]", held: Sequence[Ending]) -> None:
    if held:
        columns = ([e.delivery_id for e in held], [int(e.hold) for e in held])
        cursor.execute(_NAME_HOLDERS, (*columns, [e.hold_reason for e in held]))
