"""Reads of domains and routes: the edge's snapshot of a domain, and lists for people.

`domain_snapshot` is what RCPT decides on: the edge caches it and drops it at a notice of
`tenants.changes.routes_changed`. Five queries, however many routes there are.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.contrib.postgres.aggregates import ArrayAgg
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import CharField, Count, F, Func, OuterRef, Q, Value
from django.db.models.functions import Now

from mail.facts import (
    DomainSnapshot,
    DomainStanding,
    LogLevel,
    RouteMode,
    RouteTarget,
    TenantStanding,
)
from mail.policy.trust import DEFAULT_TRUST, TrustPolicy
from mail.routes import RouteTable
from routing.cycles import RoutePlace, find_cycle_ever
from routing.listing import RouteRow, route_rows, routes_where
from routing.models import Destination, Domain, LogPolicy, Route
from routing.trust import trust_policy_of
from tenants.claims import standing_of
from tenants.context import public_schema, tenant_schema
from tenants.models import ClaimedDomain, Membership, Tenant


def domain_snapshot(name: str) -> DomainSnapshot | None:
    """A hosted domain (A-label) with its routes at this moment; None for one that is not ours.

    A domain that nobody has proved comes without routes, owners and log: who claims it first must
    learn nothing of mail for it.
    """
    with public_schema():
        found = _best_claim(name)
    if found is None:
        return None
    claim, owners, asked_at = found
    standing = standing_of(claim, asked_at)
    if standing is None:
        return None
    if standing is DomainStanding.PENDING:
        return _snapshot(claim, standing, _NO_ROUTES, (), LogPolicy(level=LogLevel.NOTHING))
    with tenant_schema(claim.tenant_id):
        routes, policy, trust = _routes_in_force(name), log_policy_of(name), trust_policy_of(name)
    return _snapshot(claim, standing, routes, owners, policy, trust)


@dataclass(frozen=True, slots=True)
class _RoutesInForce:
    table: RouteTable[RouteTarget]
    good_for_seconds: float | None = None


_NO_ROUTES: Final = _RoutesInForce(RouteTable.build(()))


def _best_claim(name: str) -> tuple[ClaimedDomain, tuple[str, ...], datetime] | None:
    """The verified claim, else the oldest pending one, with its tenant's owners and the time."""
    owners = Membership.objects.filter(
        tenant=OuterRef("tenant"), role=Membership.Role.OWNER, user__is_active=True
    )
    claim = (
        ClaimedDomain.objects.filter(name=name)
        .select_related("tenant")
        .annotate(
            owners=ArraySubquery(owners.order_by("id").values("user__email")),
            asked_at=Now(),
        )
        .order_by("-state", "claimed_at")  # "verified" sorts after "pending"
        .first()
    )
    return (claim, tuple(claim.owners), claim.asked_at) if claim else None


def _snapshot(
    claim: ClaimedDomain,
    standing: DomainStanding,
    routes: _RoutesInForce,
    owners: tuple[str, ...],
    policy: LogPolicy,
    trust: TrustPolicy = DEFAULT_TRUST,
) -> DomainSnapshot:
    cap = claim.tenant.forward_cap
    return DomainSnapshot(
        name=claim.name,
        standing=standing,
        tenant_id=claim.tenant_id,
        tenant_standing=TenantStanding(claim.tenant.standing),
        owner_addresses=owners,
        routes=routes.table,
        forward_cap=settings.ENV.forward_cap_per_day if cap is None else cap,
        log_level=policy.kept_level,
        never_kept=policy.never_kept,
        good_for_seconds=routes.good_for_seconds,
        trust=trust,
    )


def _routes_in_force(name: str) -> _RoutesInForce:
    """The domain's routes at this moment, and how long that holds by the database's clock."""
    confirmed = Q(destinations__confirmed_at__isnull=False)
    rows = list(
        Route.objects.in_force()
        .filter(domain__name=name)
        .order_by()
        .annotate(
            confirmed=ArrayAgg(
                "destinations__address", filter=confirmed, order_by="destinations__id", default=[]
            ),
            unconfirmed=Count("destinations", filter=~confirmed),
            ends_in=F("expires_at") - Now(),
        )
        .values_list("id", "pattern", "mode", "confirmed", "unconfirmed", "ends_in")
    )
    table = RouteTable.build(
        (pattern, RouteTarget(route_id, pattern, RouteMode(mode), tuple(addresses), unconfirmed))
        for route_id, pattern, mode, addresses, unconfirmed, _ in rows
    )
    ends: list[timedelta] = [row[-1] for row in rows if row[-1] is not None]
    return _RoutesInForce(table, min(ends).total_seconds() if ends else None)


def log_policy_of(name: str) -> LogPolicy:
    """The domain's own policy, else the tenant's; the model's defaults where neither is written."""
    policies = LogPolicy.objects.filter(Q(domain=None) | Q(domain__name=name))
    return policies.order_by(F("domain").asc(nulls_last=True)).first() or LogPolicy()


@dataclass(frozen=True, slots=True)
class RouteLine:
    """One line of `route list`."""

    address: str
    mode: str
    state: str
    confirmed: tuple[str, ...]
    unconfirmed: tuple[str, ...]
    note: str
    expires_at: datetime | None = None


def route_lines(tenant: Tenant, domain: str | None = None) -> list[RouteLine]:
    """A tenant's routes without the trash, of one domain or of all, by domain and pattern."""
    with tenant_schema(tenant.pk):
        found = routes_where(domain=domain or "").order_by("domain__name", "pattern_key")
        return [_line(row) for row in route_rows(found)]


def _line(row: RouteRow) -> RouteLine:
    route = row.route
    return RouteLine(
        address=row.address,
        mode=route.mode,
        state=row.state.value,
        confirmed=tuple(end.address for end in row.ends if end.is_confirmed),
        unconfirmed=tuple(end.address for end in row.ends if not end.is_confirmed),
        note=route.note,
        expires_at=route.expires_at,
    )


def leads_in_a_circle() -> tuple[str, ...]:
    """Routes of the open tenant that lead into each other, now or once some end; () if none.

    Only looked for where some destination is at a domain of the tenant's own: usually none is.
    """
    domain_of_address = Func(
        F("address"), Value(".*@"), Value(""), function="regexp_replace", output_field=CharField()
    )
    inside = Destination.objects.annotate(at_domain=domain_of_address).filter(
        at_domain__in=Domain.objects.values("name"), routes__removed_at=None, routes__isnull=False
    )
    return find_cycle_ever(route_places()) if inside.exists() else ()


def route_places() -> list[RoutePlace]:
    """The open tenant's routes as the search for circles sees them."""
    rows = (
        Route.objects.in_force()
        .order_by("id")
        .annotate(all_destinations=ArrayAgg("destinations__address", default=[]))
        .values_list("domain__name", "pattern", "all_destinations", "expires_at")
    )
    return [
        RoutePlace(f"{pattern}@{domain}", domain, pattern, tuple(filter(None, destinations)), ends)
        for domain, pattern, destinations, ends in rows
    ]
