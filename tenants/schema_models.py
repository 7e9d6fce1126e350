"""Tables of the tenant's schema that the tenancy itself writes, by their labels.

The models live in routing, which imports tenants; so they are asked of the registry, as Django does
for AUTH_USER_MODEL. Nothing else of routing is known here.
"""

from collections.abc import Iterator

from django.apps import AppConfig, apps
from django.conf import settings
from django.db.models import Model

from tenants.models import AuditEntryBase


def tenant_audit() -> type[AuditEntryBase]:
    """The tenant's own audit."""
    return apps.get_model("routing", "AuditEntry")


def log_policy() -> type[Model]:
    """What the tenant lets us write down."""
    return apps.get_model("routing", "LogPolicy")


def is_tenant_app(config: AppConfig) -> bool:
    """Whether the tables of an app are in the tenants' schemas."""
    return config.name in settings.TENANT_APPS


def tenant_models() -> Iterator[type[Model]]:
    """Every model whose table is in the tenant's schema."""
    for config in apps.get_app_configs():
        if is_tenant_app(config):
            yield from config.get_models(include_auto_created=True)


def shared_models_with_rows_of_tenants() -> Iterator[type[Model]]:
    """Shared models whose rows carry a bare `tenant_id` (the queue, its events, usage).

    Found and not listed, so that a table added later is not forgotten when a tenant is deleted.
    Rows with a foreign key to Tenant go with the tenant's own row.
    """
    for model in apps.get_models():
        if is_tenant_app(model._meta.app_config) or not model._meta.managed:
            continue
        if any(field.name == "tenant_id" for field in model._meta.concrete_fields):
            yield model
