"""The queue as far as grants reach, and what the sending loops say of themselves.

The database shows support the rows of tenants with an active grant, and no others; the lists ask
for no others either, for databases where roles are forbidden.
"""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from delivery import queue_services
from delivery.bell import ring
from delivery.models import Delivery, Message, ServiceEvent
from delivery.queue_services import Selection
from mail.trace import format_trace_id
from ops.admin import search
from ops.admin.base import ReadOnlyAdmin, actor_of, tenant_of
from ops.admin.columns import MailColumns, story_link, with_slug, with_word
from ops.admin.sites import shared_site, tenant_site
from ops.grants import granted_tenants
from ops.middleware import support_of
from tenants.audit import record_in_tenant, record_platform
from tenants.context import tenant_schema
from tenants.models import Tenant

MOST_NAMED = 20
DONE = {
    "retry": "due now",
    "hold": "held until released",
    "release": "back in the queue",
    "delete": "deleted",
}


class DeliveryAdmin(MailColumns, ReadOnlyAdmin):
    called = ("delivery", "deliveries")
    purpose = "Mail that is not delivered yet, of the tenants that you opened."
    list_display: tuple[str, ...] = (
        *("trace", "recipient", "destination", "word", "attempts", "next_attempt_at"),
        *("reply", "tenant"),
    )
    list_display_links = ("recipient",)
    list_filter = ("state",)
    ordering = ("-message_id", "id")
    search_fields = ("recipient", "destination", "next_hop", "last_reply")
    search_help_text = "Trace id, address, domain, or words of a reply"
    actions = ("retry", "hold", "release", "delete")
    hidden = ("lease_token",)
    fields = (
        *("trace", "recipient", "destination", "next_hop", "word", "attempts"),
        *("next_attempt_at", "last_reply", "finished_at"),
    )
    readonly_fields = ("trace", "word")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Delivery]:
        return with_slug(with_word(_granted(super().get_queryset(request), request)))

    def find(
        self, request: HttpRequest, rows: QuerySet[Delivery], wanted: search.Wanted
    ) -> QuerySet[Delivery] | None:
        if wanted.trace_id:
            return rows.filter(message_id=wanted.trace_id)
        if wanted.address:
            either = Q(recipient__iexact=wanted.address) | Q(destination__iexact=wanted.address)
            return rows.filter(either)
        if wanted.domain:
            at = f"@{wanted.domain}"
            return rows.filter(Q(recipient__iendswith=at) | Q(destination__iendswith=at))
        return None

    @admin.action(description="Try now")
    def retry(self, request: HttpRequest, rows: QuerySet[Delivery]) -> None:
        self._act(request, rows, "retry", lambda picked: queue_services.retry(picked, ring=ring))

    @admin.action(description="Hold")
    def hold(self, request: HttpRequest, rows: QuerySet[Delivery]) -> None:
        self._act(request, rows, "hold", queue_services.hold)

    @admin.action(description="Release")
    def release(self, request: HttpRequest, rows: QuerySet[Delivery]) -> None:
        self._act(
            request, rows, "release", lambda picked: queue_services.release(picked, ring=ring)
        )

    @admin.action(description="Delete…")
    def delete(self, request: HttpRequest, rows: QuerySet[Delivery]) -> HttpResponse | None:
        """Asks on a page of its own first: nothing brings the mail back."""
        if "sure" in request.POST:
            self._act(request, rows, "delete", queue_services.delete)
            return None
        request.current_app = self.admin_site.name
        context = self.admin_site.each_context(request) | {
            "title": "Delete mail for good?",
            "opts": self.opts,
            "rows": rows,
        }
        return TemplateResponse(request, "admin/delete_mail.html", context)

    def _act(
        self,
        request: HttpRequest,
        rows: QuerySet[Delivery],
        name: str,
        act: Callable[[Selection], int],
    ) -> None:
        by_tenant: dict[Any, list[Delivery]] = {}
        for row in rows:
            by_tenant.setdefault(row.tenant_id, []).append(row)
        count = 0
        for tenant_id, picked in by_tenant.items():
            with transaction.atomic():
                ids = tuple(row.pk for row in picked)
                done = act(Selection(tenant_id=tenant_id, ids=ids))
                _record(request, name, picked, done)
            count += done
        self._say(request, name, count, sum(map(len, by_tenant.values())))

    def _say(self, request: HttpRequest, name: str, count: int, picked: int) -> None:
        what = "1 delivery is" if count == 1 else f"{count} deliveries are"
        self.message_user(request, f"{what} {DONE[name]}.", messages.SUCCESS)
        if count < picked:
            rest = f"{picked - count} could not be: being sent, or in another state."
            self.message_user(request, rest, messages.WARNING)


def _record(request: HttpRequest, name: str, picked: list[Delivery], done: int) -> None:
    """By trace ids: the audit lives longer than addresses of mail may."""
    if not done:
        return
    actor, tenant_id = actor_of(request), picked[0].tenant_id
    assert tenant_id is not None  # no grant reaches mail of the service itself
    traces = sorted({format_trace_id(row.message_id) for row in picked})[:MOST_NAMED]
    new = {"deliveries": done, "messages": traces}
    slug = Tenant.objects.values_list("slug", flat=True).get(pk=tenant_id)
    with tenant_schema(tenant_id):
        record_in_tenant(f"queue.{name}", f"{done} deliveries", actor=actor, new=new)
    record_platform(f"queue.{name}", slug, actor=actor, tenant_slug=slug, new={"deliveries": done})


class MessageAdmin(MailColumns, ReadOnlyAdmin):
    called = ("message", "messages in the queue")
    purpose = "Messages with a delivery still to be made."
    list_display = ("trace", "accepted_at", "direction", "reverse_path", "client_ip", "size_octets")
    list_display_links = ("accepted_at",)
    list_filter = ("direction",)
    ordering = ("-id",)
    search_fields = ("reverse_path", "client_ip", "helo")
    search_help_text = "Trace id, reverse-path, or the client's address"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Message]:
        return with_slug(_granted(super().get_queryset(request), request))

    @admin.display(description="Trace", ordering="id")
    def trace(self, row: Any) -> str:
        return story_link(row.pk, row.slug)

    def find(
        self, request: HttpRequest, rows: QuerySet[Message], wanted: search.Wanted
    ) -> QuerySet[Message] | None:
        if wanted.trace_id:
            return rows.filter(pk=wanted.trace_id)
        if wanted.address:
            envelope = Q(reverse_path__iexact=wanted.address)
            return rows.filter(
                envelope | Q(deliveries__recipient__iexact=wanted.address)
            ).distinct()
        return None


def _granted(rows: QuerySet[Any], request: HttpRequest) -> QuerySet[Any]:
    return rows.filter(tenant_id__in=granted_tenants(staff_id=support_of(request).staff.pk))


class _OfTheTenant(ReadOnlyAdmin):
    """The queue on a tenant's own site: his rows alone, whatever else is granted."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).filter(tenant_id=tenant_of(request).pk)


class TenantDeliveryAdmin(_OfTheTenant, DeliveryAdmin):
    purpose = "Mail of this tenant that is not delivered yet."
    list_display = DeliveryAdmin.list_display[:-1]


class TenantMessageAdmin(_OfTheTenant, MessageAdmin):
    pass


class ServiceEventAdmin(ReadOnlyAdmin):
    called = ("event", "events of no tenant")
    purpose = "Events of no tenant: our own mail, returns, clients that asked for foreign domains."
    list_display = ("at", "kind", "trace", "recipient")
    date_hierarchy = "at"
    ordering = ("-at",)
    search_fields = ("recipient",)
    search_help_text = "Trace id or address"

    @admin.display(description="Trace")
    def trace(self, row: ServiceEvent) -> str:
        return story_link(row.message_id, "")

    def find(
        self, request: HttpRequest, rows: QuerySet[ServiceEvent], wanted: search.Wanted
    ) -> QuerySet[ServiceEvent] | None:
        if wanted.trace_id:
            return rows.filter(message_id=wanted.trace_id)
        if wanted.address:
            return rows.filter(recipient=wanted.address)
        return None


shared_site.register(Delivery, DeliveryAdmin)
shared_site.register(Message, MessageAdmin)
shared_site.register(ServiceEvent, ServiceEventAdmin)
tenant_site.register(Delivery, TenantDeliveryAdmin)
tenant_site.register(Message, TenantMessageAdmin)
