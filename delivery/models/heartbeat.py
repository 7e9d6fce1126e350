"""Signs of life of the sending loops."""

from django.db import models


class WorkerHeartbeat(models.Model):
    """One sending loop; younger than 15 s means alive."""

    name = models.CharField(max_length=120, primary_key=True)
    at = models.DateTimeField()
    in_flight = models.PositiveIntegerField(default=0)
    latency = models.JSONField(default=list, db_default=[])
    """Deliveries so far by class of delivery.latency."""

    def __str__(self) -> str:
        return self.name
