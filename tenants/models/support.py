"""Support looks into a tenant only with a grant that the tenant can see."""

from datetime import timedelta

from django.db import models

from tenants.models.tenant import Tenant
from tenants.models.user import User

LONGEST_GRANT = timedelta(hours=1)


class SupportGrant(models.Model):
    """One member of staff may open one tenant until `ends_at`, one hour at most."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="support_grants")
    staff = models.ForeignKey(User, on_delete=models.PROTECT, related_name="support_grants")
    reason = models.CharField(max_length=500)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-starts_at",)
        constraints = (
            models.CheckConstraint(
                condition=models.Q(ends_at__gt=models.F("starts_at"))
                & models.Q(ends_at__lte=models.F("starts_at") + LONGEST_GRANT),
                name="support_grant_one_hour",
            ),
            models.CheckConstraint(condition=~models.Q(reason=""), name="support_grant_has_reason"),
        )

    def __str__(self) -> str:
        return f"{self.staff} for {self.tenant} until {self.ends_at:%Y-%m-%d %H:%M}"
