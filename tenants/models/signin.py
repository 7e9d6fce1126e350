"""Being signed in: sessions a person can see and end, recovery codes, and how often one tried."""

from django.db import models

from tenants.models.user import User


class WebSession(models.Model):
    """One browser in which a person is signed in; gone when it is signed out."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="web_sessions")
    session_key = models.CharField(max_length=40, unique=True)
    client_ip = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=200, blank=True)
    signed_in_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()

    class Meta:
        ordering = ("-last_seen_at",)

    def __str__(self) -> str:
        return f"{self.user} since {self.signed_in_at:%Y-%m-%d %H:%M}"


class RecoveryCode(models.Model):
    """A code that stands in for a lost second factor, once; only its digest is kept."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="recovery_codes")
    digest = models.BinaryField(unique=True)
    created_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"a recovery code of {self.user}"


class AttemptTally(models.Model):
    """How often something was tried in a window of time: one limiter for web, API and SMTP AUTH.

    `key` is a keyed digest of what is limited (a client, an account), so that nobody reads here
    who tried to sign in where.
    """

    pk = models.CompositePrimaryKey("key", "window")
    key = models.BinaryField()
    window = models.DateTimeField(db_index=True)
    count = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"{bytes(self.key).hex()[:12]} {self.window}: {self.count}"
