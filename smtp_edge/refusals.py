"""Tells of refusals: one log line each without addresses, and a record for the trace."""

import structlog

from delivery.refusals import NOT_HOSTED, RefusedAt
from mail.envelope import Envelope
from mail.events import Event, EventKind
from mail.facts import LogLevel, RecipientFacts
from mail.trace import format_trace_id
from mail.verdict import Judgement
from smtp_edge import metrics
from smtp_edge.planning import AcceptedRecipient
from smtp_edge.ports import Reporter

log = structlog.get_logger()


class Refusals:
    """`reporter` keeps the records; nothing here waits or fails."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    def at_rcpt(self, envelope: Envelope, facts: RecipientFacts, judgement: Judgement) -> None:
        snapshot = facts.snapshot
        tenant_id = snapshot.tenant_id if snapshot else None
        _log("mail.rcpt_judged", envelope, tenant_id, judgement)
        metrics.REFUSALS.labels("rcpt", judgement.rule).inc()
        recipient = str(facts.address) if facts.address else facts.text[:320]
        self._record(
            EventKind.REFUSED, "rcpt", envelope, judgement, recipient,
            tenant_id, snapshot.name if snapshot else NOT_HOSTED,
            snapshot.log_level if snapshot else LogLevel.METADATA,
        )  # fmt: skip

    def at_data(
        self, envelope: Envelope, recipients: tuple[AcceptedRecipient, ...], judgement: Judgement
    ) -> None:
        """One record for each recipient: each is refused, whatever the reason was."""
        metrics.REFUSALS.labels("data", judgement.rule).inc()
        for tenant_id in dict.fromkeys(one.tenant_id for one in recipients):
            _log("mail.refused", envelope, tenant_id, judgement)
        for recipient in recipients:
            self._record_recipient(EventKind.REFUSED, envelope, recipient, judgement)

    def dropped(self, envelope: Envelope, recipient: AcceptedRecipient) -> None:
        """Mail that was answered 250 and goes nowhere, because the owner chose so."""
        log.info(
            "mail.dropped",
            trace_id=format_trace_id(envelope.trace_id),
            tenant_id=recipient.tenant_id,
        )
        self._record_recipient(EventKind.DROPPED, envelope, recipient, recipient.judgement)

    def _record_recipient(
        self,
        kind: EventKind,
        envelope: Envelope,
        recipient: AcceptedRecipient,
        judgement: Judgement,
    ) -> None:
        snapshot = recipient.facts.snapshot
        self._record(
            kind, "data", envelope, judgement, recipient.address, recipient.tenant_id,
            snapshot.name if snapshot else NOT_HOSTED, recipient.log_level,
        )  # fmt: skip

    def _record(
        self,
        kind: EventKind,
        stage: str,
        envelope: Envelope,
        judgement: Judgement,
        recipient: str,
        tenant_id: int | None,
        domain: str,
        log_level: LogLevel,
    ) -> None:
        client = envelope.client
        event = Event(
            kind=kind,
            trace_id=envelope.trace_id,
            tenant_id=tenant_id,
            reverse_path=envelope.reverse_path,
            recipient=recipient,
            client_ip=client.ip,
            helo=client.helo,
            protocol=client.protocol,
            tls=client.tls,
            stage=stage,
            reply=str(judgement.reply),
            rule=judgement.rule,
            reason=judgement.reason,
            trail=judgement.trail,
        )
        self._reporter.refused(RefusedAt(event, domain, log_level))


def _log(event: str, envelope: Envelope, tenant_id: int | None, judgement: Judgement) -> None:
    log.info(
        event,
        trace_id=format_trace_id(envelope.trace_id),
        tenant_id=tenant_id,
        reply=str(judgement.reply),
        rule=judgement.rule,
        reason=judgement.reason,
    )
