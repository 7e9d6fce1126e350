"""Models of the shared schema: tenants, people, claims, grants, our keys, the platform's audit."""

from typing import Any

from django.contrib import admin
from django.db.models import Prefetch, Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils.html import format_html

from mail.trace import printable
from ops.admin import search
from ops.admin.base import ReadOnlyAdmin, ServiceAdmin, ServiceForm, actor_of, try_each
from ops.admin.columns import badge, tenant_link, yes_or_no
from ops.admin.domains import LOOKED_SOON, of_claim
from ops.admin.forms import StandingForm
from ops.admin.sites import shared_site
from ops.grants import end_grants
from ops.middleware import SHARED_PREFIX
from routing.services import check_domain
from routing.services.due import look_soon
from tenants.claims import standing_of
from tenants.models import (
    ClaimedDomain,
    Membership,
    PlatformAuditEntry,
    ServiceKey,
    SupportGrant,
    Tenant,
)
from tenants.services import resume_tenant, suspend_tenant


@admin.register(Tenant, site=shared_site)
class TenantAdmin(ServiceAdmin):
    purpose = "Customers. Made, exported and erased by `manage.py tenant`."
    list_display = (
        "slug",
        "called_by",
        "standing",
        "owners",
        "domains",
        "created_at",
        "look_inside",
    )
    list_filter = ("standing",)
    search_fields = ("slug", "name")
    search_help_text = "Slug, name, domain, or a member's e-mail address"
    change_form = StandingForm
    change_fields = ("standing", "reason")
    shown_fields = (
        *("slug", "called_by", "forward_cap", "owners", "domains", "factor_required"),
        *("paused_by_himself", "created_at"),
    )
    below = "admin/of_tenant.html"
    factor_required = yes_or_no("requires_second_factor", "Requires second factor")
    paused_by_himself = yes_or_no("paused_by_owner", "Paused by an owner")

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

    @admin.display(description="Name", ordering="name")
    def called_by(self, tenant: Tenant) -> str:
        return printable(tenant.name, 120) or "-"

    @admin.display(description="Owners")
    def owners(self, tenant: Tenant) -> str:
        return ", ".join(one.user.email for one in tenant.owning) or "-"

    @admin.display(description="Domains")
    def domains(self, tenant: Tenant) -> str:
        names = sorted(claim.name for claim in tenant.claims.all())
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return ", ".join(names[:3]) + more or "-"

    def tell(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        members = Membership.objects.filter(tenant=obj).select_related("user").order_by("id")
        return {"members": members, "claims": obj.claims.all()}

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


@admin.register(ClaimedDomain, site=shared_site)
class ClaimedDomainAdmin(ReadOnlyAdmin):
    purpose = "Which tenant claims a domain, and whether he has proved it."
    list_display = ("name", "holder", "state", "served", "proof", "checked_at", "last_result")
    list_filter = ("state", "proof")
    list_select_related = ("tenant", "check_seen")
    search_fields = ("name", "tenant__slug")
    search_help_text = "Domain, address or slug"
    actions = ("look_for_proof", "look_soon")
    fields = (*("name", "holder", "claimed_at", "verified_at"),)
    readonly_fields = ("holder",)
    below = "admin/of_domain.html"

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

    @admin.action(description="Look at all its records")
    def look_soon(self, request: HttpRequest, rows: QuerySet[ClaimedDomain]) -> None:
        def look(claim: ClaimedDomain) -> None:
            look_soon(tenant_id=claim.tenant_id, name=claim.name)

        try_each(self, request, rows[:50], look, LOOKED_SOON)

    def tell(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        return of_claim(obj, obj.asked_at)


@admin.register(SupportGrant, site=shared_site)
class SupportGrantAdmin(ReadOnlyAdmin):
    called = ("grant", "grants of support")
    purpose = "Who of staff looked into which tenant, and why; those that are open can be ended."
    list_display = ("inside", "staff", "state", "reason", "starts_at", "ends_at", "revoked_at")
    list_display_links = ("starts_at",)
    list_select_related = ("tenant", "staff")
    search_fields = ("tenant__slug", "staff__email", "reason")
    search_help_text = "Slug, e-mail address of staff, or a word of the reason"
    fields = ("inside", "staff", "state", "reason", "starts_at", "ends_at", "revoked_at")
    readonly_fields = ("inside", "state")
    actions = ("end",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[SupportGrant]:
        return super().get_queryset(request).annotate(asked_at=Now())

    @admin.display(description="Tenant", ordering="tenant__slug")
    def inside(self, grant: SupportGrant) -> str:
        return tenant_link(grant.tenant)

    @admin.display(description="State")
    def state(self, grant: Any) -> str:
        if grant.revoked_at is not None:
            return badge("ended early", "plain")
        return badge("open", "warn") if grant.asked_at < grant.ends_at else badge("over", "plain")

    @admin.action(description="End now")
    def end(self, request: HttpRequest, rows: QuerySet[SupportGrant]) -> None:
        """Anybody of staff may: the one who opened it may have gone home."""

        def end(grant: SupportGrant) -> str:
            ended = end_grants(tenant=grant.tenant, staff=grant.staff, actor=actor_of(request))
            return "" if ended else "was over already"

        try_each(self, request, rows, end, "is ended")


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
