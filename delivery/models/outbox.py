"""The outbox of the tenants' logs, the refusals of domains not hosted here, and tallies."""

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from delivery.models.queue import ClockTimestamp
from mail.events import EventKind


class DeliveryEvent(models.Model):
    """An event on its way into the tenant's log, already cut down to what his policy allows."""

    tenant_id = models.BigIntegerField(null=True)
    message_id = models.UUIDField()
    kind = models.CharField(max_length=10, choices=[(kind.value, kind.value) for kind in EventKind])
    at = models.DateTimeField(db_default=ClockTimestamp())
    data = models.JSONField(encoder=DjangoJSONEncoder)

    class Meta:
        indexes = (models.Index(fields=("tenant_id", "id"), name="event_by_tenant"),)

    def __str__(self) -> str:
        return f"{self.kind} {self.message_id}"


class ServiceEvent(models.Model):
    """Events of no tenant: our own mail, returns, clients that asked for foreign domains."""

    id = models.BigIntegerField(primary_key=True)
    message_id = models.UUIDField(db_index=True)
    kind = models.CharField(max_length=10)
    at = models.DateTimeField(db_index=True)
    recipient = models.CharField(max_length=320, blank=True)
    data = models.JSONField(encoder=DjangoJSONEncoder)

    class Meta:
        indexes = (models.Index(fields=("recipient", "-at"), name="service_event_recipient"),)

    def __str__(self) -> str:
        return f"{self.kind} {self.message_id}"


class RefusalTally(models.Model):
    """How often a client was refused for a domain in an hour; the first 20 are kept exactly."""

    pk = models.CompositePrimaryKey("hour", "client_ip", "domain")
    hour = models.DateTimeField()
    client_ip = models.CharField(max_length=45)
    domain = models.CharField(max_length=255)
    tenant_id = models.BigIntegerField(null=True)
    count = models.PositiveIntegerField()

    class Meta:
        indexes = (
            models.Index(
                fields=("tenant_id", "hour"),
                condition=models.Q(tenant_id__isnull=False),
                name="refusal_tally_by_tenant",
            ),
        )

    def __str__(self) -> str:
        return f"{self.client_ip} {self.domain}: {self.count}"


class TenantUsage(models.Model):
    """Deliveries accepted for a tenant on a day (UTC): the forward cap counts here."""

    pk = models.CompositePrimaryKey("tenant_id", "day")
    tenant_id = models.BigIntegerField()
    day = models.DateField()
    accepted = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"{self.tenant_id} {self.day}: {self.accepted}"
