"""DKIM keys of a customer's domain, for mail that he sends."""

from django.db import models

from routing.models.domain import Domain


class DkimKey(models.Model):
    """One key pair; the private half is sealed under the data key."""

    class Algorithm(models.TextChoices):
        RSA = "rsa", "rsa-sha256"
        ED25519 = "ed25519", "ed25519-sha256"

    class State(models.TextChoices):
        WAITING = "waiting", "waiting to be seen in DNS"
        ACTIVE = "active"
        RETIRED = "retired"

    domain = models.ForeignKey(Domain, on_delete=models.CASCADE, related_name="dkim_keys")
    algorithm = models.CharField(max_length=10, choices=Algorithm.choices)
    selector = models.CharField(max_length=63)
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    sealed_private = models.BinaryField()
    public = models.TextField(help_text="The p= value of the DNS record.")
    created_at = models.DateTimeField(auto_now_add=True)
    seen_at = models.DateTimeField(null=True, blank=True)
    retired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("domain", "selector")
        constraints = (
            models.UniqueConstraint(fields=("domain", "selector"), name="dkim_selector_once"),
        )

    def __str__(self) -> str:
        return f"{self.selector}._domainkey.{self.domain.name}"
