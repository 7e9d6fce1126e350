"""Models of the shared schema: tenants, people, claims, grants, our keys, the platform's audit."""

from typing import Any

from django.contrib import admin
from django.db.models import Prefetch, Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils.html import format_html

from ops.admin import search
from ops.admin.base import ReadOnlyAdmin, ServiceAdmin, ServiceForm, actor_of, try_each
from ops.admin.forms import StandingForm
from ops.admin.sites import shared_site
from ops.middleware import SHARED_PREFIX
from routing.services import check_domain
from tenants.claims import standing_of
from tenants.models import (
    ClaimedDomain,
    Membership,
    PlatformAuditEntry,
    ServiceKey,
    SupportGrant,
    Tenant,
    User,
)
from tenants.services import resume_tenant, suspend_tenant


def tenant_link(tenant: Tenant) -> str:
    return format_html('<a href="{}t/{}/">{}</a>', SHARED_PREFIX, tenant.slug, tenant.slug)


@admin.register(Tenant, site=shared_site)
class TenantAdmin(ServiceAdmin):
    purpose = "Customers. Made, exported and erased by `manage.py tenant`."
    list_display = ("slug", "name", "standing", "owners", "domains", "created_at", "look_inside")
    list_filter = ("standing",)
    search_fields = ("slug", "name")
    search_help_text = "Slug, name, domain, or a member's e-mail address"
    change_form = StandingForm
    change_fields = ("standing", "reason")
    shown_fields = ("slug", "name", "forward_cap", "owners", "domains", "created_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Tenant]:
        owners = Membership.objects.filter(role=Membership.Role.OWNER).select_related("user")
        return (
            super()
            .get_queryset(request)
            .prefetch_related(Prefetch("memberships", owners, to_attr="owning"), "claims")
        )

    def find(
        self, request: HttpRequest, rows: QuerySet[Tenant], wanted: search.Wanted
    ) -> QuerySet[Tenant] | None:
        if not wanted.place:
            return None
        member = Q(memberships__user__email__iexact=wanted.address or wanted.text)
        return rows.filter(Q(claims__name=wanted.place) | member).distinct()

    @admin.display(description="Owners")
    def owners(self, tenant: Tenant) -> str:
        return ", ".join(one.user.email for one in tenant.owning) or "-"

    @admin.display(description="Domains")
    def domains(self, tenant: Tenant) -> str:
        names = sorted(claim.name for claim in tenant.claims.all())
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return ", ".join(names[:3]) + more or "-"

    @admin.display(description="Inside")
    def look_inside(self, tenant: Tenant) -> str:
        return format_html('<a href="{}t/{}/">Open</a>', SHARED_PREFIX, tenant.slug)

    def change(self, request: HttpRequest, obj: Tenant, form: ServiceForm) -> None:
        standing, reason = form.cleaned_data["standing"], form.cleaned_data["reason"]
        if standing == Tenant.Standing.ACTIVE:
            resume_tenant(tenant=obj, actor=actor_of(request))
        else:
            for_abuse = standing == Tenant.Standing.ABUSIVE
            suspend_tenant(tenant=obj, actor=actor_of(request), for_abuse=for_abuse, reason=reason)


@admin.register(User, site=shared_site)
class UserAdmin(ReadOnlyAdmin):
    called = ("person", "people")
    purpose = "People who sign in. Staff are made by `manage.py staff`."
    list_display = ("email", "name", "tenants", "is_staff", "is_active", "last_login")
    list_filter = ("is_staff", "is_active")
    search_fields = ("email", "name")
    search_help_text = "E-mail address or name"
    hidden = ("password",)
    fields = ("email", "name", "tenants", "is_active", "is_staff", "last_login", "created_at")
    readonly_fields = ("tenants",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        members = Membership.objects.select_related("tenant")
        rows = super().get_queryset(request)
        return rows.prefetch_related(Prefetch("memberships", members, to_attr="belonging"))

    @admin.display(description="Tenants")
    def tenants(self, user: Any) -> str:
        return ", ".join(f"{one.tenant.slug} ({one.role})" for one in user.belonging) or "-"


@admin.register(Membership, site=shared_site)
class MembershipAdmin(ReadOnlyAdmin):
    purpose = "Who may do what in which tenant."
    list_display = ("user", "tenant", "role", "created_at")
    list_filter = ("role",)
    list_select_related = ("user", "tenant")
    search_fields = ("user__email", "tenant__slug")
    search_help_text = "E-mail address or slug"


@admin.register(ClaimedDomain, site=shared_site)
class ClaimedDomainAdmin(ReadOnlyAdmin):
    purpose = "Which tenant claims a domain, and whether he has proved it."
    list_display = ("name", "holder", "state", "served", "proof", "checked_at", "last_result")
    list_filter = ("state", "proof")
    list_select_related = ("tenant",)
    search_fields = ("name", "tenant__slug")
    search_help_text = "Domain, address or slug"
    actions = ("look_for_proof",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ClaimedDomain]:
        return super().get_queryset(request).annotate(asked_at=Now())

    def find(
        self, request: HttpRequest, rows: QuerySet[ClaimedDomain], wanted: search.Wanted
    ) -> QuerySet[ClaimedDomain] | None:
        return rows.filter(name=wanted.place) if wanted.place else None

    @admin.display(description="Tenant")
    def holder(self, claim: ClaimedDomain) -> str:
        return tenant_link(claim.tenant)

    @admin.display(description="Served")
    def served(self, claim: Any) -> str:
        standing = standing_of(claim, claim.asked_at)
        return standing.value if standing else "no more"

    @admin.action(description="Look for the proof now")
    def look_for_proof(self, request: HttpRequest, rows: QuerySet[ClaimedDomain]) -> None:
        def check(claim: ClaimedDomain) -> None:
            check_domain(tenant=claim.tenant, name=claim.name, actor=actor_of(request))

        try_each(self, request, rows[:10], check, "was looked up: see its last result")


@admin.register(SupportGrant, site=shared_site)
class SupportGrantAdmin(ReadOnlyAdmin):
    purpose = "Who of staff looked into which tenant, and why."
    list_display = ("inside", "staff", "reason", "starts_at", "ends_at", "revoked_at")
    list_select_related = ("tenant", "staff")
    search_fields = ("tenant__slug", "staff__email", "reason")
    search_help_text = "Slug, e-mail address of staff, or a word of the reason"

    @admin.display(description="Tenant", ordering="tenant__slug")
    def inside(self, grant: SupportGrant) -> str:
        return grant.tenant.slug


@admin.register(ServiceKey, site=shared_site)
class ServiceKeyAdmin(ReadOnlyAdmin):
    called = ("key", "keys of our own names")
    purpose = "Keys of our own names. Made by `manage.py service key`; the private half is sealed."
    list_display = ("selector", "purpose_text", "algorithm", "state", "created_at")
    hidden = ("sealed_private",)

    @admin.display(description="Signs")
    def purpose_text(self, key: ServiceKey) -> str:
        return key.get_purpose_display()


@admin.register(PlatformAuditEntry, site=shared_site)
class PlatformAuditAdmin(ReadOnlyAdmin):
    called = ("entry", "audit of the platform")
    purpose = "What staff, operators and the service did to tenants, domains and people."
    list_display = ("at", "actor", "client_ip", "action", "subject", "tenant_slug")
    ordering = ("-id",)
    search_fields = ("tenant_slug", "subject", "actor", "action")
    search_help_text = "Slug, domain, address, or who acted"

    def find(
        self, request: HttpRequest, rows: QuerySet[Any], wanted: search.Wanted
    ) -> QuerySet[Any] | None:
        if wanted.domain:
            return rows.filter(subject=wanted.domain)
        return None
