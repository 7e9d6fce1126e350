"""Addresses of a tenant's domains; a domain is named by its A-label."""

from django.urls import path, register_converter
from django.urls.converters import StringConverter

from panel.domains import keys, removal, views, wizard


class DomainName(StringConverter):
    """An A-label; what is spelled in another way is 404."""

    called = "domain_name"
    regex = r"[a-z0-9][a-z0-9._-]{0,252}"


register_converter(DomainName, DomainName.called)
ONE = f"<{DomainName.called}:domain_name>/"

urlpatterns = [
    path("", views.domains, name="domains"),
    path("add/", wizard.add, name="domain-add"),
    path(ONE, views.domain, name="domain"),
    path(f"{ONE}records/", wizard.records, name="domain-records"),
    path(f"{ONE}check/", wizard.check, name="domain-check"),
    path(f"{ONE}checked/", wizard.checked, name="domain-checked"),
    path(f"{ONE}zone/", views.zone, name="domain-zone"),
    path(f"{ONE}note/", views.note, name="domain-note"),
    path(f"{ONE}remove/", removal.remove, name="domain-remove"),
    path(f"{ONE}keys/", keys.keys, name="domain-keys"),
    path(f"{ONE}keys/add/", keys.add, name="domain-key-add"),
    path(f"{ONE}keys/<int:key_id>/revoke/", keys.revoke, name="domain-key-revoke"),
]
