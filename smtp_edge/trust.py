"""What the tenants make of one message, when all is known of it: one reply, and what each gets.

    accepted recipients, Authentication, scans  ->  TrustDesk.judge  ->  Trusted

Each recipient is judged by the policy of his own tenant (mail/policy/trust_rules.py); returns have
no tenant and no author, and are left alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from mail.authentication.results_field import results_field
from mail.authentication.values import ArcResult, Authentication, DmarcPolicy, DmarcResult
from mail.envelope import Envelope
from mail.extension import check_fields, rules_of
from mail.mailboxes import addresses
from mail.message import values
from mail.plan import Direction, Hold, PlannedDelivery
from mail.policy.trust import (
    DEFAULT_TRUST,
    Action,
    TrustFacts,
    TrustJudgement,
    TrustPolicy,
)
from mail.policy.trust_combined import combine
from mail.policy.trust_findings import Found, found_of
from mail.policy.trust_lists import domain_of
from mail.policy.trust_rules import Rule, judge_trust
from mail.reply import Reply
from mail.scan_fields import scan_fields
from mail.scanning import ScanResult
from smtp_edge.headers import ReceivedHeader
from smtp_edge.inspection import Inspection
from smtp_edge.planning import AcceptedRecipient, Share, Standing
from smtp_edge.ports import DomainLookup

_MILDEST_FIRST: Final = (Action.ACCEPT, Action.QUARANTINE, Action.DEFER, Action.REFUSE)
_MOST_AUTHORS: Final = 100  # looked for in lists, which know their domains besides
_UNPROVED: Final = frozenset({DmarcResult.FAIL, DmarcResult.TEMPERROR})


@dataclass(frozen=True, slots=True)
class JudgedRecipient:
    """A recipient with what becomes of the message for him; `judgement` None: not asked."""

    recipient: AcceptedRecipient
    facts: TrustFacts | None = None
    judgement: TrustJudgement | None = None

    @property
    def deliveries(self) -> tuple[PlannedDelivery, ...]:
        """Where his mail goes, kept back where the policy says so."""
        judgement, facts = self.judgement, self.facts
        if judgement is None or facts is None or judgement.action is not Action.QUARANTINE:
            return self.recipient.deliveries
        return tuple(
            replace(
                one,
                hold=Hold.QUARANTINE,
                hold_reason=judgement.reason,
                hold_days=facts.policy.quarantine_days,
            )
            for one in self.recipient.deliveries
        )

    def log(self) -> Found:
        """What the tenant's log keeps of it."""
        return found_of(self.facts, self.judgement) if self.facts and self.judgement else ()


@dataclass(frozen=True, slots=True)
class Trusted:
    """The outcome: `reply` where the message is not taken, for all recipients alike."""

    reply: Reply | None = None
    judged: tuple[JudgedRecipient, ...] = ()
    found: Authentication | None = None
    scans: tuple[ScanResult, ...] = ()
    added: str = ""
    """Fields that the installation's checks add."""

    def of(self, recipient: AcceptedRecipient) -> JudgedRecipient:
        for one in self.judged:
            if one.recipient is recipient:
                return one
        return JudgedRecipient(recipient)

    @property
    def holding(self) -> frozenset[int]:
        """The tenants who would have some of it kept back."""
        return frozenset(
            one.recipient.tenant_id
            for one in self.judged
            if one.recipient.tenant_id is not None and any(it.hold for it in one.deliveries)
        )

    def standing(self, share: Share, *, authserv_id: str, utf8: bool) -> Standing:
        """How the copy of one tenant stands."""
        judged = [self.of(one) for one in share.recipients]
        if not any(one.judgement for one in judged):
            return Standing(share.deliveries)
        first = max(judged, key=_strictness)
        return Standing(
            # Named twice in one transaction is still one delivery.
            deliveries=tuple(dict.fromkeys(it for one in judged for it in one.deliveries)),
            our_fields=self._fields(judged, authserv_id, utf8),
            chain=self.found.arc.result if self.found is not None else None,
            found=first.log(),
            trail=first.judgement.trail if first.judgement else (),
        )

    def _fields(self, judged: Iterable[JudgedRecipient], authserv_id: str, utf8: bool) -> str:
        judgements = [one.judgement for one in judged if one.judgement is not None]
        ours = ""
        if self.found is not None:
            ours = results_field(
                self.found,
                authserv_id=authserv_id,
                utf8=utf8,
                disposition=_disposition(self.found, judgements),
            )
        if any(one.adds_fields for one in judgements):
            ours += scan_fields(self.scans)
        return ours + self.added


UNJUDGED: Final = Trusted()


def _strictness(one: JudgedRecipient) -> int:
    return _MILDEST_FIRST.index(one.judgement.action) if one.judgement else -1


def _disposition(found: Authentication, judgements: Iterable[TrustJudgement]) -> DmarcPolicy | None:
    """What became of a DMARC failure here, for who reads our results.

    Held only where it is for all of them: nobody learns that the mail had another recipient.
    """
    if found.dmarc.result is not DmarcResult.FAIL:
        return None
    is_held = all(one.action is Action.QUARANTINE for one in judgements)
    return DmarcPolicy.QUARANTINE if is_held else DmarcPolicy.NONE


@dataclass(frozen=True, slots=True)
class TrustDesk:
    """Judges by the policies of the recipients' tenants. May raise `ServiceAway`."""

    domains: DomainLookup

    async def judge(
        self,
        envelope: Envelope,
        header: ReceivedHeader,
        recipients: Sequence[AcceptedRecipient],
        inspection: Inspection,
        found: Authentication | None,
        now: datetime,
    ) -> Trusted:
        """What is in the message is asked only when nothing else speaks against it."""
        asked = [one for one in recipients if is_judged(one)]
        common = await self._common(envelope, header, asked, found, now)
        trusted = _judged(asked, common, inspection.own_rules)
        if trusted.reply is not None or not asked or not inspection.looks_inside:
            return trusted
        contents = await inspection.contents(found)
        rules = (*inspection.own_rules, *rules_of(contents.checks))
        trusted = _judged(asked, replace(common, scans=contents.scans), rules)
        return replace(trusted, added=check_fields(contents.checks))

    async def _common(
        self,
        envelope: Envelope,
        header: ReceivedHeader,
        asked: Sequence[AcceptedRecipient],
        found: Authentication | None,
        now: datetime,
    ) -> TrustFacts:
        """What is the same for all recipients."""
        return TrustFacts(
            policy=DEFAULT_TRUST,
            authentication=found,
            client_ip=envelope.client.ip,
            reverse_path=envelope.reverse_path,
            author_addresses=_some(addresses(values(header.fields, b"from"))),
            author_domains=header.authors or (),
            from_count=sum(one.name == b"from" for one in header.fields),
            recipient_domain="",
            route_id=None,
            now=now,
            author_is_hosted=await self._is_hosted(header, found),
        )

    async def _is_hosted(self, header: ReceivedHeader, found: Authentication | None) -> bool:
        """Whether an author writes as one of our tenants; looked up only where a seal may count.

        Also where nobody trusts the sealer: the log keeps it, for the dry run of who would.
        """
        if found is None or found.dmarc.result not in _UNPROVED:
            return False
        if found.arc.result is not ArcResult.PASS:
            return False
        names = {name for domain in header.authors or () for name in _upwards(domain)}
        return any([await self.domains.get(name) is not None for name in sorted(names)])


def _some(authors: Sequence[str]) -> tuple[str, ...]:
    """The first of them, and one more of each domain that is not among those."""
    if len(authors) <= _MOST_AUTHORS:
        return tuple(authors)
    one_each = {domain_of(one): one for one in reversed(authors)}
    others = list(reversed(one_each.values()))[:_MOST_AUTHORS]
    return tuple(dict.fromkeys((*authors[:_MOST_AUTHORS], *others)))


def is_judged(recipient: AcceptedRecipient) -> bool:
    """Whether a policy is asked: not for returns, nor where the mail is dropped anyway."""
    return recipient.direction is Direction.FORWARD and bool(recipient.deliveries)


def _judged(
    asked: Sequence[AcceptedRecipient], common: TrustFacts, own_rules: Sequence[Rule]
) -> Trusted:
    """Recipients for whom the same holds are judged once: one may be named a thousand times."""
    facts = {_alike(one): _facts_for(one, common) for one in asked}
    combined = combine([judge_trust(one, own_rules) for one in facts.values()])
    judgements = dict(zip(facts, combined.judgements, strict=True))
    return Trusted(
        reply=combined.reply,
        judged=tuple(
            JudgedRecipient(one, facts[_alike(one)], judgements[_alike(one)]) for one in asked
        ),
        found=common.authentication,
        scans=common.scans,
    )


def _alike(recipient: AcceptedRecipient) -> tuple[int, str, int | None]:
    """All that is a recipient's own in `TrustFacts`; policies are compared by identity."""
    return id(_policy(recipient)), _domain(recipient), _route(recipient)


def _domain(recipient: AcceptedRecipient) -> str:
    address = recipient.facts.address
    return address.domain if address else ""


def _route(recipient: AcceptedRecipient) -> int | None:
    match = recipient.facts.match
    return match.route.route_id if match else None


def _facts_for(recipient: AcceptedRecipient, common: TrustFacts) -> TrustFacts:
    return replace(
        common,
        policy=_policy(recipient),
        recipient_domain=_domain(recipient),
        route_id=_route(recipient),
    )


def _policy(recipient: AcceptedRecipient) -> TrustPolicy:
    snapshot = recipient.facts.snapshot
    return snapshot.trust if snapshot is not None else DEFAULT_TRUST


def _upwards(domain: str) -> list[str]:
    """The domain and those above it that have a dot."""
    labels = domain.split(".")
    return [".".join(labels[at:]) for at in range(max(len(labels) - 1, 1))][:8]
