"""Who claims and who proved a domain: only in the shared schema can a name be unique."""

from django.db import models

from tenants.models.tenant import Tenant


class ClaimedDomain(models.Model):
    """A tenant's claim to a domain; several may be pending, one at most is verified."""

    class State(models.TextChoices):
        PENDING = "pending"
        VERIFIED = "verified"

    class Proof(models.TextChoices):
        NONE = ""
        DNS = "dns"
        OPERATOR = "operator"

    class Told(models.TextChoices):
        """The last that the owners were told about the proof of a domain they had verified."""

        NOTHING = ""
        MISSING = "missing"
        LOST = "lost"

    name = models.CharField(max_length=253, help_text="Lower-case A-label.")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="claims")
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    proof = models.CharField(max_length=10, choices=Proof.choices, default=Proof.NONE, blank=True)
    token = models.CharField(max_length=64, help_text="New for each claim, 160 bit.")
    claimed_at = models.DateTimeField(auto_now_add=True)
    verified_at = models.DateTimeField(null=True, blank=True)
    checked_at = models.DateTimeField(null=True, blank=True)
    next_check_at = models.DateTimeField(null=True, blank=True, db_index=True)
    proof_missing_since = models.DateTimeField(null=True, blank=True)
    last_result = models.CharField(max_length=200, blank=True)
    told = models.CharField(
        max_length=10, choices=Told.choices, default="", db_default="", blank=True
    )
    told_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("name",)
        constraints = (
            models.UniqueConstraint(
                fields=("name",),
                condition=models.Q(state="verified"),
                name="claim_verified_once",
            ),
            models.UniqueConstraint(fields=("tenant", "name"), name="claim_once_per_tenant"),
            models.CheckConstraint(
                condition=models.Q(name__regex=r"^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$"),
                name="claim_name_is_a_label",
            ),
            models.CheckConstraint(
                condition=~models.Q(state="verified") | models.Q(verified_at__isnull=False),
                name="claim_verified_has_time",
            ),
        )
        indexes = (models.Index(fields=("name",), name="claim_by_name"),)

    def __str__(self) -> str:
        return self.name
