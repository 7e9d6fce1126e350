"""Our own keys: signing keys of the forward and service domain, and the proof of the data key."""

from django.db import models


class ServiceKey(models.Model):
    """One key pair; the private half is sealed under the data key."""

    class Purpose(models.TextChoices):
        FORWARD = "forward", "forwarded mail (forward domain)"
        SERVICE = "service", "our own notices (service domain)"

    class Algorithm(models.TextChoices):
        RSA = "rsa", "rsa-sha256"
        ED25519 = "ed25519", "ed25519-sha256"

    class State(models.TextChoices):
        ACTIVE = "active"
        NEXT = "next"
        RETIRED = "retired"

    purpose = models.CharField(max_length=10, choices=Purpose.choices)
    algorithm = models.CharField(max_length=10, choices=Algorithm.choices)
    selector = models.CharField(max_length=63)
    state = models.CharField(max_length=10, choices=State.choices, default=State.ACTIVE)
    sealed_private = models.BinaryField()
    public = models.TextField(help_text="The p= value of the DNS record.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("purpose", "algorithm", "-created_at")
        constraints = (
            models.UniqueConstraint(fields=("purpose", "selector"), name="service_key_selector"),
            models.UniqueConstraint(
                fields=("purpose", "algorithm"),
                condition=models.Q(state="active"),
                name="service_key_one_active",
            ),
        )

    def __str__(self) -> str:
        return f"{self.selector} ({self.purpose}, {self.algorithm})"


class DataKeyProof(models.Model):
    """A known text sealed under the data key: a process with another key refuses to start."""

    key_id = models.CharField(max_length=8, primary_key=True)
    sealed = models.BinaryField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.key_id
