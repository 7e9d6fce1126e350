"""django-tenants' database backend, which also tells row-level security whose rows may be seen.

`mxax.tenant_id` travels in the same round trip as the search path, and follows it: empty in the
shared schema. With TENANT_LIMIT_SET_CALLS both are sent once per change of tenant and connection.
"""

from typing import Any

from django.conf import settings
from django.db.backends.postgresql.client import DatabaseClient
from django_tenants.postgresql_backend.base import DatabaseWrapper as TenantWrapper

__all__ = ["DatabaseClient", "DatabaseWrapper"]


def tenant_id_of_schema(schema_name: str | None) -> int | None:
    """The tenant's id in a generated schema name (`t17`), None for `public`."""
    if schema_name and schema_name.startswith("t") and schema_name[1:].isdigit():
        return int(schema_name[1:])
    return None


class DatabaseWrapper(TenantWrapper):
    """Sends `mxax.tenant_id` with the search path."""

    def _handle_search_path(self, cursor: Any = None) -> None:
        if self._setting_search_path:
            return
        if settings.TENANT_LIMIT_SET_CALLS and self.search_path_set_schemas:
            return
        super()._handle_search_path(_WithTenantId(self, cursor))


class _WithTenantId:
    """The cursor django-tenants sets the search path on; adds our variable to that statement."""

    def __init__(self, wrapper: DatabaseWrapper, cursor: Any) -> None:
        self.wrapper, self.cursor = wrapper, cursor

    def execute(self, statement: str) -> None:
        tenant_id = tenant_id_of_schema(self.wrapper.schema_name)
        both = f"{statement}; SET mxax.tenant_id = '{'' if tenant_id is None else tenant_id}'"
        if self.cursor is not None:
            self.cursor.execute(both)
            return
        with self.wrapper.connection.cursor() as cursor:
            cursor.execute(both)
