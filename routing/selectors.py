"""Reads of domains and routes: the edge's snapshot of a domain, and lists for people.

`domain_snapshot` is what RCPT decides on: the edge caches it and drops it at a notice of
`tenants.changes.routes_changed`. Three queries, however many routes there are.
"""

from dataclasses import dataclass
from datetime import datetime

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
from mail.routes import RouteTable
from routing.cycles import RoutePlace, find_cycle
from routing.models import Destination, Domain, LogPolicy, Route
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
        return _snapshot(claim, standing, RouteTable.build(()), (), LogLevel.NOTHING)
    with tenant_schema(claim.tenant_id):
        table, level = _route_table(name), _log_level(name)
    return _snapshot(claim, standing, table, owners, level)


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
    routes: RouteTable[RouteTarget],
    owners: tuple[str, ...],
    level: LogLevel,
) -> DomainSnapshot:
    cap = claim.tenant.forward_cap
    return DomainSnapshot(
        name=claim.name,
        standing=standing,
        tenant_id=claim.tenant_id,
        tenant_standing=TenantStanding(claim.tenant.standing),
        owner_addresses=owners,
        routes=routes,
        forward_cap=settings.ENV.forward_cap_per_day if cap is None else cap,
        log_level=level,
    )


def _route_table(name: str) -> RouteTable[RouteTarget]:
    confirmed = Q(destinations__confirmed_at__isnull=False)
    rows = (
        Route.objects.filter(domain__name=name)
        .order_by()
        .annotate(
            confirmed=ArrayAgg(
                "destinations__address", filter=confirmed, order_by="destinations__id", default=[]
            ),
            unconfirmed=Count("destinations", filter=~confirmed),
        )
        .values_list("id", "pattern", "mode", "confirmed", "unconfirmed")
    )
    return RouteTable.build(
        (pattern, RouteTarget(route_id, pattern, RouteMode(mode), tuple(addresses), unconfirmed))
        for route_id, pattern, mode, addresses, unconfirmed in rows
    )


def _log_level(name: str) -> LogLevel:
    """The domain's own level, else the tenant's; the default where neither is written."""
    policies = LogPolicy.objects.filter(Q(domain=None) | Q(domain__name=name))
    levels = policies.order_by(F("domain").asc(nulls_last=True)).values_list("level", flat=True)
    level = levels.first()
    return LogLevel.METADATA if level is None else LogLevel(level)


@dataclass(frozen=True, slots=True)
class RouteLine:
    """One line of `route list`."""

    address: str
    mode: str
    confirmed: tuple[str, ...]
    unconfirmed: tuple[str, ...]
    note: str


def route_lines(tenant: Tenant, domain: str | None = None) -> list[RouteLine]:
    """A tenant's routes, of one domain or of all, by domain and pattern."""
    confirmed = Q(destinations__confirmed_at__isnull=False)
    with tenant_schema(tenant.pk):
        routes = Route.objects.select_related("domain").order_by("domain__name", "pattern_key")
        if domain is not None:
            routes = routes.filter(domain__name=domain)
        found = list(
            routes.annotate(
                confirmed=ArrayAgg("destinations__address", filter=confirmed, default=[]),
                unconfirmed=ArrayAgg(
                    "destinations__address",
                    filter=Q(destinations__confirmed_at=None, destinations__isnull=False),
                    default=[],
                ),
            )
        )
    return [
        RouteLine(str(one), one.mode, tuple(one.confirmed), tuple(one.unconfirmed), one.note)
        for one in found
    ]


def leads_in_a_circle() -> tuple[str, ...]:
    """Routes of the open tenant that lead into each other; () if none.

    Only looked for where some destination is at a domain of the tenant's own: usually none is.
    """
    domain_of_address = Func(
        F("address"), Value(".*@"), Value(""), function="regexp_replace", output_field=CharField()
    )
    inside = Destination.objects.annotate(at_domain=domain_of_address).filter(
        at_domain__in=Domain.objects.values("name"), routes__isnull=False
    )
    return find_cycle(_route_places()) if inside.exists() else ()


def _route_places() -> list[RoutePlace]:
    rows = (
        Route.objects.order_by("id")
        .annotate(all_destinations=ArrayAgg("destinations__address", default=[]))
        .values_list("domain__name", "pattern", "all_destinations")
    )
    return [
        RoutePlace(f"{pattern}@{domain}", domain, pattern, tuple(filter(None, destinations)))
        for domain, pattern, destinations in rows
    ]
