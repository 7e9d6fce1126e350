"""What was last seen of the records a domain should publish."""

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from tenants.models.claim import ClaimedDomain


class DomainCheck(models.Model):
    """The last look at a domain's records (MX, SPF, DKIM, DMARC …) and when the next is due.

    In the shared schema because one task looks for all tenants. `report` is the list of verdicts as
    routing.records writes them.
    """

    class Told(models.TextChoices):
        """The last that the owners were told: nothing, that it broke, that keys vanished."""

        NOTHING = ""
        BROKEN = "broken"
        KEYS_GONE = "keys gone"

    claim = models.OneToOneField(ClaimedDomain, on_delete=models.CASCADE, related_name="check_seen")
    checked_at = models.DateTimeField(null=True, blank=True)
    asked_at = models.DateTimeField(
        null=True, blank=True, help_text="When somebody last pressed the button."
    )
    next_check_at = models.DateTimeField(null=True, blank=True, db_index=True)
    unchanged_looks = models.PositiveSmallIntegerField(default=0)
    report = models.JSONField(default=list, encoder=DjangoJSONEncoder)
    works = models.BooleanField(
        null=True, blank=True, help_text="Whether mail for the domain reaches us; empty: not known."
    )
    broken_since = models.DateTimeField(null=True, blank=True)
    told = models.CharField(max_length=10, choices=Told.choices, default="", blank=True)
    told_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"records of {self.claim}"
