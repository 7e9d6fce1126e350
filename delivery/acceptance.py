"""Keeps what the edge accepted: 250 means that this was committed.

| who calls | with | what it leaves |
|---|---|---|
| the edge's committer | a batch of `KeptMessage` | rows in the current transaction |
| the edge, while DATA runs | a piece of a large message | a content row nobody sees yet |
| the edge, when a COMMIT's outcome is unknown | trace ids | nothing, where no worker was faster |

One statement a batch, whatever its size: the round trip and the parsing are what costs.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction

from delivery import one_call, sql
from delivery.columns import Column, bigints, bools, dates, ints, octets, texts, uuids
from delivery.content import seal_chunk
from delivery.outbox import disclosed, storable_json
from mail.events import Event, EventKind
from mail.plan import PlannedMessage

_LONGEST_HELO = 255
_LONGEST_TLS = 80


@dataclass(frozen=True, slots=True)
class KeptMessage:
    """A planned message and the pieces of its content that are not stored yet.

    `chunks` are clear octets of at most 256 KiB each, the first of them piece
    `first_chunk_number` of `chunk_count`; those before were stored by `store_chunk`.
    """

    plan: PlannedMessage
    chunks: tuple[bytes, ...]
    first_chunk_number: int
    chunk_count: int


class PiecesLost(Exception):
    """Pieces of a large message are not there any more: it must not be promised."""


def insert_messages(kept: Sequence[KeptMessage]) -> None:
    """INSERT a batch in the current transaction; the caller commits.

    A message, its sealed content, its deliveries, the row of an opaque reverse-path, and the
    ACCEPTED event as far as the log level discloses it.
    """
    if not kept:
        return
    with sql.queue_cursor() as cursor:
        cursor.execute(sql.INSERT_MESSAGES, _columns(kept))


def insert_in_one_call(kept: Sequence[KeptMessage]) -> None:
    """The same inside `one_call.transaction`; raises `PiecesLost`."""
    large = [one for one in kept if one.first_chunk_number]
    if large:
        _count_pieces(large)
    one_call.run(sql.INSERT_MESSAGES, _columns(kept))


def _count_pieces(large: Sequence[KeptMessage]) -> None:
    """See that what `store_chunk` stored is there: a server that crashed may have forgotten it."""
    stored = [one.first_chunk_number for one in large]
    ids = uuids([one.plan.trace_id for one in large])
    result = one_call.run(sql.COUNT_PIECES, (ids, ints(stored)))
    found = int.from_bytes(result.get_value(0, 0) or b"")
    if found != sum(stored):
        raise PiecesLost(f"{found} of {sum(stored)} pieces are there")


def store_chunk(trace_id: UUID, tenant_id: int | None, number: int, clear: bytes) -> None:
    """Store a piece of a message that is still coming in; storing it again changes nothing.

    Outside a transaction. The disk is not waited for: the COMMIT of the message flushes both, and
    its transaction counts the pieces (`insert_in_one_call`).
    """
    sealed = seal_chunk(clear, tenant_id=tenant_id, message_id=trace_id, number=number)
    with sql.queue_cursor() as cursor:
        cursor.execute(sql.INSERT_CHUNK, (trace_id, number, tenant_id, sealed))


def withdraw(trace_ids: Iterable[UUID]) -> tuple[UUID, ...]:
    """Take back messages that no worker has claimed, and pieces that belong to no message.

    Gives the ids of the messages that were there and are gone. For a COMMIT whose outcome is
    unknown: the caller makes sure first that the server is done with it.
    """
    ids = sorted(trace_ids)
    with transaction.atomic(), sql.queue_cursor() as cursor:
        cursor.execute(sql.LOCK_MESSAGES, (ids,))
        cursor.execute(sql.WITHDRAW_DELIVERIES, (ids,))
        cursor.execute(sql.WITHDRAW_MESSAGES, {"ids": ids})
        return tuple(row[0] for row in cursor.fetchall())


def _columns(kept: Sequence[KeptMessage]) -> tuple[Column, ...]:
    return (
        *_opaque_columns(kept),
        *_message_columns(kept),
        *_content_columns(kept),
        *_event_columns(kept),
        *_delivery_columns(kept),
    )


def _opaque_columns(kept: Sequence[KeptMessage]) -> Iterable[Column]:
    # In one order everywhere: two edges that insert the same rows wait for each other's.
    rows = {one.plan.opaque.row_id: one.plan.opaque for one in kept if one.plan.opaque}
    ordered = [rows[row_id] for row_id in sorted(rows)]
    return (
        octets([row.row_id for row in ordered]),
        octets([row.sealed for row in ordered]),
        dates([row.expires_on for row in ordered]),
    )


def _message_columns(kept: Sequence[KeptMessage]) -> Iterable[Column]:
    plans = [one.plan for one in kept]
    return (
        uuids([plan.trace_id for plan in plans]),
        bigints([plan.tenant_id for plan in plans]),
        texts([plan.direction.value for plan in plans]),
        texts([plan.reverse_path for plan in plans]),
        texts([plan.outgoing_path for plan in plans]),
        texts([plan.client_ip for plan in plans]),
        texts([storable(plan.helo)[:_LONGEST_HELO] for plan in plans]),
        texts([plan.protocol for plan in plans]),
        texts([plan.tls[:_LONGEST_TLS] for plan in plans]),
        ints([plan.size_octets for plan in plans]),
        ints([plan.header_octets for plan in plans]),
        ints([one.chunk_count for one in kept]),
        bools([plan.smtputf8 for plan in plans]),
        bools([plan.eight_bit for plan in plans]),
        ints([plan.log_level for plan in plans]),
        bools([plan.authenticated for plan in plans]),
        bools([plan.keeps_attempts for plan in plans]),
        texts([plan.our_fields for plan in plans]),
        texts([plan.chain.value if plan.chain else "" for plan in plans]),
    )


def _content_columns(kept: Sequence[KeptMessage]) -> Iterable[Column]:
    pieces = [
        (one.plan, number, clear)
        for one in kept
        for number, clear in enumerate(one.chunks, one.first_chunk_number)
    ]
    return (
        uuids([plan.trace_id for plan, _, _ in pieces]),
        ints([number for _, number, _ in pieces]),
        bigints([plan.tenant_id for plan, _, _ in pieces]),
        octets(
            [
                seal_chunk(clear, tenant_id=plan.tenant_id, message_id=plan.trace_id, number=number)
                for plan, number, clear in pieces
            ]
        ),
    )


def _event_columns(kept: Sequence[KeptMessage]) -> Iterable[Column]:
    events = disclosed(
        (event, one.plan.log_level)
        for one in kept
        for event in (_accepted(one.plan), *_held(one.plan))
    )
    return (
        bigints([event.tenant_id for event in events]),
        uuids([event.trace_id for event in events]),
        texts([event.kind.value for event in events]),
        texts([storable_json(event) for event in events]),
    )


def _accepted(plan: PlannedMessage) -> Event:
    return Event(
        kind=EventKind.ACCEPTED,
        trace_id=plan.trace_id,
        tenant_id=plan.tenant_id,
        direction=plan.direction.value,
        reverse_path=plan.reverse_path,
        outgoing_path=plan.outgoing_path,
        recipients=tuple((one.recipient, one.destination) for one in plan.deliveries),
        author=plan.author,
        subject=plan.subject,
        client_ip=plan.client_ip,
        helo=plan.helo,
        protocol=plan.protocol,
        tls=plan.tls,
        size_octets=plan.size_octets,
        trail=plan.trail,
        found=plan.found,
        routes=tuple({one.route_id: None for one in plan.deliveries if one.route_id}),
    )


def _held(plan: PlannedMessage) -> Iterable[Event]:
    """What is kept back from the first moment, and why."""
    return (
        Event(
            kind=EventKind.HELD,
            trace_id=plan.trace_id,
            tenant_id=plan.tenant_id,
            direction=plan.direction.value,
            recipient=one.recipient,
            destination=one.destination,
            reason=one.hold_reason,
        )
        for one in plan.deliveries
        if one.hold
    )


def _delivery_columns(kept: Sequence[KeptMessage]) -> Iterable[Column]:
    rows = [(one.plan, delivery) for one in kept for delivery in one.plan.deliveries]
    return (
        uuids([plan.trace_id for plan, _ in rows]),
        bigints([plan.tenant_id for plan, _ in rows]),
        bigints([delivery.route_id for _, delivery in rows]),
        texts([delivery.recipient for _, delivery in rows]),
        texts([delivery.destination for _, delivery in rows]),
        ints([delivery.hold for _, delivery in rows]),
        texts([delivery.hold_reason for _, delivery in rows]),
        ints([delivery.hold_days for _, delivery in rows]),
    )


def storable(text: str) -> str:
    """The text as PostgreSQL takes it: without NUL and lone surrogates."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
