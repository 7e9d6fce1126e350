"""The tenant's own audit."""

from tenants.models.audit import AuditEntryBase


class AuditEntry(AuditEntryBase):
    """A change inside this tenant; append-only for every role of the application."""
