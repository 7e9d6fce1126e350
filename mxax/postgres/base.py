"""django-tenants' database backend, which also tells row-level security whose rows may be seen.

`mxax.tenant_id` travels in the same round trip as the search path, and follows it: empty in the
shared schema. With TENANT_LIMIT_SET_CALLS both are sent once per change of tenant and connection.
While a request of staff is answered (`act_as`), role and `mxax.staff_id` travel there too, so that
whatever takes the search path away (a new connection, a rolled back savepoint) renews all three.
"""

from dataclasses import dataclass
from typing import Any

import psycopg
from django.conf import settings
from django.db.backends.postgresql.client import DatabaseClient
from django_tenants.postgresql_backend.base import DatabaseWrapper as TenantWrapper

__all__ = ["DatabaseClient", "DatabaseWrapper"]


def tenant_id_of_schema(schema_name: str | None) -> int | None:
    """The tenant's id in a generated schema name (`t17`), None for `public`."""
    if schema_name and schema_name.startswith("t") and schema_name[1:].isdigit():
        return int(schema_name[1:])
    return None


@dataclass(frozen=True, slots=True)
class Acting:
    """For whom a connection works other than its own process: a role, and a member of staff."""

    role: str
    staff_id: int


class DatabaseWrapper(TenantWrapper):
    """Sends `mxax.tenant_id` with the search path."""

    acting: Acting | None = None

    def act_as(self, *, role: str, staff_id: int) -> None:
        """Work as somebody else, from the next statement until `act_as_itself`.

        A role of "" leaves the role alone, where the database forbids roles.
        """
        self.acting = Acting(role, staff_id)
        self.search_path_set_schemas = None

    def act_as_itself(self) -> None:
        """Back to the role of the process, no staff and no tenant, before anybody else comes.

        Sent at once and not with the next statement: a pool may hand the connection to another
        thread, whose wrapper knows nothing of this.
        """
        self.acting = None
        self.set_schema_to_public()
        if self.connection is None:
            return
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(
                    "RESET ROLE; SET mxax.staff_id = ''; SET mxax.tenant_id = '';"
                    " SET search_path = public"
                )
        except psycopg.Error:
            # Broken, or in a failed transaction: nobody else may get it as it is.
            self.connection.close()
            self.close()

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
        acting = self.wrapper.acting
        if acting is not None:
            both += f"; SET mxax.staff_id = '{acting.staff_id:d}'"
            both += f"; SET ROLE {acting.role}" if acting.role else ""
        if self.cursor is not None:
            self.cursor.execute(both)
            return
        with self.wrapper.connection.cursor() as cursor:
            cursor.execute(both)
