"""Claiming a domain, proving it, losing and giving up a claim.

Several tenants may hold a pending claim to one name. Who proves it first is decided by the unique
index on verified names: a service never decides it by looking first.
"""

from datetime import datetime, timedelta
from typing import Final

import structlog
from django.conf import settings
from django.db import IntegrityError, transaction

from tenants.audit import Actor, lock_chain, record_in_tenant, record_platform
from tenants.changes import routes_changed
from tenants.claims import (
    claimable_name,
    may_be_superseded,
    new_token,
    next_check,
    standing_of,
)
from tenants.clock import database_now
from tenants.context import public_schema, tenant_schema
from tenants.errors import AlreadyVerified, NameTaken, NotClaimable, UnknownName
from tenants.models import ClaimedDomain, Tenant
from tenants.names import schema_name_of
from tenants.proof import ProofCheck, ProofSeen
from tenants.selectors import lookalikes_of

log = structlog.get_logger()

MOST_PENDING: Final = 500
CHECKING_TAKES_AT_MOST = timedelta(minutes=5)

State = ClaimedDomain.State
Proof = ClaimedDomain.Proof


def claim_domain(
    *, tenant: Tenant, name: str, actor: Actor | str, by_operator: bool = False
) -> ClaimedDomain:
    """A pending claim with a token of its own. Raises `NotClaimable` and `NameTaken`.

    A tenant has 500 pending ones at most: each is looked for in the DNS again and again.
    """
    own_names = (settings.ENV.service_domain, settings.ENV.forward_domain)
    label = claimable_name(name, own_names=own_names, by_operator=by_operator)
    with transaction.atomic(), public_schema():
        now = database_now()
        pending = ClaimedDomain.objects.filter(tenant=tenant, state=State.PENDING)
        if not by_operator and pending.count() >= MOST_PENDING:
            raise NotClaimable(
                f"{MOST_PENDING} of your domains wait for their proof: prove or remove some first."
            )
        claim = ClaimedDomain(tenant=tenant, name=label, token=new_token(), next_check_at=now)
        claim.full_clean(validate_unique=False, validate_constraints=False)
        try:
            with transaction.atomic():
                claim.save(force_insert=True)
        except IntegrityError:
            raise NameTaken(
                f"{label} is already a domain of {tenant.slug}: see `manage.py domain records "
                f"{tenant.slug} {label}`."
            ) from None
        twins = lookalikes_of(claim)
        _record("domain.claimed", claim, actor, new={"state": claim.state, "looks_like": twins})
        routes_changed(label)
    return claim


def verify_claim(*, claim_id: int, proof: ClaimedDomain.Proof, actor: Actor | str) -> ClaimedDomain:
    """The claim, verified; harmless when it is so already. Raises `AlreadyVerified`, `UnknownName`.

    A domain whose proof has been missing for more than 72 hours goes to the one who proves it now.
    """
    with transaction.atomic(), public_schema():
        claim = _locked(claim_id)
        now = database_now()
        if claim.state == State.VERIFIED and (proof == Proof.DNS or claim.proof == proof):
            return claim
        if proof == Proof.DNS:
            _let_go_of_lost_domain(claim, now, actor)
        old = {"state": claim.state, "proof": claim.proof}
        claim.state, claim.proof = State.VERIFIED, proof
        claim.verified_at, claim.proof_missing_since = now, None
        claim.next_check_at = next_check(claim, now)
        _save_as_the_only_one(claim)
        _record("domain.verified", claim, actor, old=old, new={"proof": claim.proof})
        routes_changed(claim.name)
    log.info("domain.verified", tenant_id=claim.tenant_id, claim_id=claim.pk, proof=claim.proof)
    return claim


def _save_as_the_only_one(claim: ClaimedDomain) -> None:
    try:
        with transaction.atomic():
            claim.save()
    except IntegrityError:
        raise AlreadyVerified(
            f"{claim.name} is verified for another tenant: it has to be removed there first."
        ) from None


def _let_go_of_lost_domain(wanted: ClaimedDomain, now: datetime, actor: Actor | str) -> None:
    verified = ClaimedDomain.objects.filter(name=wanted.name, state=State.VERIFIED)
    holder = verified.select_for_update().first()
    if holder is not None and may_be_superseded(holder, now):
        # Two chains of tenants in one order, and both before the platform's.
        for tenant_id in sorted({holder.tenant_id, wanted.tenant_id}):
            lock_chain(schema_name_of(tenant_id))
        _demote(holder, now, actor, "proved by another tenant")


def _demote(claim: ClaimedDomain, now: datetime, actor: Actor | str, reason: str) -> None:
    """Back to a pending claim; since when the proof is missing stays written."""
    claim.state, claim.proof = State.PENDING, Proof.NONE
    claim.last_result = f"No longer verified: {reason}."
    claim.next_check_at = next_check(claim, now)
    claim.save()
    _record("domain.lost", claim, actor, new={"reason": reason})


def lease_due_claims(limit: int) -> list[ClaimedDomain]:
    """Claims whose proof is to be looked for now; other processes skip them for five minutes."""
    with transaction.atomic(), public_schema():
        now = database_now()
        due = list(
            ClaimedDomain.objects.select_for_update(skip_locked=True)
            .filter(next_check_at__lte=now)
            .exclude(proof=Proof.OPERATOR)
            .order_by("next_check_at")[:limit]
        )
        ClaimedDomain.objects.filter(pk__in=[claim.pk for claim in due]).update(
            next_check_at=now + CHECKING_TAKES_AT_MOST
        )
    return due


def record_check(
    *, claim_id: int, token: str, check: ProofCheck, actor: Actor | str
) -> ClaimedDomain:
    """What a look at the DNS changes. Raises `AlreadyVerified` where someone else was first.

    `token` is the one that was looked for: a claim made anew in between is left alone.
    """
    with transaction.atomic(), public_schema():
        claim = _locked(claim_id)
        if claim.token != token:
            return claim
        now = database_now()
        claim.checked_at, claim.last_result = now, check.detail[:200]
        _note_missing(claim, check.seen, now, actor)
        claim.next_check_at = next_check(claim, now)
        claim.save()
    if check.seen is ProofSeen.FOUND and claim.state != State.VERIFIED:
        return verify_claim(claim_id=claim_id, proof=Proof.DNS, actor=actor)
    return claim


def _note_missing(claim: ClaimedDomain, seen: ProofSeen, now: datetime, actor: Actor | str) -> None:
    """Follow the proof of a verified domain; an unknown outcome changes nothing."""
    if claim.state != State.VERIFIED or claim.proof == Proof.OPERATOR:
        return
    if seen is ProofSeen.FOUND and claim.proof_missing_since is not None:
        claim.proof_missing_since = None
        _record("domain.proof_back", claim, actor)
    elif seen is ProofSeen.MISSING and claim.proof_missing_since is None:
        claim.proof_missing_since = now
        _record("domain.proof_missing", claim, actor)
        log.warning("domain.proof_missing", tenant_id=claim.tenant_id, claim_id=claim.pk)
    elif seen is ProofSeen.MISSING and standing_of(claim, now) is None:
        _demote(claim, now, actor, "the proof was missing for too long")
    # Also when nothing was written: what the standing is changes with time alone.
    routes_changed(claim.name)


def release_claim(*, tenant: Tenant, name: str, actor: Actor | str) -> None:
    """Give up a claim: mail for the domain stops. Raises `UnknownName`."""
    with transaction.atomic(), public_schema():
        claim = ClaimedDomain.objects.select_for_update().filter(tenant=tenant, name=name).first()
        if claim is None:
            raise UnknownName(f"{tenant.slug} has no domain {name}: see `manage.py domain list`.")
        _record("domain.released", claim, actor, old={"state": claim.state, "proof": claim.proof})
        claim.delete()
        routes_changed(name)


def _locked(claim_id: int) -> ClaimedDomain:
    claim = ClaimedDomain.objects.select_for_update(of=("self",)).filter(pk=claim_id).first()
    if claim is None:
        raise UnknownName("The claim is gone: the domain was removed meanwhile.")
    return claim


def _record(
    action: str, claim: ClaimedDomain, actor: Actor | str, *, old: object = None, new: object = None
) -> None:
    with tenant_schema(claim.tenant_id):
        record_in_tenant(action, claim.name, actor=actor, old=old, new=new)
    slug = claim.tenant.slug
    record_platform(action, claim.name, actor=actor, tenant_slug=slug, old=old, new=new)
