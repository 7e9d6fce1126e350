"""What would become of a message, asked of the same rules as on the wire; nothing is sent.

    address, reverse-path, author  ->  facts as the edge gathers them  ->  Tried

Only about the asking tenant's own domains: of others nobody learns anything here.
"""

from dataclasses import dataclass

from django.conf import settings

from mail.address import Address
from mail.facts import MessageFacts, RecipientFacts, RouteTarget
from mail.plan import PlannedDelivery
from mail.policy.message import judge_message
from mail.policy.recipient import deliveries_of, judge_recipient
from mail.routes import Match
from mail.verdict import Judgement
from routing.own_names import OwnNames
from routing.selectors import domain_snapshot
from tenants.models import Tenant

_A_HEADER_OCTETS = 1000


@dataclass(frozen=True, slots=True)
class Question:
    """A message that somebody might send; the reverse-path in wire form, the author's domain."""

    recipient: Address
    reverse_path: str
    author_domain: str


@dataclass(frozen=True, slots=True)
class Tried:
    """What RCPT answers, and, where that is 250, what the final dot answers (None: not asked)."""

    recipient: Judgement
    match: Match[RouteTarget] | None
    deliveries: tuple[PlannedDelivery, ...] = ()
    message: Judgement | None = None

    @property
    def decides(self) -> Judgement:
        """The judgement that the client hears last."""
        return self.message or self.recipient

    @property
    def is_dropped(self) -> bool:
        return self.recipient.accepted and not self.deliveries


def try_message(tenant: Tenant, question: Question, *, accepted_today: int) -> Tried | None:
    """What the rules say of it at this moment; None where the domain is not the tenant's."""
    snapshot = domain_snapshot(question.recipient.domain)
    if snapshot is None or snapshot.tenant_id != tenant.pk:
        return None
    text = f"<{question.recipient}>"
    facts = RecipientFacts.at_hosted(
        text, question.reverse_path, question.recipient, snapshot, accepted_today
    )
    judgement = judge_recipient(facts)
    if not judgement.accepted:
        return Tried(judgement, facts.match)
    deliveries = deliveries_of(facts, judgement)
    # Mail that goes nowhere is judged too: the client hears the same as if it went.
    return Tried(judgement, facts.match, deliveries, judge_message(_message_facts(question)))


def _message_facts(question: Question) -> MessageFacts:
    """A plain letter that comes straight from its author."""
    env = settings.ENV
    names = OwnNames.of(env.service_domain, env.forward_domain, "")
    return MessageFacts(
        reverse_path=question.reverse_path,
        author_domains=(question.author_domain,),
        own_domains=(names.service, names.forward, *names.above),
        received_count=1,
        header_octets=_A_HEADER_OCTETS,
        size_octets=_A_HEADER_OCTETS,
        carries_our_marker=False,
        has_return_recipient=False,
        is_automatic=False,
    )
