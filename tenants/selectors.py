"""Reads of the shared schema."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, DateTimeField, Func, Q, QuerySet

from tenants.claims import standing_of
from tenants.clock import database_now
from tenants.confusables import lookalikes
from tenants.context import public_schema
from tenants.errors import UnknownName
from tenants.models import ClaimedDomain, Membership, SupportGrant, Tenant


@dataclass(frozen=True, slots=True)
class TenantLine:
    """One line of `tenant list`."""

    id: int
    slug: str
    standing: str
    owners: tuple[str, ...]
    domains: int
    pending: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ClaimLine:
    """One line of `domain list`."""

    tenant: str
    name: str
    standing: str
    """served, pending, fading or lost."""
    proof: str
    verified_at: datetime | None
    checked_at: datetime | None
    proof_missing_since: datetime | None
    last_result: str


def tenant_of(slug: str) -> Tenant:
    """The tenant of a slug. Raises `UnknownName`."""
    with public_schema():
        tenant: Tenant | None = Tenant.objects.filter(slug=slug).first()
    if tenant is None:
        raise UnknownName(f"There is no tenant {slug}: see `manage.py tenant list`.")
    return tenant


def owner_addresses(tenant_id: int) -> tuple[str, ...]:
    """Addresses of the owners who may sign in, the first owner first."""
    with public_schema():
        return tuple(_owners().filter(tenant_id=tenant_id).values_list("user__email", flat=True))


def _owners() -> QuerySet[Membership]:
    return Membership.objects.filter(role=Membership.Role.OWNER, user__is_active=True).order_by(
        "id"
    )


def tenant_lines() -> list[TenantLine]:
    """All tenants by slug, with owners and numbers of domains, in three queries."""
    verified = Count("claims", filter=Q(claims__state=ClaimedDomain.State.VERIFIED))
    pending = Count("claims", filter=Q(claims__state=ClaimedDomain.State.PENDING))
    with public_schema():
        owners: dict[int, list[str]] = {}
        for tenant_id, email in _owners().values_list("tenant_id", "user__email"):
            owners.setdefault(tenant_id, []).append(email)
        tenants = list(Tenant.objects.annotate(verified=verified, pending=pending).order_by("slug"))
    return [
        TenantLine(
            *(one.pk, one.slug, one.standing, tuple(owners.get(one.pk, ()))),
            *(one.verified, one.pending, one.created_at),
        )
        for one in tenants
    ]


def claim_lines(tenant: Tenant | None = None) -> list[ClaimLine]:
    """The claims of a tenant, or of all, by name."""
    with public_schema():
        now = database_now()
        claims = ClaimedDomain.objects.select_related("tenant").order_by("name", "tenant__slug")
        if tenant is not None:
            claims = claims.filter(tenant=tenant)
        return [_claim_line(claim, now) for claim in claims]


def _claim_line(claim: ClaimedDomain, now: datetime) -> ClaimLine:
    standing = standing_of(claim, now)
    return ClaimLine(
        tenant=claim.tenant.slug,
        name=claim.name,
        standing=standing.value if standing else "lost",
        proof=claim.proof,
        verified_at=claim.verified_at,
        checked_at=claim.checked_at,
        proof_missing_since=claim.proof_missing_since,
        last_result=claim.last_result,
    )


def claim_of(tenant: Tenant, name: str) -> ClaimedDomain:
    """A tenant's claim to a domain (A-label). Raises `UnknownName`."""
    with public_schema():
        claim = ClaimedDomain.objects.filter(tenant=tenant, name=name).first()
    if claim is None:
        raise UnknownName(
            f"{tenant.slug} has no domain {name}: see `manage.py domain list {tenant.slug}`."
        )
    return claim


def lookalikes_of(claim: ClaimedDomain) -> list[str]:
    """Verified domains of other tenants that look like this one."""
    with public_schema():
        others = ClaimedDomain.objects.filter(state=ClaimedDomain.State.VERIFIED)
        names = others.exclude(tenant=claim.tenant_id).values_list("name", flat=True)
        return list(lookalikes(claim.name, names.iterator()))


def active_grants(tenant_id: int) -> list[SupportGrant]:
    """Under which support may look into a tenant at this moment."""
    now = Func(function="clock_timestamp", output_field=DateTimeField())
    grants = SupportGrant.objects.select_related("staff").filter(
        tenant=tenant_id, revoked_at=None, starts_at__lte=now, ends_at__gt=now
    )
    return list(grants.order_by("ends_at"))
