"""How the service did in each of the last minutes, for the status page."""

from django.db import models


class ServicePulse(models.Model):
    """One minute: whether mail was taken, how long it took to deliver, how old the queue was."""

    minute = models.DateTimeField(primary_key=True)
    accepts = models.BooleanField(help_text="The database took writes and the edge answered.")
    sends = models.BooleanField(help_text="A sending loop lived.")
    queue_age_seconds = models.PositiveIntegerField(
        help_text="How long the oldest delivery that was never tried has waited."
    )
    latency = models.JSONField(help_text="Deliveries of this minute by class of delivery.latency.")
    seen = models.JSONField(help_text="Each loop's counts so far, for the next minute.")

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M}"
