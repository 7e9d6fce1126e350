"""One client's session as the doorkeeper sees it: what was asked about him, and what follows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from delivery.greylist import Standing
from mail.envelope import Client, Envelope
from mail.facts import RecipientFacts
from mail.lookups import Outcome
from mail.policy.recipient import RESERVED_MAILBOXES
from mail.policy.trust import ListKind, TrustFacts
from mail.policy.trust_lists import entry_for_client
from mail.reply import Reply
from mail.verdict import Judgement, Verdict
from smtp_edge import replies
from smtp_edge.dns_lists import NOTHING_SAID, Asked, ListVerdict
from smtp_edge.planning import AcceptedRecipient

if TYPE_CHECKING:
    from smtp_edge.doorkeeper import Doorkeeper


class Visit:
    """Made at connect for every session: it must cost nothing where nothing is asked."""

    __slots__ = ("_asked", "came_back", "doorkeeper", "ip", "is_unlimited", "key")

    def __init__(self, doorkeeper: Doorkeeper, ip: str, key: str, *, is_unlimited: bool) -> None:
        self.doorkeeper = doorkeeper
        self.ip, self.key = ip, key
        """The address, and the name under which the client is counted."""
        self.is_unlimited = is_unlimited
        self._asked: Asked | None = None
        self.came_back = False
        """A recipient of this transaction took him because he came back."""

    def begin(self) -> None:
        """He is in: ask the lists, beside what he says."""
        lists = self.doorkeeper.lists
        if lists and not self.is_unlimited:
            self._asked = lists.ask(self.ip)

    def end(self) -> None:
        if self._asked is not None:
            self._asked.forget()

    async def listed(self) -> ListVerdict:
        """What the lists say; waits for them once, two seconds at most."""
        return NOTHING_SAID if self._asked is None else await self._asked.verdict()

    async def suspicion(self) -> bool:
        """Whether he is on a list that blocks, or his address has no name."""
        if self.is_unlimited:
            return False
        listed = await self.listed()
        if listed.allowed_by:
            return False
        return bool(listed.blocked_by) or await self._is_nameless()

    async def _is_nameless(self) -> bool:
        lookup = self.doorkeeper.lookup
        if lookup is None or self.ip == "unknown":
            return False
        answer = await lookup.ptr(ip_address(self.ip).reverse_pointer)
        return answer.outcome in (Outcome.NO_NAME, Outcome.NO_DATA)

    # What the dialog asks

    def at_mail(self, client: Client) -> Reply | None:
        """The reply that ends the session of a client who sends too much."""
        self.came_back = False
        rates = self.doorkeeper.rates
        if self.is_unlimited or not rates.counts.over(rates.messages, self.key):
            return None
        self.doorkeeper.note("mail", client, "too_many_messages", replies.TOO_MANY_MESSAGES)
        return replies.TOO_MANY_MESSAGES

    def refused(self, client: Client) -> Reply | None:
        """A recipient of his was refused for good; the reply that ends it when they are too many."""  # noqa: E501
        rates = self.doorkeeper.rates
        if self.is_unlimited or not rates.too_many(rates.refused, self.key):
            return None
        self.doorkeeper.note("rcpt", client, "too_many_refused", replies.TOO_MANY_REFUSED)
        return replies.TOO_MANY_REFUSED

    def guessed(self, client: Client) -> Reply | None:
        """He tried a return address that we never made; the same, and for everybody."""
        rates = self.doorkeeper.rates
        if not rates.too_many(rates.guesses, self.key):
            return None
        self.doorkeeper.note("rcpt", client, "too_many_guesses", replies.TOO_MANY_GUESSES)
        return replies.TOO_MANY_GUESSES

    def delivered(self, envelope: Envelope, recipients: Sequence[AcceptedRecipient]) -> None:
        """A message was answered 250."""
        if self.is_unlimited:
            return
        self.doorkeeper.rates.message(self.key, recipients)
        if self.came_back and self.doorkeeper.greylist is not None:
            self.doorkeeper.greylist.delivered(envelope)

    # The rules about a recipient that the policy accepts

    async def judge(
        self, envelope: Envelope, facts: RecipientFacts, judgement: Judgement
    ) -> Judgement:
        """The judgement, or what the client himself makes of it. postmaster@ and abuse@ pass."""
        if self.is_unlimited or not judgement.accepted or _is_reserved(facts):
            return judgement
        trail = list(judgement.trail)
        if trail[-1] == "accept":
            trail.pop()
        for rule in SCREENING_RULES:
            trail.append(rule.__name__)
            verdict = await rule(self, envelope, facts)
            if verdict is not None:
                return Judgement(verdict.reply, rule.__name__, verdict.reason, tuple(trail))
        return judgement


Rule = Callable[[Visit, Envelope, RecipientFacts], Awaitable[Verdict | None]]


async def listed_client(visit: Visit, envelope: Envelope, facts: RecipientFacts) -> Verdict | None:
    """By lists of the operator's; a tenant who lets the client's network in overrules them."""
    if _is_let_in(envelope, facts):
        return None
    listed = await visit.listed()
    is_blocked = listed.blocked_by and listed.weight >= visit.doorkeeper.list_weight
    if listed.allowed_by or not is_blocked:
        return None
    names = ", ".join(listed.blocked_by)
    return Verdict(
        Reply(550, (7, 1), f"Your address [{visit.ip}] is listed by {names}"),
        f"client is listed by {names}",
    )


async def busy_recipient(visit: Visit, envelope: Envelope, facts: RecipientFacts) -> Verdict | None:
    if facts.snapshot is None:
        return None
    route_id = facts.match.route.route_id if facts.match is not None else None
    rate = visit.doorkeeper.rates.busy(route_id, facts.snapshot.tenant_id)
    if rate is None:
        return None
    return Verdict(replies.TOO_BUSY, f"{rate.most} messages a {_window(rate.kind)} reached")


def _window(kind: str) -> str:
    of, _, window = kind.partition(" ")
    return f"{window} for the {of}"


async def greylisted(visit: Visit, envelope: Envelope, facts: RecipientFacts) -> Verdict | None:
    """For tenants that want it (RFC 6647); who is on an allow list is known."""
    greylist, snapshot = visit.doorkeeper.greylist, facts.snapshot
    if greylist is None or snapshot is None:
        return None
    if not snapshot.trust.greylists or _is_let_in(envelope, facts):
        return None
    if (await visit.listed()).allowed_by:
        return None
    standing = await greylist.standing(envelope, str(facts.address))
    if standing is Standing.TOO_EARLY:
        return Verdict(replies.GREYLISTED, "client, sender and recipient have not met before")
    visit.came_back = visit.came_back or standing is Standing.CAME_BACK
    return None


# In order of what they cost.
SCREENING_RULES: Final[tuple[Rule, ...]] = (listed_client, busy_recipient, greylisted)


def _is_let_in(envelope: Envelope, facts: RecipientFacts) -> bool:
    """Whether the tenant has the client's network on his allow list for this recipient."""
    snapshot = facts.snapshot
    if snapshot is None or not snapshot.trust.of_networks:
        return False
    asked = TrustFacts(
        policy=snapshot.trust,
        authentication=None,
        client_ip=envelope.client.ip,
        reverse_path=envelope.reverse_path,
        author_addresses=(),
        author_domains=(),
        from_count=0,
        recipient_domain=snapshot.name,
        route_id=facts.match.route.route_id if facts.match is not None else None,
        now=datetime.now(UTC),
    )
    return entry_for_client(asked, ListKind.ALLOW) is not None


def _is_reserved(facts: RecipientFacts) -> bool:
    return facts.address is not None and facts.address.local_part.lower() in RESERVED_MAILBOXES
