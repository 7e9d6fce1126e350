"""Addresses of this section."""

from django.urls import path

from panel.domains.urls import DomainName
from panel.keeping import change, views

_ONE = f"domains/<{DomainName.called}:name>/"

urlpatterns = [
    path("", views.logging, name="logging"),
    path("change/", change.tenant_policy, name="logging-change"),
    path(_ONE, views.domain_policy, name="logging-domain"),
    path(f"{_ONE}change/", change.domain_policy, name="logging-domain-change"),
    path(f"{_ONE}remove/", change.remove, name="logging-domain-remove"),
]
