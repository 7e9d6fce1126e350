"""Looking for proofs and recording what was seen: first reads, then the network, then writes.

No transaction is open while the DNS is asked.
"""

from typing import Final

import structlog
from django.db import transaction

from routing.checks import LooksUpTxt, ProofWanted, look_for_proofs
from routing.services.confirmations import ask_waiting
from routing.services.due import look_soon
from routing.services.news import tell_owners
from tenants.audit import THE_SERVICE, Actor
from tenants.changes import lock_routes
from tenants.errors import AlreadyVerified, UnknownName
from tenants.models import ClaimedDomain, Tenant
from tenants.names import schema_name_of
from tenants.proof import ProofCheck, ProofSeen
from tenants.selectors import claim_of
from tenants.services.claims import lease_due_claims, record_check

CLAIMS_AT_ONCE: Final = 100

State = ClaimedDomain.State

log = structlog.get_logger()


def check_due_claims(resolver: LooksUpTxt | None = None) -> int:
    """Check the claims that are due; gives how many."""
    due = lease_due_claims(CLAIMS_AT_ONCE)
    if not due:
        return 0
    for claim, check in zip(due, look_for_proofs(_wanted(due), resolver), strict=True):
        try:
            record_proof(claim, check, THE_SERVICE)
        except (AlreadyVerified, UnknownName) as refusal:
            log.info("domain.check_refused", claim_id=claim.pk, reason=type(refusal).__name__)
        except Exception:
            # One domain's oddity must not keep the others from being looked at.
            log.exception("domain.check_failed", claim_id=claim.pk)
    return len(due)


def check_domain(
    *, tenant: Tenant, name: str, actor: Actor | str, resolver: LooksUpTxt | None = None
) -> tuple[ClaimedDomain, ProofCheck]:
    """Look for a domain's proof now. Raises `UnknownName`, `AlreadyVerified`."""
    claim = claim_of(tenant, name)
    (check,) = look_for_proofs(_wanted([claim]), resolver)
    return record_proof(claim, check, actor), check


def record_proof(claim: ClaimedDomain, check: ProofCheck, actor: Actor | str) -> ClaimedDomain:
    """Write down what was seen, then tell the owners what they do not know of it.

    Two transactions: news that a crash swallowed is told after the next look. Raises
    `AlreadyVerified`, `UnknownName`.
    """
    if check.seen is ProofSeen.FOUND and claim.state != State.VERIFIED:
        seen = _verify_and_ask(claim, check, actor)
        look_soon(tenant_id=claim.tenant_id, name=claim.name)
    else:
        seen = record_check(claim_id=claim.pk, token=claim.token, check=check, actor=actor)
    tell_owners(seen.pk)
    return seen


def _verify_and_ask(claim: ClaimedDomain, check: ProofCheck, actor: Actor | str) -> ClaimedDomain:
    """Both or neither: no later look would find that destinations were never asked."""
    with transaction.atomic():
        lock_routes(schema_name_of(claim.tenant_id))  # before the audit's chains
        try:
            seen = record_check(claim_id=claim.pk, token=claim.token, check=check, actor=actor)
        except AlreadyVerified as refusal:
            taken = refusal  # raised below: that the domain was looked at stays written
        else:
            if seen.state == State.VERIFIED:
                ask_waiting(tenant=claim.tenant, domain=claim.name, actor=actor)
            return seen
    raise taken


def _wanted(claims: list[ClaimedDomain]) -> list[ProofWanted]:
    return [ProofWanted(claim.pk, claim.name, claim.token) for claim in claims]
