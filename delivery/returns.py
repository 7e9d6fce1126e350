"""Reads the returns that came to our SRS addresses; runs beside the loop, in a thread.

    content -> read_return -> prove_return -> News for the author and the tenant, or nothing proved

Of a return nothing goes on: what it proves becomes a DSN of ours (delivery/dsns.py) and an event on
the original message; what proves nothing is recorded among the service's own events.
"""

import logging
from dataclasses import dataclass, replace
from datetime import datetime

from django.conf import settings

from delivery.claim import ClaimedDelivery, Content
from delivery.dsns import News
from delivery.markers import marker_keys
from mail.bounces import MAX_READ_OCTETS, ReturnKind, ReturnReport, read_return
from mail.dsn_policy import NoticeKind, ReturnFacts, Told, judge_return
from mail.events import Event, EventKind
from mail.marker import OpenedMark, prove_return
from mail.retry import is_about_message
from mail.returns import dsn_of_return, facts_of_return
from mail.trace import format_trace_id

logging.getLogger("flufl.bounce").setLevel(logging.CRITICAL)  # it tells of addresses


@dataclass(frozen=True, slots=True)
class ReadReturn:
    """`event` is for the return's own story, `news` for the original's, when it is proved."""

    event: Event
    news: News | None


def read(delivery: ClaimedDelivery, content: Content, now: datetime) -> ReadReturn:
    """What a return is; its destination is the reverse-path behind the SRS address."""
    reverse_path = delivery.destination
    report = read_return(_beginning(content))
    mark = prove_return(report.marks, reverse_path=reverse_path, keys=marker_keys())
    facts = facts_of_return(report, mark, reverse_path=reverse_path, told=Told())
    if mark is None:
        return ReadReturn(_own_event(delivery, report, judge_return(facts).reason.value), None)
    news = _news(delivery, report, mark, facts, now)
    return ReadReturn(_own_event(delivery, report, f"about {format_trace_id(mark.trace_id)}"), news)


def _beginning(content: Content) -> bytes:
    octets, pieces = b"", iter(content.pieces)
    while len(octets) < MAX_READ_OCTETS and (piece := next(pieces, None)) is not None:
        octets += piece
    return octets[:MAX_READ_OCTETS]


def _own_event(delivery: ClaimedDelivery, report: ReturnReport, reason: str) -> Event:
    message = delivery.message
    return Event(
        kind=EventKind.RETURNED,
        trace_id=message.id,
        tenant_id=message.tenant_id,
        direction=message.direction.value,
        recipient=delivery.recipient,
        destination=delivery.destination,
        outcome=report.kind.value,
        reason=reason,
    )


def _news(
    delivery: ClaimedDelivery,
    report: ReturnReport,
    mark: OpenedMark,
    facts: ReturnFacts,
    now: datetime,
) -> News:
    dsn = dsn_of_return(
        report,
        mark,
        reverse_path=delivery.destination,
        service_domain=settings.ENV.service_domain,
        message_id="",
        now=now,
    )
    # Only a failure says what became of the message; all else is told by the decision's event.
    came = _original_event(delivery, report, mark)
    failed = report.kind is ReturnKind.FAILED
    return News(
        kind=NoticeKind.FAILURE,
        trace_id=mark.trace_id,
        recipient=mark.recipient,
        facts=facts,
        dsn=dsn,
        tenant_id=mark.tenant_id or None,
        route_id=mark.route_id or None,
        log_level=mark.log_level,
        direction="forward",
        events=(came if failed else replace(came, kind=EventKind.NOTICED),),
    )


def _original_event(delivery: ClaimedDelivery, report: ReturnReport, mark: OpenedMark) -> Event:
    return Event(
        kind=EventKind.RETURNED,
        trace_id=mark.trace_id,
        tenant_id=mark.tenant_id or None,
        direction="forward",
        recipient=mark.recipient,
        outcome=report.kind.value,
        stage="return",
        reply=report.diagnostic,
        reason=report.status,
        notice_id=format_trace_id(delivery.message.id),
        routes=(mark.route_id,) if mark.route_id else (),
        about_message=is_about_message(report.status),
    )
