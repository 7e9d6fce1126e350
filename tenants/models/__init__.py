"""The shared schema: tenants, people, claims, support, our own keys, the platform's audit."""

from tenants.models.audit import AuditEntryBase, PlatformAuditEntry
from tenants.models.claim import ClaimedDomain
from tenants.models.contact import ContactedAddress, SealedSecret
from tenants.models.domaincheck import DomainCheck
from tenants.models.invitation import Invitation
from tenants.models.keys import DataKeyProof, ServiceKey
from tenants.models.signin import AttemptTally, RecoveryCode, WebSession
from tenants.models.support import LONGEST_GRANT, SupportGrant
from tenants.models.tenant import Hostname, Tenant
from tenants.models.user import Membership, User

__all__ = [
    "LONGEST_GRANT",
    "AttemptTally",
    "AuditEntryBase",
    "ClaimedDomain",
    "ContactedAddress",
    "DataKeyProof",
    "DomainCheck",
    "Hostname",
    "Invitation",
    "Membership",
    "PlatformAuditEntry",
    "RecoveryCode",
    "SealedSecret",
    "ServiceKey",
    "SupportGrant",
    "Tenant",
    "User",
    "WebSession",
]
