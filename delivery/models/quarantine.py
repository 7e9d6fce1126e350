"""What the owners of a tenant were told of his quarantine."""

from django.db import models


class QuarantineDigest(models.Model):
    """The last digest of a tenant: one a day at most, and each message stands in one of them."""

    tenant_id = models.BigIntegerField(primary_key=True)
    sent_at = models.DateTimeField()
    last_delivery = models.BigIntegerField(default=0)
    """Of the deliveries it told of, the one with the highest id."""

    def __str__(self) -> str:
        return f"tenant {self.tenant_id}, {self.sent_at:%Y-%m-%d %H:%M} UTC"
