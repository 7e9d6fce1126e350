"""Writes to the shared schema: tenants, claims, export."""

from tenants.services.claims import claim_domain, record_check, release_claim, verify_claim
from tenants.services.tenants import (
    create_tenant,
    delete_tenant,
    resume_tenant,
    suspend_tenant,
)

__all__ = [
    "claim_domain",
    "create_tenant",
    "delete_tenant",
    "record_check",
    "release_claim",
    "resume_tenant",
    "suspend_tenant",
    "verify_claim",
]
