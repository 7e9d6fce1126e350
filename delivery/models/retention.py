"""When each tenant's retention was applied."""

from django.db import models


class RetentionRun(models.Model):
    """The last time that what a tenant's policy does not keep was removed, all of it."""

    tenant_id = models.BigIntegerField(primary_key=True)
    finished_at = models.DateTimeField()
    removed = models.PositiveBigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.tenant_id} at {self.finished_at}"
