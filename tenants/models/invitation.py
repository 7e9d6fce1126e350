"""Invitations into a tenant."""

from django.db import models
from django.db.models.functions import Lower

from tenants.models.tenant import Tenant
from tenants.models.user import Membership


class Invitation(models.Model):
    """An address that was asked to join a tenant; the link's token is kept as a digest only."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="invitations")
    email = models.EmailField(max_length=254)
    role = models.CharField(max_length=10, choices=Membership.Role.choices)
    digest = models.BinaryField(unique=True)
    invited_by = models.CharField(max_length=254)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("email",)
        constraints = (
            models.UniqueConstraint(
                "tenant",
                Lower("email"),
                condition=models.Q(accepted_at=None, withdrawn_at=None),
                name="invitation_open_once",
            ),
        )

    def __str__(self) -> str:
        return f"{self.email} to {self.tenant} as {self.role}"
