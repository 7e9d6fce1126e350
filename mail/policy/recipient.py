"""Whether we take mail for a recipient, and where it goes: the whole policy of RCPT, in order.

| who calls | what comes in | what goes out |
|---|---|---|
| smtp_edge, one a RCPT | `RecipientFacts` | `Judgement` |
| smtp_edge, when it was accepted | the same facts, the judgement | `PlannedDelivery`s |

Public texts are vague (they tell a stranger nothing about tenants), reasons are exact.
"""

from collections.abc import Callable
from typing import Final

from mail.address import Address
from mail.facts import (
    HELD_DAYS,
    DomainStanding,
    RecipientFacts,
    ReturnFault,
    ReturnPath,
    RouteMode,
    TenantStanding,
)
from mail.plan import Hold, PlannedDelivery
from mail.reply import RECIPIENT_OK, Reply
from mail.routes import How
from mail.verdict import Judgement, Verdict, judge

RESERVED_MAILBOXES: Final = frozenset({"postmaster", "abuse"})

_ROUTING_SIGNS: Final = frozenset("@%!")
_RELAYING_DENIED = Reply(550, (7, 1), "Relaying denied")
_NO_MAILBOX = Reply(550, (1, 1), "No such mailbox here")
_NOT_YET = Reply(450, (7, 1), "Not serving this domain at the moment, try again later")
_NOT_NOW = Reply(450, (2, 1), "Mailbox not available at the moment, try again later")

Rule = Callable[[RecipientFacts], Verdict | None]


def source_route_or_literal(facts: RecipientFacts) -> Verdict | None:
    """A form that could only be relayed (RFC 5321, appendix C and F.2)."""
    if facts.address is None:
        return Verdict(_RELAYING_DENIED, "source route, address literal or no mailbox")
    return None


def routed_local_part(facts: RecipientFacts) -> Verdict | None:
    """`user%other@here`, `other!user@here`, `"user@other"@here`: an old way to ask for relaying.

    A route that names the local part exactly says that the owner means it.
    """
    if facts.address is None or _ROUTING_SIGNS.isdisjoint(facts.address.local_part):
        return None
    if facts.returned is not None or (facts.match is not None and facts.match.how is How.EXACT):
        return None
    return Verdict(_RELAYING_DENIED, "routing inside the local part")


def unknown_domain(facts: RecipientFacts) -> Verdict | None:
    if facts.own_name is None and facts.snapshot is None:
        return Verdict(_RELAYING_DENIED, "domain not hosted here")
    return None


def returned_mail(facts: RecipientFacts) -> Verdict | None:
    """An address in SRS form: ours and in its days, or nobody's."""
    if isinstance(facts.returned, ReturnPath):
        return Verdict(RECIPIENT_OK, "return to a reverse-path of ours")
    if facts.returned is ReturnFault.EXPIRED:
        return Verdict(_NO_MAILBOX, "return address expired")
    if facts.returned is not None:
        return Verdict(_NO_MAILBOX, f"return address {facts.returned.value}")
    return None


def own_mailbox(facts: RecipientFacts) -> Verdict | None:
    """Our own names have postmaster@ and abuse@ (the operator reads them) and nothing else."""
    if facts.own_name is None:
        return None
    if not _is_reserved(facts.address):
        return Verdict(_NO_MAILBOX, "no mailbox of our own names")
    if not facts.operator_address:
        return Verdict(_NOT_NOW, "MXAX_OPERATOR_EMAIL is not set")
    return Verdict(RECIPIENT_OK, "the operator's mailbox")


def unverified_domain(facts: RecipientFacts) -> Verdict | None:
    if _standing(facts) is DomainStanding.PENDING:
        return Verdict(_NOT_YET, "domain claimed, not proved yet")
    return None


def fading_domain(facts: RecipientFacts) -> Verdict | None:
    if _standing(facts) is DomainStanding.FADING:
        return Verdict(_NOT_YET, "domain's proof is lost")
    return None


def reserved_mailbox(facts: RecipientFacts) -> Verdict | None:
    """postmaster@, abuse@: the owner, unless a working route names them (RFC 5321, 4.5.1)."""
    snapshot = facts.snapshot
    if snapshot is None or not snapshot.owner_addresses or not _is_reserved(facts.address):
        return None
    if _is_named_and_works(facts):
        return None
    return Verdict(RECIPIENT_OK, "reserved mailbox, goes to the owner")


def suspended_tenant(facts: RecipientFacts) -> Verdict | None:
    standing = facts.snapshot.tenant_standing if facts.snapshot else TenantStanding.ACTIVE
    if standing is TenantStanding.ABUSIVE:
        return Verdict(
            Reply(550, (7, 1), "Mailbox not served for reasons of policy"),
            "tenant suspended for abuse",
        )
    if standing is TenantStanding.SUSPENDED:
        return Verdict(_NOT_NOW, "tenant suspended")
    return None


def over_rate(facts: RecipientFacts) -> Verdict | None:
    if facts.snapshot and facts.accepted_today >= facts.snapshot.forward_cap:
        return Verdict(
            Reply(450, (7, 1), "Too much mail for this recipient today, try again later"),
            f"forward cap of {facts.snapshot.forward_cap} a day reached",
        )
    return None


def unknown_address(facts: RecipientFacts) -> Verdict | None:
    if facts.match is None:
        return Verdict(_NO_MAILBOX, "no route matches")
    return None


def paused_route(facts: RecipientFacts) -> Verdict | None:
    """The owner chose how a paused route answers."""
    mode = facts.match.route.mode if facts.match else RouteMode.ON
    if mode is RouteMode.REFUSE:
        return Verdict(_NO_MAILBOX, "route paused: refuse")
    if mode is RouteMode.DEFER:
        return Verdict(_NOT_NOW, "route paused: defer")
    if mode is RouteMode.DROP:
        return Verdict(RECIPIENT_OK, "route paused: drop")
    # Without a destination there is nothing to be held: the next rule asks to try later.
    if mode is RouteMode.HOLD and facts.match and facts.match.route.destinations:
        return Verdict(RECIPIENT_OK, "route paused: hold")
    return None


def unconfirmed_destination(facts: RecipientFacts) -> Verdict | None:
    if facts.match and not facts.match.route.destinations:
        return Verdict(_NOT_NOW, "no destination is confirmed")
    return None


# A paused route is asked before its destinations are: nobody waits for the confirmation of a
# destination that gets nothing anyway.
RECIPIENT_RULES: Final[tuple[Rule, ...]] = (
    source_route_or_literal,  # never relayed: 550 5.7.1
    unknown_domain,  # not ours: 550 5.7.1, never an open relay
    routed_local_part,  # 550 5.7.1
    returned_mail,  # SRS: a return, or 550 5.1.1
    own_mailbox,  # our own names: the operator, or 550 5.1.1
    unverified_domain,  # claimed, DNS not proved yet: 450 4.7.1
    fading_domain,  # proof lost: 450 4.7.1
    reserved_mailbox,  # postmaster@, abuse@ of a verified domain (RFC 5321, 4.5.1)
    suspended_tenant,  # 450 4.2.1, for abuse 550 5.7.1
    over_rate,  # 450 4.7.1
    unknown_address,  # 550 5.1.1
    paused_route,  # refuse, defer, hold or drop: the owner chose
    unconfirmed_destination,  # 450 4.2.1
)


def judge_recipient(facts: RecipientFacts) -> Judgement:
    """What RCPT answers, with the trail of rules asked."""
    return judge(facts, RECIPIENT_RULES, Verdict(RECIPIENT_OK, "route matches"))


def deliveries_of(facts: RecipientFacts, judgement: Judgement) -> tuple[PlannedDelivery, ...]:
    """Where mail for an accepted recipient goes; nowhere when the route drops it.

    A paused route that holds keeps its own back, for as long as it is paused and a week at most.
    """
    assert judgement.accepted
    assert facts.address is not None
    recipient = str(facts.address)
    if isinstance(facts.returned, ReturnPath):
        return (PlannedDelivery(recipient, facts.returned.reverse_path),)
    if facts.own_name is not None:
        return (PlannedDelivery(recipient, facts.operator_address),)
    assert facts.snapshot is not None
    if judgement.rule == reserved_mailbox.__name__:
        return tuple(PlannedDelivery(recipient, owner) for owner in facts.snapshot.owner_addresses)
    assert facts.match is not None
    route = facts.match.route
    if route.mode is RouteMode.HOLD:
        return tuple(_held(recipient, to, route.route_id) for to in route.destinations)
    if judgement.rule == paused_route.__name__:
        return ()
    return tuple(PlannedDelivery(recipient, to, route.route_id) for to in route.destinations)


def _held(recipient: str, destination: str, route_id: int) -> PlannedDelivery:
    return PlannedDelivery(
        recipient,
        destination,
        route_id,
        hold=Hold.ROUTE,
        hold_reason="its route is paused and holds",
        hold_days=HELD_DAYS,
    )


def _standing(facts: RecipientFacts) -> DomainStanding | None:
    return facts.snapshot.standing if facts.snapshot else None


def _is_reserved(address: Address | None) -> bool:
    return address is not None and address.local_part.lower() in RESERVED_MAILBOXES


def _is_named_and_works(facts: RecipientFacts) -> bool:
    if facts.match is None or facts.match.how is not How.EXACT:
        return False
    route = facts.match.route
    return route.mode is RouteMode.ON and bool(route.destinations)
