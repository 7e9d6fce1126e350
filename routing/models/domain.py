"""A tenant's mail domain. Whether it is proved stands in the shared `ClaimedDomain`."""

from django.db import models


class Domain(models.Model):
    """A mail domain, lower-case A-label; no key to shared tables (their rows outlive schemas)."""

    name = models.CharField(max_length=253, unique=True)
    note = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name
