"""What the tenant lets us write down, and for how many days."""

from functools import reduce
from operator import or_

from django.db import models

from mail.facts import ALL_KEPT, LogLevel, NeverKept
from routing.models.domain import Domain


class LogPolicy(models.Model):
    """The tenant's own (no domain), or that of one domain. Days of 0: never stored.

    The audit is one for the whole tenant: only his own policy's `audit_days` count.
    """

    class Level(models.IntegerChoices):
        NOTHING = LogLevel.NOTHING.value, "nothing"
        COUNTS = LogLevel.COUNTS.value, "counts only"
        HASHED = LogLevel.HASHED.value, "metadata, addresses hashed"
        METADATA = LogLevel.METADATA.value, "metadata"
        HEADERS = LogLevel.HEADERS.value, "metadata and headers"
        CONTENT = LogLevel.CONTENT.value, "and content of mail that failed"

    domain = models.OneToOneField(Domain, on_delete=models.CASCADE, null=True, blank=True)
    level = models.PositiveSmallIntegerField(choices=Level.choices, default=Level.METADATA)
    message_days = models.PositiveSmallIntegerField(default=30)
    refused_days = models.PositiveSmallIntegerField(default=30)
    attempt_days = models.PositiveSmallIntegerField(default=30)
    content_days = models.PositiveSmallIntegerField(default=0)
    audit_days = models.PositiveSmallIntegerField(default=365)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                models.Value(1), condition=models.Q(domain=None), name="log_policy_one_default"
            ),
            models.CheckConstraint(
                condition=models.Q(audit_days__gte=90), name="log_policy_audit_90"
            ),
            models.CheckConstraint(condition=models.Q(level__lte=5), name="log_policy_level_known"),
        )

    def __str__(self) -> str:
        return f"{self.domain or 'tenant'}: {self.get_level_display()}"

    @property
    def kept_level(self) -> LogLevel:
        """The level; content that is kept for no day is not kept."""
        level = LogLevel(self.level)
        return level if self.content_days else min(level, LogLevel.HEADERS)

    @property
    def never_kept(self) -> NeverKept:
        """What has 0 days."""
        days = {
            NeverKept.MESSAGES: self.message_days,
            NeverKept.REFUSALS: self.refused_days,
            NeverKept.ATTEMPTS: self.attempt_days,
        }
        return reduce(or_, (kind for kind, kept in days.items() if not kept), ALL_KEPT)
