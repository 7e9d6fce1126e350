"""What authors are told: decided, written down and queued in the transaction that settles.

    an attempt that failed for good, or waits for 4 h  ┐
    a return that came in (delivery/returns.py)        ┴> News -> tell_authors -> a DSN, or why none

A DSN is a message like any other: it is there when the failure is, or neither is, so that a killed
worker tells nobody twice. News of one message that are settled together become one DSN. Whatever is
decided becomes an event on the original message. Limits are counted in NoticeTally under advisory
locks, so that two loops that settle at once do not both tell the same author.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import psycopg
import structlog
from django.conf import settings

from delivery.acceptance import KeptMessage, insert_messages
from delivery.claim import ClaimedDelivery, Content
from delivery.content import CHUNK_OCTETS
from delivery.markers import marker_keys
from delivery.metrics import NOTICES
from delivery.outbox import insert_events
from delivery.render import header_block
from delivery.tallies import Tallies
from delivery.transport.values import Outcome, Stage
from mail.dsn import AffectedRecipient, DsnFacts, delay_dsn, failure_dsn, header_as_received
from mail.dsn_policy import (
    DsnDecision,
    FailureFacts,
    NoticeKind,
    Reason,
    ReturnFacts,
    judge_notice,
    judge_return,
)
from mail.errors import MailError
from mail.events import Event, EventKind
from mail.facts import LogLevel
from mail.marker import prove_return
from mail.masking import GAVE_UP, Diagnosis, diagnose
from mail.message import header_fields, is_auto_submitted, is_list_or_bulk, split_header_block
from mail.message import values as values_of
from mail.plan import Direction, PlannedDelivery, PlannedMessage
from mail.retry import DeliveryState, NextStep, end_of_life
from mail.trace import ROUTE_FIELD, format_trace_id, new_trace_id

DELAY_AFTER: Final = timedelta(hours=4)
_NOT_BEFORE: Final = """
UPDATE public.delivery_delivery SET next_attempt_at = greatest(next_attempt_at, %s)
WHERE message_id = %s
"""
_OUR_OWN: Final = (Direction.NOTICE, Direction.RETURN)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class News:
    """Something about one recipient that the author may have to be told.

    `trace_id` and `recipient` are those of the message that it happened to. `dsn` is what a DSN
    about it alone would be made of, without its Message-ID: it names what the author wrote and
    where that came in first, which is another message when mail went from one hosted domain to the
    next, and what limits go by. `events` go to the tenant's log as well. The DSN waits until
    `not_before`: retries are hours apart, and a delay is told four hours after the mail came, not
    when the next one happens to be.
    """

    kind: NoticeKind
    trace_id: UUID
    recipient: str
    facts: FailureFacts | ReturnFacts
    dsn: DsnFacts
    tenant_id: int | None
    route_id: int | None
    log_level: LogLevel
    direction: str
    events: tuple[Event, ...] = ()
    not_before: datetime | None = None

    @property
    def about(self) -> AffectedRecipient:
        return self.dsn.recipients[0]


@dataclass(frozen=True, slots=True)
class _Verdict:
    """One of the news with what was decided; `notice_id` of the DSN that tells it."""

    news: News
    decision: DsnDecision
    notice_id: UUID | None = None


def news_of_attempt(
    delivery: ClaimedDelivery,
    content: Content | None,
    outcome: Outcome,
    step: NextStep,
    now: datetime,
) -> News | None:
    """What an attempt that did not deliver is to the author; None while it is no news."""
    message = delivery.message
    failed = step.state is DeliveryState.FAILED
    if message.direction in _OUR_OWN or not (failed or _waits_for_hours(delivery, step)):
        return None
    kind = NoticeKind.FAILURE if failed else NoticeKind.DELAY
    diagnosis = GAVE_UP if step.reason == GAVE_UP.enhanced and failed else _diagnosis(outcome)
    stored = header_block(message, content) if content is not None else b""
    header = header_as_received(stored, settings.ENV.service_domain)
    fields = header_fields(header)
    facts = FailureFacts(
        kind=kind,
        direction=message.direction,
        reverse_path=message.reverse_path,
        authenticated=message.authenticated,
        diagnosis=diagnosis,
        after_data=outcome.stage in (Stage.DATA, Stage.CONTENT) and diagnosis is not GAVE_UP,
        to_machine=is_auto_submitted(fields) or is_list_or_bulk(fields),
    )
    return News(
        kind,
        message.id,
        delivery.recipient,
        facts,
        _dsn_of_attempt(delivery, stored, header, diagnosis, now, failed=failed),
        message.tenant_id,
        delivery.route_id,
        message.log_level,
        message.direction.value,
        not_before=None if failed else delivery.waits_since + DELAY_AFTER,
    )


def _dsn_of_attempt(
    delivery: ClaimedDelivery,
    stored: bytes,
    header: bytes,
    diagnosis: Diagnosis,
    now: datetime,
    *,
    failed: bool,
) -> DsnFacts:
    """What the DSN says; `stored` is the header block with our fields, `header` that without."""
    message = delivery.message
    trace_id, recipient = _first_here(delivery, stored)
    about = AffectedRecipient(
        recipient,
        diagnosis,
        last_attempt_at=now,
        retry_until=None if failed else end_of_life(delivery.waits_since),
    )
    return DsnFacts(
        service_domain=settings.ENV.service_domain,
        reverse_path=message.reverse_path,
        message_id="",
        now=now,
        trace_id=trace_id,
        arrived_at=message.accepted_at,
        recipients=(about,),
        original_header=header,
    )


def _waits_for_hours(delivery: ClaimedDelivery, step: NextStep) -> bool:
    """Whether nothing will have happened by the time when a delay is to be told."""
    at = step.next_attempt_at
    return at is not None and at > delivery.waits_since + DELAY_AFTER


def _diagnosis(outcome: Outcome) -> Diagnosis:
    """Of the next hop's reply, or of our own words and the code that goes with them."""
    return diagnose(outcome.reply if outcome.code else f"{outcome.enhanced} {outcome.reply}")


def _first_here(delivery: ClaimedDelivery, stored: bytes) -> tuple[UUID, str]:
    """Trace id and recipient where the author's mail came in first.

    Mail between hosted domains keeps its reverse-path, so its marks tell: the route of the first
    domain leads to the second, and that is nobody's business but its owner's.
    """
    message = delivery.message
    values = values_of(header_fields(stored), ROUTE_FIELD.lower())
    mark = prove_return(values, reverse_path=message.reverse_path, keys=marker_keys())
    return (mark.trace_id, mark.recipient) if mark else (message.id, delivery.recipient)


def tell_authors(cursor: "psycopg.Cursor[object]", news: Sequence[News]) -> None:
    """Decide about each, queue the DSNs and write down what was decided, in this transaction."""
    if not news:
        return
    tallies = Tallies.locked(cursor, news)
    verdicts: list[_Verdict] = []
    dsns: list[KeptMessage] = []
    for group in _by_message(news):
        judged = _judged(group, tallies)
        told = [one.news for one in judged if one.decision.send]
        dsn = _dsn(told, tallies.now) if told else None
        verdicts += [_with_notice(one, dsn) for one in judged]
        if dsn is not None:
            dsns.append(dsn)
            tallies.count_dsn(told, max(one.decision.held_back for one in judged))
    tallies.store(cursor)
    insert_messages(dsns)
    _hold_back(cursor, verdicts, tallies.now)
    insert_events(event for one in verdicts for event in _events(one))
    for one in verdicts:
        _note(one)


def _by_message(news: Iterable[News]) -> Iterable[list[News]]:
    """News of one message and kind together: they become one DSN."""
    groups: dict[tuple[UUID, NoticeKind], list[News]] = {}
    for one in news:
        groups.setdefault((one.dsn.trace_id, one.kind), []).append(one)
    return groups.values()


def _judged(group: Sequence[News], tallies: Tallies) -> list[_Verdict]:
    """Each of a group judged; limits count DSNs, and the group is one."""
    verdicts = []
    for one in group:
        told = tallies.told(one)
        facts = replace(one.facts, told=told)
        decision = judge_notice(facts) if isinstance(facts, FailureFacts) else judge_return(facts)
        if one.kind is NoticeKind.DELAY and told.about_recipient:
            continue  # decided hours ago, and written down then
        verdicts.append(_Verdict(one, decision))
        if decision.send or one.kind is NoticeKind.DELAY:
            tallies.count_recipient(one)
    return verdicts


def _dsn(told: Sequence[News], now: datetime) -> KeptMessage | None:
    """The DSN about these, ready for the queue."""
    first, trace_id = told[0], new_trace_id(int(now.timestamp() * 1000), os.urandom(10))
    facts = replace(
        first.dsn,
        message_id=f"<{format_trace_id(trace_id)}@{first.dsn.service_domain}>",
        now=now,
        recipients=tuple(one.about for one in told),
    )
    try:
        octets = failure_dsn(facts) if first.kind is NoticeKind.FAILURE else delay_dsn(facts)
    except MailError as error:
        log.error("delivery.dsn_not_made", trace_id=_printed(first), error=str(error))
        return None
    plan = PlannedMessage(
        trace_id=trace_id,
        tenant_id=None,
        direction=Direction.NOTICE,
        reverse_path="",
        outgoing_path="",
        client_ip="",
        helo="",
        protocol="",
        tls="",
        size_octets=len(octets),
        header_octets=split_header_block(octets) - 2,
        smtputf8=not facts.reverse_path.isascii(),
        eight_bit=not octets.isascii(),
        # The tenant's rule holds for what is written of the author here, too.
        log_level=min(LogLevel.METADATA, first.log_level),
        deliveries=(PlannedDelivery(facts.reverse_path, facts.reverse_path),),
    )
    chunks = tuple(octets[at : at + CHUNK_OCTETS] for at in range(0, len(octets), CHUNK_OCTETS))
    return KeptMessage(plan, chunks, 0, len(chunks))


def _hold_back(
    cursor: "psycopg.Cursor[object]", verdicts: Iterable[_Verdict], now: datetime
) -> None:
    """What is told too early, by the retries' rhythm or within the hour, goes when it is time."""
    for one in verdicts:
        held_back = one.decision.held_back
        not_before = now + held_back if held_back else one.news.not_before
        if one.notice_id and not_before is not None:
            cursor.execute(_NOT_BEFORE, (not_before, one.notice_id))


def _with_notice(one: _Verdict, dsn: KeptMessage | None) -> _Verdict:
    if not one.decision.send:
        return one
    if dsn is None:
        return replace(one, decision=DsnDecision(False, Reason.NOT_MADE))
    return replace(one, notice_id=dsn.plan.trace_id)


def _events(one: _Verdict) -> Iterable[tuple[Event, LogLevel]]:
    """What the original's log gets: what a return said, and what was decided."""
    news = one.news
    for event in news.events:
        yield event, news.log_level
    decided = Event(
        kind=EventKind.NOTICED,
        trace_id=news.trace_id,
        tenant_id=news.tenant_id,
        direction=news.direction,
        recipient=news.recipient,
        outcome=news.kind.value,
        reason=one.decision.reason.value,
        notice_id=format_trace_id(one.notice_id) if one.notice_id else "",
    )
    yield decided, news.log_level


def _note(one: _Verdict) -> None:
    NOTICES.labels(one.news.kind.value, one.decision.reason.name.lower()).inc()
    log.info(
        "delivery.author_told" if one.notice_id else "delivery.author_not_told",
        trace_id=_printed(one.news),
        tenant_id=one.news.tenant_id,
        kind=one.news.kind.value,
        reason=one.decision.reason.value,
        notice=format_trace_id(one.notice_id) if one.notice_id else "",
    )


def _printed(news: News) -> str:
    return format_trace_id(news.trace_id)
