"""The tenant's schema: domains, routes, keys, logging preferences, trust, access, audit."""

from routing.models.access import ApiToken, SmtpCredential, Suppression, Webhook
from routing.models.audit import AuditEntry
from routing.models.domain import Domain
from routing.models.keys import DkimKey
from routing.models.logpolicy import LogPolicy
from routing.models.route import KEPT_IN_TRASH, Destination, Route, RouteDestination
from routing.models.trust import TrustedSealer, TrustEntry, TrustPreference

__all__ = [
    "KEPT_IN_TRASH",
    "ApiToken",
    "AuditEntry",
    "Destination",
    "DkimKey",
    "Domain",
    "LogPolicy",
    "Route",
    "RouteDestination",
    "SmtpCredential",
    "Suppression",
    "TrustEntry",
    "TrustPreference",
    "TrustedSealer",
    "Webhook",
]
