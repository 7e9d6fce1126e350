"""Models of one tenant's schema: domains, routes, destinations, keys, access, audit."""

from typing import Any

from django.contrib import admin
from django.db.models import Prefetch, Q, QuerySet
from django.http import HttpRequest

from ops.admin import search
from ops.admin.base import (
    ReadOnlyAdmin,
    ServiceAdmin,
    ServiceForm,
    actor_of,
    tenant_of,
    try_each,
)
from ops.admin.forms import AddDomainForm, AddRouteForm, RouteModeForm
from ops.admin.sites import tenant_site
from ops.suppressions import lift_suppression
from routing.models import (
    ApiToken,
    AuditEntry,
    Destination,
    DkimKey,
    Domain,
    LogPolicy,
    Route,
    SmtpCredential,
    Suppression,
    Webhook,
)
from routing.services import (
    add_domain,
    add_route,
    check_domain,
    confirm_destination,
    remove_domain,
    remove_route,
    set_mode,
)


@admin.register(Domain, site=tenant_site)
class DomainAdmin(ServiceAdmin):
    purpose = "The tenant's mail domains. Whether one is proved stands among the claims."
    list_display = ("name", "note", "created_at")
    search_fields = ("name",)
    search_help_text = "Domain or address"
    add_form = AddDomainForm
    add_fields = ("domain", "vouched")
    shown_fields = ("name", "note", "created_at")
    removable = typed_to_remove = True
    consequence = (
        "Mail to it is refused at once. Its routes, keys and credentials go with it. "
        "What is in the queue already still goes where it was planned to go."
    )
    actions = ("look_for_proof",)

    def find(
        self, request: HttpRequest, rows: QuerySet[Domain], wanted: search.Wanted
    ) -> QuerySet[Domain] | None:
        return rows.filter(name=wanted.place) if wanted.place else None

    def add(self, request: HttpRequest, form: ServiceForm) -> Domain:
        claim = add_domain(
            tenant=tenant_of(request),
            name=form.cleaned_data["domain"],
            by_operator=form.cleaned_data["vouched"],
            actor=actor_of(request),
        )
        return Domain.objects.get(name=claim.name)

    def remove(self, request: HttpRequest, obj: Domain, typed: str) -> None:
        remove_domain(tenant=tenant_of(request), name=obj.name, actor=actor_of(request))

    @admin.action(description="Look for the proof now")
    def look_for_proof(self, request: HttpRequest, rows: QuerySet[Domain]) -> None:
        def check(domain: Domain) -> None:
            check_domain(tenant=tenant_of(request), name=domain.name, actor=actor_of(request))

        try_each(self, request, rows[:10], check, "was looked up: see its claim")


@admin.register(Route, site=tenant_site)
class RouteAdmin(ServiceAdmin):
    purpose = "Where each address goes."
    list_display = ("address", "mode", "goes_to", "note", "changed_at")
    list_filter = ("mode",)
    list_select_related = ("domain",)
    search_fields = ("pattern", "domain__name", "destinations__address", "note")
    search_help_text = "Address, destination or domain"
    add_form, change_form = AddRouteForm, RouteModeForm
    add_fields = ("address", "goes_to", "confirmed", "note")
    change_fields = ("mode",)
    shown_fields = ("address", "goes_to", "note", "created_at", "changed_at")
    removable = True
    consequence = "Mail to it goes to the catch-all route of the domain, or is refused."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Route]:
        ends = Prefetch("destinations", Destination.objects.all(), to_attr="ends")
        return super().get_queryset(request).select_related("domain").prefetch_related(ends)

    def find(
        self, request: HttpRequest, rows: QuerySet[Route], wanted: search.Wanted
    ) -> QuerySet[Route] | None:
        if wanted.address:
            there = Q(destinations__address__iexact=wanted.address)
            here = Q(domain__name=wanted.place)
            return rows.filter(there | here).distinct()
        return None

    @admin.display(description="Address", ordering="pattern_key")
    def address(self, route: Route) -> str:
        return str(route)

    @admin.display(description="Goes to")
    def goes_to(self, route: Any) -> str:
        return ", ".join(
            end.address if end.confirmed_at else f"{end.address} (not confirmed)"
            for end in route.ends
        )

    def add(self, request: HttpRequest, form: ServiceForm) -> Route:
        asked = form.cleaned_data
        return add_route(
            tenant=tenant_of(request),
            address=asked["address"],
            destinations=asked["goes_to"],
            confirmed=asked["confirmed"],
            note=asked["note"],
            actor=actor_of(request),
        )

    def change(self, request: HttpRequest, obj: Route, form: Any) -> None:
        set_mode(
            tenant=tenant_of(request),
            address=str(obj),
            mode=form.wanted_mode(),
            actor=actor_of(request),
        )

    def remove(self, request: HttpRequest, obj: Route, typed: str) -> None:
        remove_route(tenant=tenant_of(request), address=str(obj), actor=actor_of(request))


@admin.register(Destination, site=tenant_site)
class DestinationAdmin(ReadOnlyAdmin):
    purpose = "Addresses that mail is forwarded to, once their owners agreed."
    list_display = ("address", "confirmed_at", "confirmed_by", "created_at")
    list_filter = (("confirmed_at", admin.EmptyFieldListFilter),)
    search_fields = ("address",)
    search_help_text = "Address or domain"
    actions = ("confirm",)

    @admin.action(description="Confirm by the operator's word")
    def confirm(self, request: HttpRequest, rows: QuerySet[Destination]) -> None:
        def confirm(one: Destination) -> None:
            confirm_destination(
                tenant=tenant_of(request), address=one.address, actor=actor_of(request)
            )

        try_each(self, request, rows, confirm, "is confirmed")


@admin.register(LogPolicy, site=tenant_site)
class LogPolicyAdmin(ReadOnlyAdmin):
    called = ("logging policy", "logging policies")
    purpose = "What the tenant lets us write down, and for how many days: his choice alone."
    list_display = ("__str__", "level", "message_days", "refused_days", "attempt_days")
    list_select_related = ("domain",)


@admin.register(DkimKey, site=tenant_site)
class DkimKeyAdmin(ReadOnlyAdmin):
    called = ("DKIM key", "DKIM keys")
    purpose = "Keys that sign what the tenant sends; the private half is sealed."
    list_display = ("__str__", "algorithm", "state", "created_at", "seen_at")
    list_filter = ("state",)
    list_select_related = ("domain",)
    search_fields = ("domain__name", "selector")
    search_help_text = "Domain or selector"
    hidden = ("sealed_private",)


@admin.register(SmtpCredential, site=tenant_site)
class SmtpCredentialAdmin(ReadOnlyAdmin):
    called = ("SMTP credential", "SMTP credentials")
    purpose = "User names for sending. Their secrets are kept nowhere."
    list_display = ("username", "domain", "address", "last_used_at", "expires_at", "revoked_at")
    list_select_related = ("domain",)
    search_fields = ("username", "address", "domain__name")
    search_help_text = "User name, address or domain"
    hidden = ("salt", "iterations", "stored_key", "server_key")


@admin.register(ApiToken, site=tenant_site)
class ApiTokenAdmin(ReadOnlyAdmin):
    called = ("API token", "API tokens")
    purpose = "Tokens for the HTTP API; kept as digests."
    list_display = ("label", "locator", "created_at", "last_used_at", "revoked_at")
    search_fields = ("label", "locator")
    hidden = ("digest",)


@admin.register(Webhook, site=tenant_site)
class WebhookAdmin(ReadOnlyAdmin):
    purpose = "Where the tenant wants to be told of events."
    list_display = ("url", "is_active", "created_at")
    search_fields = ("url",)
    hidden = ("sealed_secret",)
    fields = readonly_fields = ("url", "kinds", "is_active", "created_at")


@admin.register(Suppression, site=tenant_site)
class SuppressionAdmin(ServiceAdmin):
    called = ("suppressed address", "suppressed addresses")
    purpose = "Addresses that the tenant's mail is not sent to any more."
    list_display = ("address", "reason", "created_at", "expires_at")
    search_fields = ("address", "reason")
    search_help_text = "Address, domain or reason"
    shown_fields = ("address", "reason", "created_at", "expires_at")
    removable = True
    consequence = "The tenant's mail is sent to it again."

    def remove(self, request: HttpRequest, obj: Suppression, typed: str) -> None:
        lift_suppression(tenant=tenant_of(request), address=obj.address, actor=actor_of(request))


@admin.register(AuditEntry, site=tenant_site)
class AuditAdmin(ReadOnlyAdmin):
    called = ("entry", "audit")
    purpose = "Who changed what: the same list that the tenant reads."
    list_display = ("at", "actor", "client_ip", "action", "subject")
    ordering = ("-id",)
    search_fields = ("subject", "actor", "action")
    search_help_text = "Domain, address, or who acted"
