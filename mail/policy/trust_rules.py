"""Whether a message is trusted: the whole policy after authentication, in order.

| who calls | what comes in | what goes out |
|---|---|---|
| smtp_edge, at the final dot, for each recipient | `TrustFacts` | `TrustJudgement` |
| smtp_edge, then once | all judgements | `Combined`: one reply, and what each recipient gets |
| the dry run | facts out of the log | the same |

Two questions, one after the other, and in each the first opinion wins. Who wrote it: an opinion
that refuses, holds or defers ends it. What is in it: asked of all that is let in so far; authors
who are on the allow list are asked for viruses only.

Nothing here is stricter than what the author's domain asks for, except what a tenant put on his
block list. SPF alone never refuses: forwarding breaks it. Public texts are vague, reasons exact.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from mail.authentication.values import (
    Authentication,
    DmarcPolicy,
    DmarcResult,
    DmarcVerdict,
    SpfResult,
)
from mail.policy.trust import (
    Action,
    ListKind,
    OnQuarantine,
    OnScannerAway,
    ScoreLimits,
    TrustFacts,
    TrustJudgement,
)
from mail.policy.trust_lists import domain_of, entry_for_client, entry_for_names
from mail.policy.trust_seals import vouching_sealer
from mail.reply import Reply
from mail.scanning import ScanOutcome

ACCEPT: Final = "accept"
_NOT_JUDGED = Reply(550, (7, 1), "A message has one From field that names its author's domain")
_BLOCKED = Reply(550, (7, 1), "Message refused for reasons of policy")
_DMARC = Reply(550, (7, 26), "The author's domain does not permit this message (DMARC)")
_DMARC_LATER = Reply(
    451, (7, 24), "The author's domain cannot be asked at the moment, try again later"
)
_DNS_AWAY = Reply(451, (4, 3), "The DNS does not answer at the moment, try again later")
_HARMFUL = Reply(550, (7, 1), "Message refused for its content")
_SCORED: Final = (ScanOutcome.CLEAN, ScanOutcome.SPAM)
_SCAN_LATER = Reply(451, (7, 1), "Message cannot be checked at the moment, try again later")


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a rule wants, and exactly why; `reply` for REFUSE and DEFER."""

    action: Action
    reason: str
    reply: Reply | None = None


Rule = Callable[[TrustFacts], Opinion | None]


# Who wrote it


def unjudgeable_author(facts: TrustFacts) -> Opinion | None:
    """No From field, several, or one that DMARC cannot judge: readers would see somebody in it.

    RFC 9989 leaves such mail out (5.3.1) and asks who decides to refuse it (11.5): else it would be
    the way to forge anybody.
    """
    if facts.authentication is None:
        return None
    dmarc = facts.authentication.dmarc
    if facts.from_count != 1:
        reason = f"{facts.from_count} From fields" if facts.from_count else "no From field"
    elif dmarc.result is DmarcResult.PERMERROR and not dmarc.policy_domain:
        reason = f"DMARC cannot judge the From field: {dmarc.reason or 'no author domain'}"
    else:
        return None
    return Opinion(Action.REFUSE, reason, _NOT_JUDGED)


def blocked(facts: TrustFacts) -> Opinion | None:
    """An author, reverse-path or client that somebody of the tenant does not want to hear from."""
    names = (*facts.author_addresses, *facts.author_domains, facts.reverse_path)
    met = entry_for_client(facts, ListKind.BLOCK) or entry_for_names(facts, ListKind.BLOCK, names)
    return Opinion(Action.REFUSE, f"on the block list: {met.subject}", _BLOCKED) if met else None


def allowed_client(facts: TrustFacts) -> Opinion | None:
    """A client of a network that the tenant lets in, whatever it brings.

    An address cannot be borrowed in TCP, so this entry alone may overrule p=reject.
    """
    met = entry_for_client(facts, ListKind.ALLOW)
    return Opinion(Action.ACCEPT, f"on the allow list: {met.subject}") if met else None


def trusted_sealer(facts: TrustFacts) -> Opinion | None:
    """DMARC does not pass here, but it did at a forwarder whose seals are trusted.

    Never for the domains of our own tenants under p=reject: we can ask their owners, and know
    better than any forwarder where their mail comes from. Nor beside another author: the forwarder
    may have looked at one of them only (RFC 9989, 11.5), and his word is about no more than one.
    """
    found = facts.authentication
    if found is None or found.dmarc.result not in (DmarcResult.FAIL, DmarcResult.TEMPERROR):
        return None
    if facts.author_is_hosted and _may_be(found.dmarc, DmarcPolicy.REJECT):
        return None
    if {domain_of(one) for one in facts.author_addresses} != {found.dmarc.author_domain}:
        return None
    trusted = frozenset(facts.policy.trusted_sealers)
    sealer = vouching_sealer(found.arc, trusted, found.dmarc.author_domain) if trusted else ""
    if not sealer:
        return None
    return Opinion(Action.ACCEPT, f"{sealer} saw dmarc=pass for {found.dmarc.author_domain}")


def dmarc_reject(facts: TrustFacts) -> Opinion | None:
    """The author's domain asks to refuse what it did not send (RFC 9989, p=reject)."""
    dmarc = _dmarc(facts)
    if not facts.policy.refuses_dmarc_reject or not _fails(dmarc, DmarcPolicy.REJECT):
        return None
    return Opinion(
        Action.REFUSE, f"DMARC fails for {dmarc.author_domain}, whose policy is reject", _DMARC
    )


def dmarc_unknown(facts: TrustFacts) -> Opinion | None:
    """DNS does not answer, and what the domain asks for, or whether it passes, would matter."""
    dmarc = _dmarc(facts)
    if dmarc.result is not DmarcResult.TEMPERROR:
        return None
    matters = facts.policy.refuses_dmarc_reject and _may_be(dmarc, DmarcPolicy.REJECT)
    matters |= facts.policy.on_dmarc_quarantine is OnQuarantine.HOLD and _may_be(
        dmarc, DmarcPolicy.QUARANTINE
    )
    if not matters:
        return None
    reason = f"DMARC of {dmarc.author_domain}: {dmarc.reason or 'DNS'}"
    return Opinion(Action.DEFER, reason, _DNS_AWAY if _is_dns_away(facts) else _DMARC_LATER)


def allowed_author(facts: TrustFacts) -> Opinion | None:
    """An author or reverse-path on the allow list that is shown to be genuine.

    Asked behind p=reject, and deaf to a name that anybody can write: a forger who guesses what is
    on the list gains nothing by it.
    """
    if facts.authentication is None or not facts.policy.by_subject:
        return None
    met = entry_for_names(facts, ListKind.ALLOW, genuine_names(facts, facts.authentication))
    return Opinion(Action.ACCEPT, f"on the allow list: {met.subject}") if met else None


def dmarc_quarantine(facts: TrustFacts) -> Opinion | None:
    """The author's domain asks for doubt, and the tenant chose to look at such mail himself.

    Else it goes on with the failure said in Authentication-Results and the seal: the receiver has
    a place for doubtful mail, and the person there can look into it.
    """
    dmarc = _dmarc(facts)
    if facts.policy.on_dmarc_quarantine is not OnQuarantine.HOLD:
        return None
    if not _fails(dmarc, DmarcPolicy.QUARANTINE):
        return None
    return Opinion(
        Action.QUARANTINE, f"DMARC fails for {dmarc.author_domain}, whose policy is quarantine"
    )


# What is in it


def virus_found(facts: TrustFacts) -> Opinion | None:
    """No list lets a virus in: the account of an honest author is where they come from."""
    for one in facts.scans:
        if one.outcome is ScanOutcome.VIRUS:
            reason = f"{one.scanner} found {', '.join(one.names[:3]) or 'a virus'}"
            if facts.policy.scanning.refuses_viruses:
                return Opinion(Action.REFUSE, reason, _HARMFUL)
            return Opinion(Action.QUARANTINE, reason)
    return None


def score_refuses(facts: TrustFacts) -> Opinion | None:
    reason = _above(facts, lambda limits: limits.refuse_from)
    return Opinion(Action.REFUSE, reason, _HARMFUL) if reason else None


def scanner_away(facts: TrustFacts) -> Opinion | None:
    """No scanner of a kind answers, and the tenant would rather wait than go without."""
    if facts.policy.scanning.when_away is not OnScannerAway.DEFER:
        return None
    away = [one for one in facts.scans if one.outcome is ScanOutcome.FAILED]
    if not away:
        return None
    return Opinion(Action.DEFER, f"no answer from {away[0].scanner}", _SCAN_LATER)


def score_quarantines(facts: TrustFacts) -> Opinion | None:
    reason = _above(facts, lambda limits: limits.quarantine_from)
    return Opinion(Action.QUARANTINE, reason) if reason else None


AUTHOR_RULES: Final[tuple[Rule, ...]] = (
    unjudgeable_author,  # 550 5.7.1
    blocked,  # 550 5.7.1
    allowed_client,  # goes on, even over p=reject
    trusted_sealer,  # goes on, over a DMARC failure
    dmarc_reject,  # 550 5.7.26 [on]
    dmarc_unknown,  # 451 4.7.24; 451 4.4.3 where the DNS is away altogether
    allowed_author,  # goes on, never over p=reject
    dmarc_quarantine,  # held, or goes on [goes on]
)
CONTENT_RULES: Final[tuple[Rule, ...]] = (
    virus_found,  # 550 5.7.1, or held [refused]
    score_refuses,  # 550 5.7.1 [never]
    scanner_away,  # 451 4.7.1 [goes on]
    score_quarantines,  # held [never]
)
RULES_OF_THE_ALLOWED: Final[tuple[Rule, ...]] = (virus_found, scanner_away)
TRUST_RULES: Final = AUTHOR_RULES + CONTENT_RULES
_ALLOWING: Final = frozenset({allowed_client.__name__, allowed_author.__name__})


def judge_trust(facts: TrustFacts, own_rules: Sequence[Rule] = ()) -> TrustJudgement:
    """What becomes of the message for one recipient, with the trail of rules asked.

    `own_rules` are those of the installation. They are asked about what ours let in, and can only
    say no to it.
    """
    author = _ask(AUTHOR_RULES, facts)
    if author.action is not Action.ACCEPT:
        return author
    is_allowed = author.rule in _ALLOWING
    content = _ask(RULES_OF_THE_ALLOWED if is_allowed else CONTENT_RULES, facts)
    trail = author.trail + content.trail
    decides = author if content.rule == ACCEPT else content
    if own_rules and content.action is Action.ACCEPT:
        own = _ask(own_rules, facts)
        trail += own.trail
        decides = own if own.action is not Action.ACCEPT else decides
    return TrustJudgement(
        action=decides.action,
        rule=decides.rule,
        reason=decides.reason,
        trail=trail,
        reply=decides.reply,
        adds_fields=bool(_above(facts, lambda limits: limits.add_fields_from)),
    )


def _ask(rules: Sequence[Rule], facts: TrustFacts) -> TrustJudgement:
    asked: list[str] = []
    for rule in rules:
        asked.append(rule.__name__)
        opinion = rule(facts)
        if opinion is not None:
            return TrustJudgement(
                opinion.action, asked[-1], opinion.reason, tuple(asked), opinion.reply
            )
    return TrustJudgement(Action.ACCEPT, ACCEPT, "no rule against it", (*asked, ACCEPT))


def genuine_names(facts: TrustFacts, found: Authentication) -> tuple[str, ...]:
    """The addresses and domains that were shown to be the sender's: aligned author, reverse-path.

    Alignment is exact where DMARC did not say it already: without a record nobody chose to be
    lenient. The reverse-path counts by SPF alone: it is what SPF speaks of.
    """
    dmarc, spf = found.dmarc, found.spf
    proved = {one.domain for one in found.dkim if one.passed and not one.is_testing}
    path = facts.reverse_path if spf.passed and facts.reverse_path else ""
    if path:
        proved.add(domain_of(path))
    aligned = {dmarc.author_domain} if dmarc.result is DmarcResult.PASS else set()
    authors = [one for one in facts.author_addresses if domain_of(one) in proved | aligned]
    return (*authors, path) if path else tuple(authors)


def _dmarc(facts: TrustFacts) -> DmarcVerdict:
    return facts.authentication.dmarc if facts.authentication else DmarcVerdict(DmarcResult.NONE)


def _is_dns_away(facts: TrustFacts) -> bool:
    """Whether nothing at all was answered, and not just for this author."""
    found = facts.authentication
    return found is not None and found.spf.mail_from.result is SpfResult.TEMPERROR


def _fails(dmarc: DmarcVerdict, policy: DmarcPolicy) -> bool:
    return dmarc.result is DmarcResult.FAIL and dmarc.policy is policy


def _may_be(dmarc: DmarcVerdict, policy: DmarcPolicy) -> bool:
    """Whether the policy is this one, or may be: its record could not be fetched."""
    is_unknown = dmarc.result is DmarcResult.TEMPERROR and not dmarc.policy_domain
    return dmarc.policy is policy or is_unknown


def _above(facts: TrustFacts, limit_of: Callable[[ScoreLimits], float | None]) -> str:
    """Which scanner's score reaches the limit set for it, in words; "" where none does."""
    for one in facts.scans:
        limit = limit_of(facts.policy.scanning.limits_of(one.scanner))
        if one.outcome in _SCORED and limit is not None and one.score >= limit:
            return f"{one.scanner} gives {one.score:g}, and your limit for it is {limit:g}"
    return ""
