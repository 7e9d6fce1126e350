"""What the tenant chose for his quarantine, told to who keeps it (mail/ports.py)."""

from routing.trust import preference_here
from tenants.context import tenant_schema


class TenantWishes:
    """The `QuarantineWishes` of mail/ports.py over the tenant's trust preferences."""

    def wants_digest(self, *, tenant_id: int) -> bool:
        with tenant_schema(tenant_id):
            return bool(preference_here().sends_digest)
