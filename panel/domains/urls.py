"""Addresses of a tenant's domains; a domain is named by its A-label."""

from django.urls import path

from panel.domains import keys, removal, views, wizard

urlpatterns = [
    path("", views.domains, name="domains"),
    path("add/", wizard.add, name="domain-add"),
    path("<str:domain_name>/", views.domain, name="domain"),
    path("<str:domain_name>/records/", wizard.records, name="domain-records"),
    path("<str:domain_name>/check/", wizard.check, name="domain-check"),
    path("<str:domain_name>/checked/", wizard.checked, name="domain-checked"),
    path("<str:domain_name>/zone/", views.zone, name="domain-zone"),
    path("<str:domain_name>/note/", views.note, name="domain-note"),
    path("<str:domain_name>/remove/", removal.remove, name="domain-remove"),
    path("<str:domain_name>/keys/", keys.keys, name="domain-keys"),
    path("<str:domain_name>/keys/add/", keys.add, name="domain-key-add"),
    path("<str:domain_name>/keys/<int:key_id>/revoke/", keys.revoke, name="domain-key-revoke"),
]
