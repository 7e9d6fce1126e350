"""What is known here of a domain, for routing.records: its claim, its keys, our own names."""

from django.conf import settings

from routing.models import DkimKey
from routing.records.wanted import DomainFacts, PublishedKey
from tenants.context import tenant_schema
from tenants.models import ClaimedDomain


def facts_of(claim: ClaimedDomain) -> DomainFacts:
    """The facts of one domain; one query in its tenant's schema."""
    return facts_with(claim, keys_to_publish(claim.tenant_id, claim.name))


def facts_with(claim: ClaimedDomain, keys: tuple[PublishedKey, ...]) -> DomainFacts:
    """The facts of a domain whose keys were read already."""
    by_word = claim.proof == ClaimedDomain.Proof.OPERATOR
    return DomainFacts(
        name=claim.name,
        token="" if by_word else claim.token,
        mx_hosts=our_mx_hosts(),
        spf_term=f"include:{settings.ENV.service_domain}",
        keys=keys,
    )


def keys_to_publish(tenant_id: int, domain: str) -> tuple[PublishedKey, ...]:
    """Keys that sign or wait to; a retired one may still be there, and need not."""
    with tenant_schema(tenant_id):
        keys = DkimKey.objects.filter(domain__name=domain).exclude(state=DkimKey.State.RETIRED)
        rows = keys.order_by("created_at", "selector").values_list("selector", "public")
        return tuple(PublishedKey(selector, public) for selector, public in rows)


def our_mx_hosts() -> tuple[str, ...]:
    """The names that take mail for us; the first is the one to publish."""
    return (settings.ENV.service_domain,)
