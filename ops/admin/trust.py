"""Whom a tenant trusts, for support to read: the choice is his alone, made on his own pages."""

from django.contrib import admin

from ops.admin.base import ReadOnlyAdmin
from ops.admin.sites import tenant_site
from routing.models import TrustedSealer, TrustEntry, TrustPreference


@admin.register(TrustPreference, site=tenant_site)
class TrustPreferenceAdmin(ReadOnlyAdmin):
    called = ("policy of trust", "policies of trust")
    purpose = "What becomes of mail by who wrote it and what is in it; no row: the defaults."
    list_display = (
        *("__str__", "refuses_dmarc_reject", "on_dmarc_quarantine", "refuses_viruses"),
        *("quarantine_days", "greylists"),
    )


@admin.register(TrustEntry, site=tenant_site)
class TrustEntryAdmin(ReadOnlyAdmin):
    called = ("allow or block entry", "allow and block lists")
    purpose = "Addresses, domains and networks that are let in where genuine, or refused."
    list_display = ("subject", "kind", "domain", "route", "expires_at")
    list_filter = ("kind",)
    list_select_related = ("domain", "route")
    search_fields = ("subject",)
    search_help_text = "Address, domain or network"
    hidden = ("note",)


@admin.register(TrustedSealer, site=tenant_site)
class TrustedSealerAdmin(ReadOnlyAdmin):
    called = ("trusted sealer", "trusted sealers")
    purpose = "Forwarders and lists whose ARC seals may overrule a DMARC failure."
    list_display = ("name",)
    search_fields = ("name",)
    search_help_text = "Domain"
    hidden = ("note",)
