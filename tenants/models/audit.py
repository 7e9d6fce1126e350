"""Who changed what: an append-only chain of entries, one for the platform, one in each tenant."""

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models


class AuditEntryBase(models.Model):
    """One change. `digest` covers the entry and the digest before it, so a cut or edit shows."""

    at = models.DateTimeField()
    actor_id = models.BigIntegerField(null=True, help_text="User id; empty for the system.")
    actor = models.CharField(max_length=254, help_text="Address, or the command that acted.")
    client_ip = models.GenericIPAddressField(null=True)
    action = models.CharField(max_length=60)
    subject = models.CharField(max_length=320)
    old = models.JSONField(null=True, encoder=DjangoJSONEncoder)
    new = models.JSONField(null=True, encoder=DjangoJSONEncoder)
    digest = models.CharField(max_length=64)

    class Meta:
        abstract = True
        ordering = ("id",)

    def __str__(self) -> str:
        return f"{self.action} {self.subject}"


class PlatformAuditEntry(AuditEntryBase):
    """What staff, operators and the service did to tenants, domains and people.

    It outlives tenants, and what it said of one is erased with it: `digest` covers time, action and
    `content_digest`, which covers the rest with a salt. Without content and salt the chain is still
    whole, and nobody can guess what stood there.
    """

    tenant_slug = models.CharField(
        max_length=40,
        blank=True,
        help_text="No key: it outlives the tenant. The schema's name (t17) once that is erased.",
    )
    salt = models.CharField(
        max_length=32, blank=True, default="", db_default="", help_text="Empty once erased."
    )
    content_digest = models.CharField(max_length=64, blank=True, default="", db_default="")

    class Meta(AuditEntryBase.Meta):
        indexes = (models.Index(fields=("tenant_slug", "-id"), name="platform_audit_by_tenant"),)
