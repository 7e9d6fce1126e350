"""Adding and removing a tenant's domains: the claim in the shared schema, the domain in his own."""

from django.db import transaction

from mail.address import canonical_domain
from mail.errors import BadDomain
from routing.models import Domain
from routing.services.confirmations import ask_waiting
from tenants.audit import Actor, record_in_tenant
from tenants.changes import lock_routes, routes_changed
from tenants.context import public_schema, tenant_schema
from tenants.errors import UnknownName
from tenants.models import ClaimedDomain, Tenant
from tenants.names import one_line
from tenants.services.claims import claim_domain, release_claim, verify_claim


def add_domain(
    *, tenant: Tenant, name: str, actor: Actor | str, by_operator: bool = False
) -> ClaimedDomain:
    """The tenant's claim to a domain, pending until proved; `by_operator` is the operator's word.

    An operator may so vouch for a claim that is pending already. Raises `NotClaimable`,
    `NameTaken`, `AlreadyVerified`; then nothing is changed.
    """
    with transaction.atomic():
        lock_routes(tenant.schema_name)  # before the audit's chains, as every change of routes
        claim = _pending_claim(tenant, name) if by_operator else None
        if claim is None:
            claim = claim_domain(tenant=tenant, name=name, actor=actor, by_operator=by_operator)
            with tenant_schema(tenant.pk):
                domain = Domain(name=claim.name)
                domain.full_clean()
                domain.save(force_insert=True)
        if by_operator:
            proof = ClaimedDomain.Proof.OPERATOR
            claim = verify_claim(claim_id=claim.pk, proof=proof, actor=actor)
            ask_waiting(tenant=tenant, domain=claim.name, actor=actor)
    return claim


def _pending_claim(tenant: Tenant, name: str) -> ClaimedDomain | None:
    with public_schema():
        pending = ClaimedDomain.objects.filter(state=ClaimedDomain.State.PENDING, tenant=tenant)
        return pending.filter(name=domain_label(name)).first()


def remove_domain(*, tenant: Tenant, name: str, actor: Actor | str) -> None:
    """Take a domain out of the tenant, with its routes and keys. Raises `UnknownName`.

    Mail for it stops at once; what is queued still goes where it was planned to go.
    """
    label = domain_label(name)
    with transaction.atomic():
        lock_routes(tenant.schema_name)
        with tenant_schema(tenant.pk):
            Domain.objects.filter(name=label).delete()
        # Last: it holds the platform's audit, for which all tenants wait, until the end.
        release_claim(tenant=tenant, name=label, actor=actor)
        routes_changed(label)


def change_note(*, tenant: Tenant, name: str, note: str, actor: Actor | str) -> None:
    """Keep a line about a domain for its people. Raises `UnknownName`, `TenancyError`."""
    text = one_line(note, "note")
    with transaction.atomic(), tenant_schema(tenant.pk):
        domain = Domain.objects.select_for_update().filter(name=name).first()
        if domain is None:
            raise UnknownName(f"{tenant.slug} has no domain {name}.")
        old, domain.note = domain.note, text
        domain.full_clean()
        domain.save(update_fields=["note"])
        record_in_tenant(
            "domain.note_changed", name, actor=actor, old={"note": old}, new={"note": text}
        )


def domain_label(text: str) -> str:
    """The A-label of a domain that a person typed. Raises `UnknownName`."""
    try:
        return canonical_domain(text.strip(" "))
    except BadDomain as error:
        raise UnknownName(f"This is not a mail domain: {error}.") from None
