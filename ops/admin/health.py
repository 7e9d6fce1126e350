"""How the service itself does: sending loops, minutes of the status page, retention."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest

from delivery.latency import percentile
from delivery.models import RetentionRun, ServicePulse, WorkerHeartbeat
from ops.admin.base import ReadOnlyAdmin
from ops.admin.columns import badge, with_slug
from ops.admin.sites import shared_site
from ops.grants import granted_tenants
from ops.middleware import support_of


@admin.register(WorkerHeartbeat, site=shared_site)
class WorkerHeartbeatAdmin(ReadOnlyAdmin):
    called = ("sending loop", "sending loops")
    purpose = "Signs of life of the sending loops; older than 15 seconds means dead."
    list_display = ("name", "at", "alive", "in_flight")
    ordering = ("-at",)
    fields = ("name", "at", "alive", "in_flight")
    readonly_fields = ("alive",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[WorkerHeartbeat]:
        return super().get_queryset(request).annotate(now=Now())

    @admin.display(description="Alive")
    def alive(self, row: Any) -> str:
        seconds = (row.now - row.at).total_seconds()
        if seconds < 15:
            return badge("yes", "good")
        return badge(f"no, silent for {seconds:.0f} s", "bad")


@admin.register(ServicePulse, site=shared_site)
class ServicePulseAdmin(ReadOnlyAdmin):
    called = ("minute", "minutes of the service")
    purpose = "Each of the last minutes, as the public status page adds them up."
    list_display = ("minute", "takes", "sending", "queue_age_seconds", "delivered", "p95")
    list_display_links = None
    list_filter = ("accepts", "sends")
    ordering = ("-minute",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ServicePulse]:
        return super().get_queryset(request).defer("seen")

    @admin.display(description="Takes mail")
    def takes(self, pulse: ServicePulse) -> str:
        return badge("yes", "good") if pulse.accepts else badge("no", "bad")

    @admin.display(description="Sends mail")
    def sending(self, pulse: ServicePulse) -> str:
        return badge("yes", "good") if pulse.sends else badge("no", "bad")

    @admin.display(description="Delivered")
    def delivered(self, pulse: ServicePulse) -> int:
        return sum(pulse.latency)

    @admin.display(description="95 % within")
    def p95(self, pulse: ServicePulse) -> str:
        seconds = percentile(pulse.latency, 0.95)
        return "-" if seconds is None else f"{seconds:g} s"


@admin.register(RetentionRun, site=shared_site)
class RetentionRunAdmin(ReadOnlyAdmin):
    called = ("run", "runs of retention")
    purpose = "When what a tenant does not keep was last removed, of the tenants that you opened."
    list_display = ("tenant", "finished_at", "removed")
    list_display_links = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[RetentionRun]:
        granted = granted_tenants(staff_id=support_of(request).staff.pk)
        return with_slug(super().get_queryset(request).filter(tenant_id__in=granted))

    @admin.display(description="Tenant")
    def tenant(self, run: Any) -> str:
        return run.slug or "-"
