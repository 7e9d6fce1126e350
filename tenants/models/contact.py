"""Whom the service wrote to on a tenant's behalf, over all tenants, without a readable address."""

from django.db import models


class ContactedAddress(models.Model):
    """How often an address was asked for its consent, and whether it wants no mail from us.

    Kept for good: "three in all" and "not me" have no end. The digest is keyed (tenants.contacts).
    """

    digest = models.BinaryField(primary_key=True)
    asked = models.PositiveSmallIntegerField(default=0)
    last_asked_at = models.DateTimeField(null=True, blank=True)
    blocked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return bytes(self.digest).hex()[:12]


class SealedSecret(models.Model):
    """A secret of the installation that must outlive the data key it is sealed under."""

    name = models.CharField(max_length=40, primary_key=True)
    sealed = models.BinaryField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name
