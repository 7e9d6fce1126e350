"""One transaction, from MAIL to the reply to the final dot. Each step makes a finished value.

| step | comes in | judged by | goes out |
|---|---|---|---|
| `begin` | client, MAIL | | `Transaction` with its `Envelope` |
| `recipient` | RCPT | mail.policy.recipient | `AcceptedRecipient`, reply |
| `receive` | the octets | mail.policy.message | `PlannedMessage`s, kept; reply |

The header block is judged before anything large is stored. 250 is said when all is committed;
`ServiceAway` from any collaborator becomes 451 4.3.0.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import structlog

from delivery.acceptance import KeptMessage
from mail.envelope import Client, Envelope
from mail.facts import ReturnFault
from mail.opaque import rewrite_reverse_path
from mail.plan import Direction, PlannedMessage
from mail.policy.message import judge_message
from mail.policy.recipient import judge_recipient
from mail.reply import SERVICE_AWAY, Reply
from mail.trace import format_trace_id, new_trace_id
from mail.verdict import Judgement
from smtp_edge import metrics, replies
from smtp_edge.authenticity import NOBODY, Authenticity, PathCheck
from smtp_edge.commands import MailCommand, RcptCommand
from smtp_edge.contents import LargeContent, Opening, whole
from smtp_edge.disk import unlimited
from smtp_edge.headers import ReceivedHeader, message_facts
from smtp_edge.limits import Limits
from smtp_edge.planning import AcceptedRecipient, Share, plan_message, share_out
from smtp_edge.ports import Incoming, Keeper, NoSpace, ServiceAway
from smtp_edge.recipients import RecipientDesk
from smtp_edge.refusals import Refusals

log = structlog.get_logger()


def _new_id() -> UUID:
    return new_trace_id(time.time_ns() // 1_000_000, os.urandom(10))


@dataclass(frozen=True, slots=True)
class Inbound:
    """The collaborators of every transaction of this process."""

    desk: RecipientDesk
    keeper: Keeper
    refusals: Refusals
    limits: Limits
    marker_keys: Callable[[], tuple[bytes, ...]]
    authenticity: Authenticity = NOBODY
    is_inside: bool = False
    """The mail comes out of our own queue: authors in our names were judged, or are us."""
    has_room: Callable[[int], bool] = unlimited
    """Whether the disk has room for so many octets."""

    def begin(self, client: Client, command: MailCommand) -> "Transaction | Reply":
        """The transaction that MAIL opens, or why not."""
        if command.declared_octets > self.limits.message_octets:
            return replies.MESSAGE_TOO_LARGE
        if not self.has_room(command.declared_octets):
            metrics.REFUSALS.labels("mail", "no_space").inc()
            return replies.NO_SPACE
        return Transaction(
            self,
            Envelope(
                trace_id=_new_id(),
                client=client,
                reverse_path=command.reverse_path,
                smtputf8=command.smtputf8,
                eight_bit=command.eight_bit,
                declared_octets=command.declared_octets,
            ),
        )


@dataclass(frozen=True, slots=True)
class _Plan:
    """How the message is going to be kept."""

    shares: tuple[Share, ...]
    header: ReceivedHeader
    opening: Opening
    trail: tuple[str, ...]
    authenticated: bool


class Transaction:
    """From MAIL to the final dot; forgotten by RSET, EHLO, STARTTLS and the end of the session."""

    __slots__ = (
        *("_inbound", "_path_check", "_printed_id", "bad_returns"),
        *("deliveries", "envelope", "recipients", "tried"),
    )

    def __init__(self, inbound: Inbound, envelope: Envelope) -> None:
        self._inbound = inbound
        self.envelope = envelope
        self._printed_id = format_trace_id(envelope.trace_id)
        self.recipients: list[AcceptedRecipient] = []
        self.deliveries = 0
        self.tried = 0
        self._path_check: PathCheck | None = None
        self.bad_returns = 0
        """Recipients that only somebody who guesses SRS hashes would try."""

    async def recipient(self, command: RcptCommand) -> Reply:
        """Judge one recipient; what RCPT answers."""
        limits = self._inbound.limits
        self.tried += 1
        if len(self.recipients) >= limits.recipients:
            return replies.TOO_MANY_RECIPIENTS
        try:
            facts = await self._inbound.desk.facts(self.envelope, command, _now().date())
        except ServiceAway:
            metrics.REFUSALS.labels("rcpt", "service_away").inc()
            return SERVICE_AWAY
        if facts.returned is ReturnFault.FORGED:
            self.bad_returns += 1
        judgement = judge_recipient(facts)
        if not judgement.accepted:
            self._inbound.refusals.at_rcpt(self.envelope, facts, judgement)
            return judgement.reply
        accepted = AcceptedRecipient.of(facts, judgement)
        if self.deliveries + len(accepted.deliveries) > limits.deliveries:
            return replies.TOO_MANY_RECIPIENTS
        self.recipients.append(accepted)
        self.deliveries += len(accepted.deliveries)
        self._check_path(accepted)
        return judgement.reply

    def _check_path(self, accepted: AcceptedRecipient) -> None:
        """Ask who may use the reverse-path, while the client goes on to DATA."""
        wanted = accepted.deliveries and accepted.direction is Direction.FORWARD
        if wanted and self.envelope.reverse_path and self._path_check is None:
            self._path_check = self._inbound.authenticity.check(self.envelope)

    async def receive(self, data: Incoming) -> Reply:
        """Read, judge and keep the message; what the final dot answers.

        `data` is read to its end, unless the client sends far more than we take.
        """
        try:
            reply = await self._receive(data)
        except ServiceAway as away:
            log.warning("mail.not_kept", trace_id=self._printed_id, reason=str(away))
            metrics.REFUSALS.labels("data", "service_away").inc()
            reply = replies.NO_SPACE if isinstance(away, NoSpace) else SERVICE_AWAY
        except Exception:
            await self._read_past(data)  # the dialog goes on behind the message
            raise
        await self._read_past(data)
        return reply

    async def _read_past(self, data: Incoming) -> None:
        if not data.ended:
            await data.skip(self._inbound.limits.message_octets)

    async def _receive(self, data: Incoming) -> Reply:
        first = await data.piece()
        refusal = self._wire_refusal(data)
        if refusal is not None:
            return refusal
        header = ReceivedHeader.read(first)
        judgement = self._judge(header, len(first))
        if not judgement.accepted:
            self._inbound.refusals.at_data(self.envelope, self.recipients, judgement)
            return judgement.reply
        authenticated = self._path_check is not None and await self._path_check.passed()
        plan = self._plan(header, first, judgement, authenticated=authenticated)
        if not data.all_taken:
            return await self._receive_large(plan, data)
        octets = plan.opening.octets
        return await self._keep(
            [whole(self._message(plan, one, len(octets)), one, octets) for one in plan.shares]
        )

    def _judge(self, header: ReceivedHeader, size_octets: int) -> Judgement:
        facts = message_facts(
            header,
            self.envelope,
            self.recipients,
            own_domains=self._own_domains(),
            size_octets=size_octets,
            marker_keys=self._inbound.marker_keys,
        )
        return judge_message(facts)

    def _own_domains(self) -> tuple[str, ...]:
        """Names that no author from outside may bear, with all below them.

        Those above ours too, hosted here or not: a relaxed DMARC record there would align with our
        signature.
        """
        if self._inbound.is_inside:
            return ()
        names = self._inbound.desk.names
        return (names.service, names.forward, *names.above)

    def _wire_refusal(self, data: Incoming) -> Reply | None:
        """What the octets themselves forbid, as far as they were taken."""
        if data.broken:
            return self._refuse(replies.STRAY_LINE_ENDS, "stray_line_ends")
        if data.taken_octets > self._inbound.limits.message_octets:
            return self._refuse(replies.MESSAGE_TOO_LARGE, "message_too_large")
        return None

    def _refuse(self, reply: Reply, rule: str) -> Reply:
        judgement = Judgement(reply, rule, rule.replace("_", " "), (rule,))
        self._inbound.refusals.at_data(self.envelope, self.recipients, judgement)
        return reply

    def _plan(
        self, header: ReceivedHeader, first: bytes, judgement: Judgement, *, authenticated: bool
    ) -> _Plan:
        service = self._inbound.desk.names.service
        shares = share_out(
            self.envelope, self.recipients, service=service, now=_now(), next_id=_new_id
        )
        opening = Opening.of(first, service)
        return _Plan(shares, header, opening, judgement.trail, authenticated)

    def _message(self, plan: _Plan, share: Share, received_octets: int) -> PlannedMessage:
        desk = self._inbound.desk
        outgoing = rewrite_reverse_path(
            self.envelope.reverse_path,
            secrets=desk.srs_secrets,
            today=_now().date(),
            domain=desk.names.forward,
        )
        return plan_message(
            self.envelope,
            share,
            outgoing=outgoing,
            fields=plan.header.fields,
            size_octets=len(share.trace) + received_octets,
            header_octets=len(share.trace) + plan.opening.header_octets,
            message_trail=plan.trail,
            authenticated=plan.authenticated,
        )

    async def _receive_large(self, plan: _Plan, data: Incoming) -> Reply:
        """Store piece by piece while the client sends; nothing counts before the commit."""
        content = LargeContent(self._inbound.keeper, plan.shares)
        is_complete = False
        try:
            await content.add(plan.opening.octets)
            octets = await data.piece()
            while (refusal := self._wire_refusal(data)) is None and not data.all_taken:
                await content.add(octets)
                octets = await data.piece()
            is_complete = refusal is None
        finally:
            # Once the committer has it, a piece must not go: the message may come to be after all.
            if not is_complete:
                content.discard()
        if refusal is not None:
            return refusal
        size = content.octets + len(octets)
        return await self._keep(
            [content.finish(self._message(plan, one, size), octets) for one in plan.shares]
        )

    async def _keep(self, messages: Sequence[KeptMessage]) -> Reply:
        """Have it committed, then say so."""
        began = time.perf_counter()
        if messages:
            await self._inbound.keeper.keep(messages)
        metrics.KEEP_SECONDS.observe(time.perf_counter() - began)
        for recipient in self.recipients:
            if not recipient.deliveries:
                self._inbound.refusals.dropped(self.envelope, recipient)
        for message in messages:
            self._note_accepted(message.plan)
        return Reply(250, (0, 0), f"Ok: queued as {self._printed_id}")

    def _note_accepted(self, plan: PlannedMessage) -> None:
        if plan.tenant_id is not None:
            self._inbound.desk.reporter.accepted(plan.tenant_id, len(plan.deliveries))
        is_first = plan.trace_id == self.envelope.trace_id
        metrics.MESSAGES.add()
        metrics.OCTETS.add(plan.size_octets)
        log.info(
            "mail.accepted",
            trace_id=self._printed_id if is_first else format_trace_id(plan.trace_id),
            transaction=self._printed_id,
            tenant_id=plan.tenant_id,
            direction=plan.direction.value,
            deliveries=len(plan.deliveries),
            octets=plan.size_octets,
            protocol=plan.protocol,
        )


def _now() -> datetime:
    return datetime.now(UTC)
