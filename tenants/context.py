"""Opening a tenant's schema: in services, and for Celery tasks.

The schema belongs to the connection, and connections belong to threads: never hold one of these
across an `await`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import Task
from django.db import close_old_connections, connection
from django_tenants.utils import get_public_schema_name, schema_context

from tenants.models import Tenant
from tenants.names import schema_name_of


class NoTenant(RuntimeError):
    """Work for a tenant was started without one, or with one that is not there."""


@contextmanager
def tenant_schema(tenant_id: int) -> Iterator[None]:
    """The tenant's schema for what is inside; the one before comes back at the end."""
    with schema_context(schema_name_of(tenant_id)):
        yield


@contextmanager
def public_schema() -> Iterator[None]:
    """The shared schema alone, whatever is open around it."""
    with schema_context(get_public_schema_name()):
        yield


def open_schema() -> str:
    """The schema that is open on this thread's connection."""
    wrapper: Any = connection  # django-tenants' class, which Django's types do not know
    return str(wrapper.schema_name)


def require_tenant_schema() -> None:
    """Raise `NoTenant` where no tenant's schema is open."""
    if open_schema() == get_public_schema_name():
        raise NoTenant("no tenant is open: use tenants.context.tenant_schema")


class TenantTask(Task):
    """A task of one tenant: takes `tenant_id` by name, runs in its schema, refuses without.

    The id travels as an argument, not in a header: headers are copied into retries and chains.
    """

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        tenant_id = kwargs.get("tenant_id")
        close_idle_connections()
        try:
            _require_existing(tenant_id)
            with tenant_schema(tenant_id):  # type: ignore[arg-type]
                return self.run(*args, **kwargs)
        finally:
            close_idle_connections()


def close_idle_connections() -> None:
    """Around each job outside requests; the caller's open transaction is left alone."""
    if not connection.in_atomic_block:
        close_old_connections()


def _require_existing(tenant_id: object) -> None:
    if isinstance(tenant_id, bool) or not isinstance(tenant_id, int):
        raise NoTenant("the task needs tenant_id=… (a whole number)")
    with public_schema():
        if not Tenant.objects.filter(pk=tenant_id).exists():
            raise NoTenant(f"there is no tenant {tenant_id}: it was deleted, or never made")
