"""Taking an address off a tenant's suppression list."""

from django.db import transaction

from routing.models import Suppression
from tenants.audit import Actor, record_in_tenant
from tenants.context import tenant_schema
from tenants.errors import UnknownName
from tenants.models import Tenant


def lift_suppression(*, tenant: Tenant, address: str, actor: Actor | str) -> None:
    """Let the tenant's mail go to an address again. Raises `UnknownName`."""
    with transaction.atomic(), tenant_schema(tenant.pk):
        row = Suppression.objects.select_for_update().filter(address=address).first()
        if row is None:
            raise UnknownName(f"{address} is not suppressed for {tenant.slug}.")
        row.delete()
        record_in_tenant("suppression.lifted", address, actor=actor, old={"reason": row.reason})
