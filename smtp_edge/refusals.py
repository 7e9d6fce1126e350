"""Tells of refusals: one log line each without addresses, and a record for the trace."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog

from delivery.refusals import NOT_HOSTED, RefusedAt
from mail.envelope import Envelope
from mail.events import Event, EventKind
from mail.facts import LogLevel, RecipientFacts
from mail.policy.trust_findings import Found
from mail.trace import format_trace_id
from mail.verdict import Judgement
from smtp_edge import metrics
from smtp_edge.planning import AcceptedRecipient
from smtp_edge.ports import Reporter
from smtp_edge.trust import Trusted

log = structlog.get_logger()

_MAX_TEXT = 320


@dataclass(frozen=True, slots=True)
class _About:
    """Whom a refusal concerns, and how much of it may be written down."""

    recipient: str
    tenant_id: int | None
    domain: str
    log_level: LogLevel
    routes: tuple[int, ...] = ()

    @classmethod
    def of(cls, facts: RecipientFacts) -> "_About":
        recipient = str(facts.address) if facts.address else facts.text[:_MAX_TEXT]
        snapshot = facts.snapshot
        if snapshot is None:
            return cls(recipient, None, NOT_HOSTED, LogLevel.METADATA)
        routes = (facts.match.route.route_id,) if facts.match else ()
        return cls(recipient, snapshot.tenant_id, snapshot.name, snapshot.refusal_level, routes)


class Refusals:
    """`reporter` keeps the records; nothing here waits or fails."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    def at_rcpt(self, envelope: Envelope, facts: RecipientFacts, judgement: Judgement) -> None:
        about = _About.of(facts)
        _log("mail.rcpt_judged", envelope, about.tenant_id, judgement)
        metrics.REFUSALS.labels("rcpt", judgement.rule).inc()
        self._record(EventKind.REFUSED, "rcpt", envelope, about, judgement)

    def at_data(
        self, envelope: Envelope, recipients: Sequence[AcceptedRecipient], judgement: Judgement
    ) -> None:
        """One record for each recipient: each is refused, whatever the reason was."""
        metrics.REFUSALS.labels("data", judgement.rule).inc()
        for tenant_id in dict.fromkeys(one.tenant_id for one in recipients):
            _log("mail.refused", envelope, tenant_id, judgement)
        for recipient in recipients:
            self._record(EventKind.REFUSED, "data", envelope, _About.of(recipient.facts), judgement)

    def distrusted(self, envelope: Envelope, trusted: Trusted) -> None:
        """Each recipient has the reasons of his own tenant; the reply was one for all."""
        assert trusted.reply is not None
        logged: dict[int, Found] = {}
        for one in trusted.judged:
            if one.judgement is None:
                continue
            judgement = Judgement(
                trusted.reply, one.judgement.rule, one.judgement.reason, one.judgement.trail
            )
            metrics.REFUSALS.labels("data", judgement.rule).inc()
            # The reason may name an address that a tenant has on a list.
            bare = replace(judgement, reason=judgement.rule.replace("_", " "))
            _log("mail.refused", envelope, one.recipient.tenant_id, bare)
            about = _About.of(one.recipient.facts)
            authors = one.facts.author_addresses if one.facts else ()
            if id(one.judgement) not in logged:  # many share one
                logged[id(one.judgement)] = one.log()
            self._record(
                EventKind.REFUSED,
                "data",
                envelope,
                about,
                judgement,
                author=authors[0] if authors else "",
                found=logged[id(one.judgement)],
            )

    def dropped(self, envelope: Envelope, recipient: AcceptedRecipient) -> None:
        """Mail that was answered 250 and goes nowhere, because the owner chose so."""
        _log("mail.dropped", envelope, recipient.tenant_id, recipient.judgement)
        about = replace(_About.of(recipient.facts), log_level=recipient.log_level)
        self._record(EventKind.DROPPED, "data", envelope, about, recipient.judgement)

    def _record(
        self,
        kind: EventKind,
        stage: str,
        envelope: Envelope,
        about: _About,
        judgement: Judgement,
        *,
        author: str = "",
        found: Found = (),
    ) -> None:
        client = envelope.client
        event = Event(
            kind=kind,
            trace_id=envelope.trace_id,
            tenant_id=about.tenant_id,
            reverse_path=envelope.reverse_path,
            recipient=about.recipient,
            client_ip=client.ip,
            helo=client.helo,
            protocol=client.protocol,
            tls=client.tls,
            stage=stage,
            reply=str(judgement.reply),
            rule=judgement.rule,
            reason=judgement.reason,
            trail=judgement.trail,
            routes=about.routes,
            author=author[:_MAX_TEXT],
            found=found,
        )
        self._reporter.refused(RefusedAt(event, about.domain, about.log_level))


def _log(event: str, envelope: Envelope, tenant_id: int | None, judgement: Judgement) -> None:
    log.info(
        event,
        trace_id=format_trace_id(envelope.trace_id),
        tenant_id=tenant_id,
        reply=str(judgement.reply),
        rule=judgement.rule,
        reason=judgement.reason,
    )
