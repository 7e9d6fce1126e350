"""One transaction, from MAIL to the reply to the final dot. Each step makes a finished value.

| step | comes in | judged by | goes out |
|---|---|---|---|
| `begin` | client, MAIL | | `Transaction` with its `Envelope` |
| `recipient` | RCPT | mail.policy.recipient | `AcceptedRecipient`, reply |
| `receive` | the octets | mail.policy.message | `PlannedMessage`s, kept; reply |
| | | mail.policy.trust_rules, at their end | |

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
from mail.authentication.reverse_path import is_authentic
from mail.authentication.values import Authentication
from mail.envelope import Client, Envelope
from mail.facts import ReturnFault
from mail.opaque import rewrite_reverse_path
from mail.plan import PlannedMessage
from mail.policy.kin import unproved_kin
from mail.policy.message import forged_author, judge_message
from mail.policy.recipient import judge_recipient
from mail.reply import SERVICE_AWAY, Reply
from mail.trace import format_trace_id, new_trace_id
from mail.verdict import Judgement, Verdict
from smtp_edge import metrics, replies
from smtp_edge.commands import MailCommand, RcptCommand
from smtp_edge.contents import LargeContent, Opening, Plan, whole
from smtp_edge.disk import unlimited
from smtp_edge.headers import ReceivedHeader, message_facts
from smtp_edge.held_room import ENDLESS
from smtp_edge.inspection import NO_INSPECTION, Inspector
from smtp_edge.limits import Limits
from smtp_edge.planning import AcceptedRecipient, Share, plan_message, share_out
from smtp_edge.ports import Incoming, Keeper, NoSpace, Room, ServiceAway
from smtp_edge.recipients import RecipientDesk
from smtp_edge.refusals import Refusals
from smtp_edge.trust import UNJUDGED, TrustDesk, Trusted, is_judged
from smtp_edge.visit import Visit

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
    inspector: Inspector = NO_INSPECTION
    known_authentic: bool | None = None
    """Mail from inside: whether its reverse-path was authentic when it first came in."""
    is_inside: bool = False
    """The mail comes out of our own queue: authors in our names were judged, or are us."""
    has_room: Callable[[int], bool] = unlimited
    """Whether the disk has room for so many octets."""
    held_room: Room = ENDLESS

    @property
    def trust(self) -> TrustDesk:
        return TrustDesk(self.desk.domains)

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


class Transaction:
    """From MAIL to the final dot; forgotten by RSET, EHLO, STARTTLS and the end of the session."""

    __slots__ = (
        *("_inbound", "_inspection", "_printed_id", "bad_returns"),
        *("deliveries", "envelope", "recipients", "screen", "tried"),
    )

    def __init__(self, inbound: Inbound, envelope: Envelope) -> None:
        self._inbound = inbound
        self.envelope = envelope
        self._printed_id = format_trace_id(envelope.trace_id)
        self.recipients: list[AcceptedRecipient] = []
        self.deliveries = 0
        self.tried = 0
        self.screen: Visit | None = None
        self._inspection = inbound.inspector.begin(envelope)
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
        if self.screen is not None:
            judgement = await self.screen.judge(self.envelope, facts, judgement)
        if not judgement.accepted:
            self._inbound.refusals.at_rcpt(self.envelope, facts, judgement)
            return judgement.reply
        accepted = AcceptedRecipient.of(facts, judgement)
        if self.deliveries + len(accepted.deliveries) > limits.deliveries:
            return replies.TOO_MANY_RECIPIENTS
        self.recipients.append(accepted)
        self.deliveries += len(accepted.deliveries)
        if is_judged(accepted):
            self._inspection.want()
        return judgement.reply

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
        finally:
            self._inspection.abandon()
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
        plan = self._plan(header, first, judgement)
        self._inspection.header(header, self._addresses(), plan.trace)
        await self._inspection.add(first)
        if not data.all_taken:
            return await self._receive_large(plan, data)
        trusted = await self._trust(header)
        if trusted.reply is not None:
            return trusted.reply
        octets = plan.opening.octets
        return await self._keep(
            [
                whole(self._message(plan, one, len(octets), trusted), one, octets)
                for one in plan.shares
            ]
        )

    def _addresses(self) -> tuple[str, ...]:
        return tuple(one.address for one in self.recipients)

    async def _trust(self, header: ReceivedHeader) -> Trusted:
        """What the tenants' policies make of it; a refusal is noted for each recipient."""
        inspection = self._inspection
        found = await inspection.found()
        kin = self._unproved_kin(header, found)
        if kin is not None:
            return Trusted(self._refuse(kin.reply, forged_author.__name__, kin.reason))
        if not inspection.is_wanted:
            return UNJUDGED
        trusted = await self._inbound.trust.judge(
            self.envelope, header, self.recipients, inspection, found, _now()
        )
        if trusted.reply is not None:
            self._inbound.refusals.distrusted(self.envelope, trusted)
        elif await self._inbound.held_room.lacks(trusted.holding):
            return Trusted(self._refuse(replies.HELD_FULL, "held_mail_full"))
        return trusted

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
        """Names that no author from outside may bear, with all below them."""
        if self._inbound.is_inside:
            return ()
        names = self._inbound.desk.names
        return (names.service, names.forward)

    def _unproved_kin(self, header: ReceivedHeader, found: Authentication | None) -> Verdict | None:
        if self._inbound.is_inside:
            return None
        above = self._inbound.desk.names.above
        return unproved_kin(header.authors or (), found, above=above)

    def _wire_refusal(self, data: Incoming) -> Reply | None:
        """What the octets themselves forbid, as far as they were taken."""
        if data.broken:
            return self._refuse(replies.STRAY_LINE_ENDS, "stray_line_ends")
        if data.taken_octets > self._inbound.limits.message_octets:
            return self._refuse(replies.MESSAGE_TOO_LARGE, "message_too_large")
        return None

    def _refuse(self, reply: Reply, rule: str, reason: str = "") -> Reply:
        judgement = Judgement(reply, rule, reason or rule.replace("_", " "), (rule,))
        self._inbound.refusals.at_data(self.envelope, self.recipients, judgement)
        return reply

    def _plan(self, header: ReceivedHeader, first: bytes, judgement: Judgement) -> Plan:
        service = self._inbound.desk.names.service
        shares = share_out(
            self.envelope, self.recipients, service=service, now=_now(), next_id=_new_id
        )
        opening = Opening.of(first, service)
        return Plan(shares, header, opening, judgement.trail)

    def _message(
        self, plan: Plan, share: Share, received_octets: int, trusted: Trusted
    ) -> PlannedMessage:
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
            standing=trusted.standing(
                share, authserv_id=desk.names.service, utf8=self.envelope.smtputf8
            ),
            authenticated=self._is_authentic(trusted),
        )

    def _is_authentic(self, trusted: Trusted) -> bool:
        if self._inbound.known_authentic is not None:
            return self._inbound.known_authentic
        return is_authentic(trusted.found, self.envelope.reverse_path)

    async def _receive_large(self, plan: Plan, data: Incoming) -> Reply:
        """Store piece by piece while the client sends; nothing counts before the commit."""
        content = LargeContent(self._inbound.keeper, plan.shares)
        try:
            await content.add(plan.opening.octets)
            octets = await data.piece()
            while (reply := self._wire_refusal(data)) is None and not data.all_taken:
                await self._inspection.add(octets)
                await content.add(octets)
                octets = await data.piece()
            if reply is None:
                await self._inspection.add(octets)
                trusted = await self._trust(plan.header)
                reply = trusted.reply
        except BaseException:
            content.discard()
            raise
        # Once the committer has it, a piece must not go: the message may come to be after all.
        if reply is not None:
            content.discard()
            return reply
        size = content.octets + len(octets)
        return await self._keep(
            [content.finish(self._message(plan, one, size, trusted), octets) for one in plan.shares]
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
