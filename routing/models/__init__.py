"""The tenant's schema: domains, routes, keys, logging preferences, access, audit."""

from routing.models.access import ApiToken, SmtpCredential, Suppression, Webhook
from routing.models.audit import AuditEntry
from routing.models.domain import Domain
from routing.models.keys import DkimKey
from routing.models.logpolicy import LogPolicy
from routing.models.route import Destination, Route, RouteDestination

__all__ = [
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
    "Webhook",
]
