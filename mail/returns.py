"""From a return that came in to our own DSN: what is proved, and only that.

    read_return, prove_return    ReturnReport, OpenedMark or None -> facts_of_return -> ReturnFacts
    when judge_return says so    the same                         -> dsn_of_return   -> DsnFacts

Everything in the DSN comes from the mark that we sealed ourselves (recipient, trace id, moment of
arrival), from closed lists (codes) and from us (words). The Message-ID of the original goes back
only when the mark confirms it. Of the return's own octets nothing goes anywhere.
"""

from datetime import UTC, datetime
from uuid import UUID

from mail.bounces import ReturnKind, ReturnReport
from mail.dsn import AffectedRecipient, DsnFacts
from mail.dsn_policy import ReturnFacts, Told
from mail.marker import OpenedMark


def facts_of_return(
    report: ReturnReport, mark: OpenedMark | None, *, reverse_path: str, told: Told
) -> ReturnFacts:
    """What the policy may know of a return to the SRS address behind which `reverse_path` is."""
    return ReturnFacts(
        reverse_path=reverse_path,
        is_failure=report.kind is ReturnKind.FAILED,
        is_auto_reply=report.is_auto_reply,
        proved=mark is not None,
        authenticated=mark is not None and mark.authenticated,
        diagnosis=report.diagnosis,
        told=told,
    )


def dsn_of_return(
    report: ReturnReport,
    mark: OpenedMark,
    *,
    reverse_path: str,
    service_domain: str,
    message_id: str,
    now: datetime,
) -> DsnFacts:
    """What our DSN about a return is made of; `message_id` is the DSN's own."""
    confirmed = mark.names_message(report.original_message_id)
    header = b"Message-ID: %b\r\n" % report.original_message_id if confirmed else b""
    return DsnFacts(
        service_domain=service_domain,
        reverse_path=reverse_path,
        message_id=message_id,
        now=now,
        trace_id=mark.trace_id,
        arrived_at=_moment_of(mark.trace_id),
        recipients=(AffectedRecipient(mark.recipient, report.diagnosis),),
        original_header=header,
    )


def _moment_of(trace_id: UUID) -> datetime:
    """When a trace id was made: UUIDv7 begins with milliseconds since 1970 (RFC 9562, 5.7)."""
    return datetime.fromtimestamp((trace_id.int >> 80) // 1000, UTC)
