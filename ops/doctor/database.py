"""What the database says of itself: reachable, durable, isolated, migrated, ours."""

from collections.abc import Iterator
from typing import Final

from django.apps import apps
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from ops.console import first_line
from ops.doctor.finding import Finding, error, ok, warning
from tenants.audit import first_break
from tenants.isolation import faults
from tenants.keys import ALGORITHMS, Purpose, forget_signing_keys, signing_keys
from tenants.models import PlatformAuditEntry, Tenant
from tenants.schema_models import is_tenant_app
from tenants.vault import VaultError, prove_data_key

OLDEST_VERSION: Final = 150000
SCHEMAS_AT_ONCE: Final = 100
PREPARE: Final = "run `manage.py prepare`"


def check_server() -> Finding:
    """Raises django.db.Error where nothing answers; then no other check here makes sense."""
    connection.ensure_connection()
    number = int(_shown("server_version_num"))
    seen = f"PostgreSQL {number // 10000}.{number % 10000}"
    if number < OLDEST_VERSION:
        return error("database", seen, "use PostgreSQL 15 or later")
    return ok("database", seen)


def check_durability() -> Finding:
    """250 means committed only where the server waits for the disk."""
    states = {name: _shown(name) for name in ("synchronous_commit", "fsync", "full_page_writes")}
    wrong = {name: state for name, state in states.items() if state in ("off", "local")}
    if wrong:
        seen = ", ".join(f"{name} = {state}" for name, state in wrong.items())
        return error("durability", seen, "set it to on: accepted mail could be lost in a crash")
    return ok("durability", ", ".join(f"{name} = {state}" for name, state in states.items()))


def check_isolation() -> Iterator[Finding]:
    """Roles, grants and row-level security."""
    if not settings.ENV.database_roles:
        cure = "let the database have roles and set MXAX_DATABASE_ROLES=on"
        yield warning("isolation", "isolation: application only", cure)
        return
    found = faults()
    for fault in found:
        yield error("isolation", fault.what, fault.cure)
    if not found:
        yield ok("isolation", "roles, and row-level security forced on the queue")


def check_migrations() -> Finding:
    """Every schema has every migration of this code."""
    loader = MigrationLoader(None)
    tenant_labels = {config.label for config in apps.get_app_configs() if is_tenant_app(config)}
    own = {key for key in loader.disk_migrations if key[0] in tenant_labels}
    shared = set(loader.disk_migrations) - own
    schemas = list(Tenant.objects.order_by("id").values_list("schema_name", flat=True))
    there = _existing(["public", *schemas])
    applied = _applied([name for name in ("public", *schemas) if name in there])
    behind = [name for name in schemas if own - applied.get(name, set())]
    if shared - applied.get("public", set()):
        behind.insert(0, "public")
    if behind:
        seen = f"{len(behind)} of {len(schemas) + 1} schemas are behind ({', '.join(behind[:3])})"
        return error("migrations", seen, PREPARE)
    return ok("migrations", f"{len(schemas) + 1} schemas are up to date")


def _existing(schemas: list[str]) -> set[str]:
    """Those that have a table of migrations."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT schemaname FROM pg_tables WHERE tablename = 'django_migrations'"
            " AND schemaname = ANY(%s)",
            [schemas],
        )
        return {name for (name,) in cursor}


def _applied(schemas: list[str]) -> dict[str, set[tuple[str, str]]]:
    found: dict[str, set[tuple[str, str]]] = {name: set() for name in schemas}
    for start in range(0, len(schemas), SCHEMAS_AT_ONCE):
        some = schemas[start : start + SCHEMAS_AT_ONCE]
        with connection.cursor() as cursor:
            cursor.execute(
                " UNION ALL ".join(
                    f"SELECT '{name}', app, name FROM {connection.ops.quote_name(name)}"
                    ".django_migrations"
                    for name in some  # generated names: `public` or t and digits
                )
            )
            for schema, app, name in cursor:
                found[schema].add((app, name))
    return found


def check_data_key() -> Finding:
    """The key outside the database is the one that this database was written with."""
    try:
        prove_data_key()
    except VaultError as fault:
        return error("data key", str(fault), "set MXAX_DATA_KEY to the key of this database")
    return ok("data key", "opens what this database holds")


def check_service_keys() -> Finding:
    """Both of our names have an RSA and an Ed25519 key that load."""
    forget_signing_keys()
    try:
        keys = [key for purpose in Purpose for key in signing_keys(purpose)]
    except VaultError as fault:
        return error("signing keys", str(fault), "set MXAX_DATA_KEY to the key they were made with")
    wanted = len(Purpose) * len(ALGORITHMS)
    if len(keys) < wanted:
        return error("signing keys", f"{len(keys)} of {wanted} are there", PREPARE)
    return ok("signing keys", ", ".join(f"{key.selector} ({key.domain})" for key in keys))


def check_audit() -> Finding:
    """The platform's audit is whole."""
    broken = first_break(PlatformAuditEntry)
    if broken is not None:
        cure = "find out who wrote to tenants_platformauditentry, and compare with a backup"
        return error("audit", f"entry {broken} does not follow from those before it", cure)
    return ok("audit", f"{PlatformAuditEntry.objects.count()} entries, unbroken")


def _shown(name: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SHOW {name}")
        return str(cursor.fetchone()[0])


def database_findings() -> Iterator[Finding]:
    """All of them; a failing one does not hide the others."""
    yield check_server()
    for check in (
        check_durability,
        check_isolation,
        check_migrations,
        check_data_key,
        check_service_keys,
        check_audit,
    ):
        try:
            found = check()
            yield from [found] if isinstance(found, Finding) else found
        except DatabaseError as fault:
            yield error(check.__name__.removeprefix("check_"), first_line(fault), PREPARE)
