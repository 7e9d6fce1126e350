"""Machine access to a tenant: SMTP credentials, API tokens, webhooks. Secrets are shown once."""

from django.db import models

from routing.models.domain import Domain


class SmtpCredential(models.Model):
    """A user name for submission; only SCRAM keys of the secret are kept (RFC 5802)."""

    username = models.CharField(
        max_length=80, unique=True, help_text="Public locator, names the tenant."
    )
    label = models.CharField(max_length=80, blank=True, db_default="", default="")
    domain = models.ForeignKey(Domain, on_delete=models.CASCADE, null=True, blank=True)
    address = models.CharField(max_length=320, blank=True)
    salt = models.BinaryField()
    iterations = models.PositiveIntegerField()
    stored_key = models.BinaryField()
    server_key = models.BinaryField()
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.username


class ApiToken(models.Model):
    """A token for the HTTP API; kept as an HMAC under the pepper."""

    locator = models.CharField(max_length=40, unique=True)
    digest = models.BinaryField()
    label = models.CharField(max_length=80)
    scopes = models.JSONField(default=list)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.label


class Webhook(models.Model):
    """Where the tenant wants to be told of events; the signing secret is sealed."""

    url = models.URLField(max_length=500)
    kinds = models.JSONField(default=list)
    sealed_secret = models.BinaryField()
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.url


class Suppression(models.Model):
    """An address the tenant's mail is not sent to any more."""

    address = models.CharField(max_length=320, unique=True)
    reason = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.address
