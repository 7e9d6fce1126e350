"""Models of one tenant's schema: domains, policies, keys, access, audit."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from delivery.models import RetentionRun
from mail.trace import printable
from ops.admin import search
from ops.admin.base import (
    ReadOnlyAdmin,
    ServiceAdmin,
    ServiceForm,
    actor_of,
    tenant_of,
    try_each,
)
from ops.admin.columns import moment, yes_or_no
from ops.admin.domains import LOOKED_SOON, of_claim
from ops.admin.forms import AddDomainForm
from ops.admin.sites import tenant_site
from ops.suppressions import lift_suppression
from routing.domain_facts import facts_of
from routing.models import (
    ApiToken,
    AuditEntry,
    DkimKey,
    Domain,
    LogPolicy,
    SmtpCredential,
    Suppression,
    Webhook,
)
from routing.records.report import latest
from routing.services import add_domain, check_domain, remove_domain
from routing.services.due import look_soon
from tenants.clock import database_now
from tenants.models import ClaimedDomain


@admin.register(Domain, site=tenant_site)
class DomainAdmin(ServiceAdmin):
    purpose = "The tenant's mail domains; the page of each says how its records stand."
    list_display = ("name", "noted", "created_at")
    search_fields = ("name",)
    search_help_text = "Domain or address"
    add_form = AddDomainForm
    add_fields = ("domain", "vouched")
    shown_fields = ("name", "noted", "created_at")
    below = "admin/of_domain.html"
    removable = typed_to_remove = True
    consequence = (
        "Mail to it is refused at once. Its routes, keys and credentials go with it. "
        "What is in the queue already still goes where it was planned to go."
    )
    actions = ("look_for_proof", "look_soon")

    @admin.display(description="Note")
    def noted(self, domain: Domain) -> str:
        return printable(domain.note, 200) or "-"

    def tell(self, request: HttpRequest, obj: Domain) -> dict[str, Any]:
        """What the owner reads of it: what is wanted now, with what was last seen."""
        claims = ClaimedDomain.objects.filter(tenant=tenant_of(request), name=obj.name)
        claim = claims.select_related("check_seen").first()
        if claim is None:
            return {}
        check = getattr(claim, "check_seen", None)
        rows = latest(facts_of(claim), check.report if check else ())
        return of_claim(claim, database_now(), rows)

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

        try_each(self, request, rows[:10], check, "was looked up: see its page")

    @admin.action(description="Look at all its records")
    def look_soon(self, request: HttpRequest, rows: QuerySet[Domain]) -> None:
        def look(domain: Domain) -> None:
            look_soon(tenant_id=tenant_of(request).pk, name=domain.name)

        try_each(self, request, rows[:50], look, LOOKED_SOON)


@admin.register(LogPolicy, site=tenant_site)
class LogPolicyAdmin(ReadOnlyAdmin):
    called = ("logging policy", "logging policies")
    purpose = "What the tenant lets us write down, and for how many days: his choice alone."
    list_display = (
        *("__str__", "message_days", "refused_days", "attempt_days", "content_days", "audit_days"),
    )
    list_select_related = ("domain",)
    below = "admin/facts.html"

    def tell(self, request: HttpRequest, obj: LogPolicy) -> dict[str, Any]:
        run = RetentionRun.objects.filter(tenant_id=tenant_of(request).pk).first()
        applied = moment(run.finished_at) if run else "not yet"
        return {"facts_title": "Retention", "facts": [("Last applied to this tenant", applied)]}


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
    search_fields = ("username", "label", "address", "domain__name")
    search_help_text = "User name, label, address or domain"
    hidden = ("salt", "iterations", "stored_key", "server_key")


@admin.register(ApiToken, site=tenant_site)
class ApiTokenAdmin(ReadOnlyAdmin):
    called = ("API token", "API tokens")
    purpose = "Tokens for the HTTP API; kept as digests."
    list_display = ("label", "locator", "created_at", "last_used_at", "expires_at", "revoked_at")
    search_fields = ("label", "locator")
    hidden = ("digest",)


@admin.register(Webhook, site=tenant_site)
class WebhookAdmin(ReadOnlyAdmin):
    purpose = "Where the tenant wants to be told of events."
    list_display = ("url", "active", "created_at")
    search_fields = ("url",)
    hidden = ("sealed_secret",)
    fields = readonly_fields = ("url", "kinds", "active", "created_at")
    active = yes_or_no("is_active", "Active")


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
