"""Looking at everything a domain should publish: by a person's button, and again and again by beat.

    lease or take a turn   ->   ask the DNS   ->   the claim's proof, the report, keys, news

First reads, then the network with no transaction open, then writes, each in a transaction of its
own: what a crash left out is done after the next look.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog
from django.db import transaction

from routing.checks import ProofWanted, configured_resolver, judge_proof
from routing.domain_facts import facts_of
from routing.records.asking import AsksDns, DnsAsker
from routing.records.report import Row, reaches_us, report_of, to_json
from routing.records.schedule import Progress, next_look
from routing.records.values import Answer, Kind, Outcome, Question, Seen, Verdict
from routing.records.verdicts import NOBODY
from routing.records.wanted import DomainFacts, questions_of
from routing.resolver import TxtAnswer, TxtOutcome, agreed
from routing.services.due import lease_due, take_turn
from routing.services.keys import follow_keys
from routing.services.proofs import record_proof
from routing.services.record_news import tell_of_records
from tenants.audit import THE_SERVICE, Actor
from tenants.claims import challenge_name
from tenants.clock import database_now
from tenants.context import public_schema
from tenants.errors import AlreadyVerified, UnknownName
from tenants.models import ClaimedDomain, DomainCheck, Tenant
from tenants.proof import ProofCheck
from tenants.selectors import claim_of

LOOKS_AT_ONCE: Final = 10
DOMAINS_AT_ONCE: Final = 100

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Look:
    """A claim with what is known here and what the DNS said."""

    claim: ClaimedDomain
    facts: DomainFacts
    seen: dict[Question, Seen]

    @property
    def proof(self) -> ProofCheck:
        """What was seen of the proof, by the rules for proofs: trouble changes nothing."""
        claim = self.claim
        return judge_proof(
            ProofWanted(claim.pk, claim.name, claim.token),
            _proof_answer(self.seen.get(_proof_question(claim), NOBODY)),
        )


@dataclass(frozen=True, slots=True)
class Checked:
    """A look that was written down; `refusal` says why a proof that is there does not count."""

    claim: ClaimedDomain
    proof: ProofCheck
    rows: tuple[Row, ...]
    refusal: str = ""


def check_now(
    *,
    tenant: Tenant,
    name: str,
    actor: Actor | str,
    asker: AsksDns | None = None,
    is_limited: bool = True,
) -> Checked:
    """Look at a domain (A-label) now. Raises `UnknownName`, `AskedTooSoon`."""
    claim = claim_of(tenant, name)
    take_turn(claim, is_limited=is_limited)
    (look,) = look_at([claim], asker)
    return _write_down(look, actor, asked=True)


def check_due_records(asker: AsksDns | None = None) -> int:
    """Look at the domains that are due; gives how many."""
    due = lease_due(DOMAINS_AT_ONCE)
    for look in look_at(due, asker):
        try:
            _write_down(look, THE_SERVICE)
        except UnknownName:
            log.info("domain.gone_while_looking", claim_id=look.claim.pk)
        except Exception:
            # One domain's oddity must not keep the others from being looked at.
            log.exception("domain.look_failed", claim_id=look.claim.pk)
    return len(due)


def look_at(claims: Sequence[ClaimedDomain], asker: AsksDns | None = None) -> list[Look]:
    """What the DNS says of each, in order; ten domains at once, each within five seconds."""
    if not claims:
        return []
    facts = [facts_of(claim) for claim in claims]
    seen = asyncio.run(_ask_all(claims, facts, asker))
    return [Look(*one) for one in zip(claims, facts, seen, strict=True)]


async def _ask_all(
    claims: Sequence[ClaimedDomain], facts: Sequence[DomainFacts], asker: AsksDns | None
) -> list[dict[Question, Seen]]:
    gate = asyncio.Semaphore(LOOKS_AT_ONCE)
    dns = asker or DnsAsker(configured_resolver())

    async def one(claim: ClaimedDomain, known: DomainFacts) -> dict[Question, Seen]:
        async with gate:
            # The proof is followed for those too who have an operator's word, as before.
            return await dns.ask(
                tuple(dict.fromkeys((_proof_question(claim), *questions_of(known))))
            )

    return list(await asyncio.gather(*map(one, claims, facts)))


def _proof_question(claim: ClaimedDomain) -> Question:
    return Question(challenge_name(claim.name), "TXT")


def _proof_answer(seen: Seen) -> TxtAnswer:
    """The zone's own servers where they answer, else the resolver (as routing/resolver.py)."""
    own = [_txt(answer) for answer in seen.authoritative if answer.is_known]
    return agreed(own or [_txt(seen.resolver)])


def _txt(answer: Answer) -> TxtAnswer:
    if answer.alias:
        return TxtAnswer(TxtOutcome.NO_DATA, detail="a CNAME stands there, which is not followed")
    outcome = _TXT_OUTCOMES[answer.outcome]
    detail = answer.detail or ("" if outcome is TxtOutcome.FOUND else outcome.value)
    return TxtAnswer(outcome, frozenset(answer.values), detail)


_TXT_OUTCOMES: Final = {
    Outcome.FOUND: TxtOutcome.FOUND,
    Outcome.NO_DATA: TxtOutcome.NO_DATA,
    Outcome.NXDOMAIN: TxtOutcome.NXDOMAIN,
    Outcome.UNKNOWN: TxtOutcome.UNKNOWN,
}


def _write_down(look: Look, actor: Actor | str, *, asked: bool = False) -> Checked:
    claim, refusal = look.claim, ""
    try:
        claim = record_proof(claim, look.proof, actor)
    except AlreadyVerified as taken:
        refusal = str(taken)
    rows = report_of(look.facts, look.seen)
    begun = follow_keys(
        tenant_id=claim.tenant_id, domain=claim.name, seen=_selectors_seen(rows, claim.name)
    )
    _keep_report(claim, look, rows, is_changed=asked or bool(begun))
    tell_of_records(claim.pk)
    return Checked(claim, look.proof, tuple(rows), refusal)


def _selectors_seen(rows: Sequence[Row], domain: str) -> list[str]:
    right = [row for row in rows if row.kind is Kind.DKIM and row.verdict is Verdict.RIGHT]
    return [row.name.removesuffix(f"._domainkey.{domain}") for row in right]


def _keep_report(
    claim: ClaimedDomain, look: Look, rows: Sequence[Row], *, is_changed: bool
) -> None:
    with transaction.atomic(), public_schema():
        check = _locked_check(claim)
        now = database_now()
        report = to_json(rows)
        same = not is_changed and _verdicts(check.report) == _verdicts(report)
        check.unchanged_looks = min(check.unchanged_looks + 1, 1000) if same else 0
        check.report, check.checked_at = report, now
        _follow_works(check, reaches_us(look.facts, look.seen), now)
        waiting = any(row.kind is Kind.DKIM and row.verdict is not Verdict.RIGHT for row in rows)
        check.next_check_at = next_look(
            Progress(
                is_verified=claim.state == ClaimedDomain.State.VERIFIED,
                works=check.works,
                is_broken=check.broken_since is not None,
                has_waiting_keys=waiting,
                unchanged_looks=check.unchanged_looks,
                claimed_at=claim.claimed_at,
            ),
            now,
            seed=claim.pk,
        )
        check.save()


def _locked_check(claim: ClaimedDomain) -> DomainCheck:
    """Raises `UnknownName` where the domain was removed while the DNS was asked."""
    if not ClaimedDomain.objects.filter(pk=claim.pk, token=claim.token).exists():
        raise UnknownName(f"{claim.name} was removed meanwhile.")
    DomainCheck.objects.get_or_create(claim_id=claim.pk)
    return DomainCheck.objects.select_for_update().get(claim_id=claim.pk)


def _follow_works(check: DomainCheck, reaches: bool | None, now: datetime) -> None:
    """The last that is known for sure; broken is only what has worked before."""
    if reaches is None:
        return
    if check.works and not reaches:
        check.broken_since = now
        log.warning("domain.broken", claim_id=check.claim_id)
    elif reaches:
        check.broken_since = None
    check.works = reaches


def _verdicts(report: Sequence[dict[str, object]]) -> list[tuple[object, ...]]:
    return [(row["kind"], row["name"], row["verdict"]) for row in report]
