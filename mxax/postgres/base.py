"""django-tenants' database backend, which also tells row-level security whose rows may be seen.

`mxax.tenant_id` travels in the same round trip as the search path, and follows it: empty in the
shared schema. With TENANT_LIMIT_SET_CALLS both are sent once per change of tenant and connection.
While a request of staff is answered (`act_as`), role and `mxax.staff_id` travel there too, so that
whatever takes the search path away (a new connection, a rolled back savepoint) renews all three.

The role of the process is the first statement on every new connection (Django's `assume_role`), not
an option of its start, which poolers refuse or forget. What cannot be told to a session that is
ours alone is not told at all: the first connection of a process refuses a pooler that shares them.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import psycopg
from django.conf import settings
from django.db.backends.postgresql.client import DatabaseClient
from django_tenants.postgresql_backend.base import DatabaseWrapper as TenantWrapper

from mxax.postgres.sessions import refuse_shared_sessions

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

    connection: Any
    acting: Acting | None = None
    is_alone: ClassVar[bool] = False  # found out once in a process

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
                    f"SET ROLE {self._own_role()}; SET mxax.staff_id = '';"
                    " SET mxax.tenant_id = ''; SET search_path = public"
                )
        except psycopg.Error:
            # Broken, or in a failed transaction: nobody else may get it as it is.
            self.connection.close()
            self.close()

    def _own_role(self) -> str:
        """What this process works as: `SET ROLE NONE` is the login itself."""
        return str(self.settings_dict["OPTIONS"].get("assume_role") or "NONE")

    def init_connection_state(self) -> None:
        super().init_connection_state()
        if DatabaseWrapper.is_alone or self.connection is None:
            return
        try:
            refuse_shared_sessions(self.connection, self.get_connection_params())
        except BaseException:
            self.connection.close()
            self.connection = None
            raise
        DatabaseWrapper.is_alone = True

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
