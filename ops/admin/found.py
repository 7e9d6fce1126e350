"""Which tenant is meant: by slug, domain, address or a member's e-mail address.

Only shared tables are asked, so that finding needs no grant; what is inside a tenant does.
"""

from dataclasses import dataclass
from uuid import UUID

from django.db.models import Q

from delivery.models import ServiceEvent
from delivery.selectors import story_of
from ops.admin.search import Wanted
from tenants.models import ClaimedDomain, Membership, Tenant

AT_MOST = 20


@dataclass(frozen=True, slots=True)
class FoundTenant:
    """A tenant, and what speaks for it."""

    slug: str
    why: str


def find_tenants(wanted: Wanted) -> list[FoundTenant]:
    """Tenants that may be meant, each once, the likeliest first."""
    found: dict[str, str] = {}
    if wanted.place:
        claims = ClaimedDomain.objects.filter(name=wanted.place).select_related("tenant")
        for claim in claims.order_by("-state")[:AT_MOST]:
            found.setdefault(claim.tenant.slug, f"{claim.name} is {claim.state}")
    if "@" in wanted.text:
        address = wanted.address or wanted.text
        members = Membership.objects.filter(user__email__iexact=address)
        for member in members.select_related("tenant")[:AT_MOST]:
            found.setdefault(member.tenant.slug, f"{address} is {member.role}")
    elif wanted.trace_id is None:
        named = Q(slug__icontains=wanted.text) | Q(name__icontains=wanted.text)
        for tenant in Tenant.objects.filter(named)[:AT_MOST]:
            found.setdefault(tenant.slug, tenant.name or "a tenant of this name")
    return [FoundTenant(slug, why) for slug, why in found.items()]


def tenant_of_trace(trace_id: UUID) -> str | None:
    """The slug of the tenant that a trace id belongs to; "" the service itself, None nobody."""
    story = story_of(trace_id)
    return None if story is None else story.tenant


def refusals_here(address: str) -> int:
    """How many refusals of an address at a domain that is not hosted here are written down."""
    return ServiceEvent.objects.filter(recipient=address).count()
