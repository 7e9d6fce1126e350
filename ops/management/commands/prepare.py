"""`manage.py prepare`: bring database and files to what this code expects.

May run any number of times; what is done already is left alone.
"""

import time
from collections.abc import Callable
from typing import Any

import psycopg
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError, OperationalError, connection
from django.db.migrations.executor import MigrationExecutor

from ops.console import OneLineCommand, first_line, no_answer
from tenants import isolation, roles
from tenants.keys import ensure_service_keys
from tenants.models import Tenant
from tenants.vault import VaultError, prove_data_key


class Command(OneLineCommand):
    help = "Makes roles and keys, migrates every schema, applies isolation, collects files."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--print-roles",
            action="store_true",
            help="only print the SQL of the roles, for a superuser to run in the database",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["print_roles"]:
            self.stdout.write(roles_as_sql())
            return
        self.step("database roles", make_roles)
        self.step("shared tables", migrate_shared)
        self.step("tenants' tables", self.migrate_tenants)
        self.step("isolation", isolation.apply)
        self.step("keys", make_keys)
        self.step("static files", collect_static)

    def step(self, what: str, work: Callable[[], str | None]) -> None:
        started = time.monotonic()
        try:
            said = work()
        except (psycopg.OperationalError, OperationalError) as error:
            raise CommandError(f"{what}: {no_answer(error)}") from error
        except (psycopg.Error, DatabaseError, VaultError) as error:
            raise CommandError(f"{what}: {first_line(error)}") from error
        seconds = time.monotonic() - started
        self.stdout.write(f"  {what:<18} {said or 'ok':<44} {seconds:5.1f} s")
        self.stdout.flush()

    def migrate_tenants(self) -> str:
        """Migrate the schemas that are behind; a migrated tenant is granted at once."""
        schemas = list(Tenant.objects.order_by("id").values_list("schema_name", flat=True))
        done = 0
        for schema in schemas:
            if is_behind(schema):
                call_command(
                    "migrate_schemas",
                    tenant=True,
                    schema_name=schema,
                    interactive=False,
                    verbosity=0,
                )
                done += 1
                if done % 50 == 0:
                    self.stdout.write(f"    {done} tenants migrated")
            isolation.grant_schema(schema)
        return f"{len(schemas)} tenants, {done} migrated"


def roles_as_sql() -> str:
    """The SQL for the login and the database of `DATABASE_URL`; asks no server."""
    given = connection.settings_dict
    statements = roles.role_statements(given["USER"], given["NAME"])
    return "\n".join(f"{statement.as_string(None)};" for statement in statements)


def make_roles() -> str:
    """Make the roles where we may; says so where the database forbids them."""
    env, login = settings.ENV, connection.settings_dict["USER"]
    if not env.database_roles:
        require_schema(login)
        return "off: isolation by the application only"
    if not env.database_admin_url:
        require_roles(login)
        return "as they are (no MXAX_DATABASE_ADMIN_URL)"
    roles.make_roles(env.database_admin_url, login=login)
    return ""


def require_roles(login: str) -> None:
    if not roles.is_member(settings.ENV.database_url):
        raise CommandError(
            f"The database has no role {isolation.OWNER} for {login}: set "
            "MXAX_DATABASE_ADMIN_URL to a superuser's URL, or have one run the SQL of "
            "`manage.py prepare --print-roles`, or set MXAX_DATABASE_ROLES=off."
        )


def require_schema(login: str) -> None:
    database = connection.settings_dict["NAME"]
    if not roles.can_create(settings.ENV.database_url, database=database):
        raise CommandError(
            f"{login} may make no tables in the schema public: unset MXAX_DATABASE_ROLES where "
            "the roles own this database, else grant it CREATE there."
        )


def migrate_shared() -> str:
    if not is_behind("public"):
        return "up to date"
    call_command("migrate_schemas", shared=True, interactive=False, verbosity=0)
    return "migrated"


def is_behind(schema: str) -> bool:
    """True where a schema lacks a migration of this code."""
    tenant_connection: Any = connection  # django-tenants' own
    tenant_connection.set_schema(schema, include_public=False)
    try:
        executor = MigrationExecutor(connection)
        targets = [
            node
            for node in executor.loader.graph.leaf_nodes()
            if connections_allow(schema, node[0])
        ]
        return bool(executor.migration_plan(targets))
    finally:
        tenant_connection.set_schema_to_public()


def connections_allow(schema: str, app_label: str) -> bool:
    """Whether an app's tables belong into this schema."""
    from django.apps import apps

    names = settings.SHARED_APPS if schema == "public" else settings.TENANT_APPS
    return apps.get_app_config(app_label).name in names


def make_keys() -> str:
    prove_data_key(create=True)
    made = ensure_service_keys()
    return f"made {', '.join(made)}" if made else ""


def collect_static() -> None:
    call_command("collectstatic", interactive=False, verbosity=0)
