"""Who may touch which table: roles, grants and row-level security, stated once and applied again.

Each process works in one role (`SET ROLE` on connect); the login role is a NOINHERIT member of all.
`apply()` runs after migrations and `grant_schema()` after a tenant is created; both may run any
number of times. The queue's tables FORCE row-level security: edge, worker and owner see all rows,
web sees the rows of the tenant that travels in `mxax.tenant_id`, support those of tenants for which
a grant is active.

| role | is |
|---|---|
| mxax_owner | migrations, tenant creation and deletion, retention, backup |
| mxax_web | panel, API |
| mxax_support | admin sites, a tenant's data only under a grant |
| mxax_edge | listeners: reads routes, writes the queue |
| mxax_worker | sending loops: empties the queue, writes the tenants' logs |
"""

from dataclasses import dataclass

from django.conf import settings
from django.db import connection, transaction

OWNER, WEB, SUPPORT, EDGE, WORKER = ROLES = (
    "mxax_owner",
    "mxax_web",
    "mxax_support",
    "mxax_edge",
    "mxax_worker",
)

READ, WRITE, ALL = "SELECT", "SELECT, INSERT, UPDATE", "SELECT, INSERT, UPDATE, DELETE"
ADD = "SELECT, INSERT"
READ_ADDRESS = "SELECT (id, email, is_active)"  # never the password hash

PUBLIC_GRANTS: dict[str, dict[str, str]] = {
    # shared tables: table -> role -> privileges
    "tenants_tenant": {WEB: WRITE, SUPPORT: WRITE, EDGE: READ, WORKER: READ},
    "tenants_hostname": {WEB: READ, SUPPORT: READ},
    "tenants_user": {WEB: ALL, SUPPORT: WRITE, EDGE: READ_ADDRESS, WORKER: READ_ADDRESS},
    "tenants_user_groups": {WEB: "SELECT, DELETE", SUPPORT: ALL},
    "tenants_user_user_permissions": {WEB: "SELECT, DELETE", SUPPORT: ALL},
    "tenants_membership": {WEB: ALL, SUPPORT: ALL, EDGE: READ, WORKER: READ},
    "tenants_websession": {WEB: ALL, SUPPORT: ALL, WORKER: "SELECT, DELETE"},
    "tenants_recoverycode": {WEB: ALL, SUPPORT: "DELETE"},
    "tenants_attempttally": {WEB: ALL, SUPPORT: WRITE, EDGE: WRITE, WORKER: ALL},
    "tenants_invitation": {WEB: ALL, WORKER: "DELETE"},
    "tenants_domaincheck": {WEB: ALL, SUPPORT: ALL, WORKER: ALL},
    "tenants_claimeddomain": {WEB: ALL, SUPPORT: ALL, EDGE: READ, WORKER: WRITE},
    "tenants_supportgrant": {WEB: READ, SUPPORT: WRITE},
    "tenants_platformauditentry": {WEB: ADD, SUPPORT: ADD, WORKER: ADD},
    "tenants_servicekey": {WEB: READ, EDGE: READ, WORKER: READ},
    "tenants_contactedaddress": {WEB: WRITE, SUPPORT: WRITE, WORKER: WRITE},
    "tenants_sealedsecret": {WEB: READ, SUPPORT: READ, WORKER: READ},
    "tenants_datakeyproof": {WEB: READ, SUPPORT: READ, EDGE: READ, WORKER: READ},
    "auth_group": {WEB: READ, SUPPORT: ALL},
    "auth_group_permissions": {WEB: READ, SUPPORT: ALL},
    "auth_permission": {WEB: READ, SUPPORT: READ},
    "django_content_type": {WEB: READ, SUPPORT: READ, EDGE: READ, WORKER: READ},
    "django_migrations": {WEB: READ, SUPPORT: READ, EDGE: READ, WORKER: READ},
    "django_admin_log": {WEB: "SELECT, DELETE", SUPPORT: ADD},
    "django_session": {WEB: ALL, SUPPORT: ALL, WORKER: "DELETE"},
    "otp_totp_totpdevice": {WEB: ALL, SUPPORT: ALL},
    "otp_static_staticdevice": {WEB: ALL, SUPPORT: ALL},
    "otp_static_statictoken": {WEB: ALL, SUPPORT: ALL},
    # Row-level security lets the panel cancel a tenant's own mail, and nobody else's.
    "delivery_message": {WEB: ALL, SUPPORT: ALL, EDGE: ALL, WORKER: ALL},
    "delivery_content": {
        WEB: "SELECT, INSERT, DELETE",
        SUPPORT: "INSERT, DELETE",
        EDGE: ALL,
        WORKER: ALL,
    },
    "delivery_delivery": {WEB: ALL, SUPPORT: ALL, EDGE: ALL, WORKER: ALL},
    "delivery_deliveryevent": {WEB: ADD, SUPPORT: ADD, EDGE: ALL, WORKER: ALL},
    "delivery_serviceevent": {SUPPORT: READ, WORKER: ALL},
    "delivery_refusaltally": {WEB: READ, SUPPORT: READ, EDGE: WRITE, WORKER: ALL},
    "delivery_tenantusage": {WEB: READ, SUPPORT: READ, EDGE: WRITE, WORKER: ALL},
    # INSERT alone: the statement that queues a notice names the table, and adds no row to it.
    "delivery_opaquepath": {WEB: "INSERT", SUPPORT: "INSERT", EDGE: ADD, WORKER: ALL},
    "delivery_noticetally": {WORKER: ALL},
    "delivery_sharedcount": {EDGE: WRITE, WORKER: ALL},
    "delivery_greylisting": {EDGE: WRITE, WORKER: ALL},
    "delivery_quarantinedigest": {WEB: READ, SUPPORT: READ, WORKER: ALL},
    "delivery_retentionrun": {WEB: READ, SUPPORT: READ, WORKER: WRITE},
    "delivery_servicepulse": {WEB: READ, SUPPORT: READ, WORKER: ALL},
    "delivery_workerheartbeat": {WEB: READ, SUPPORT: READ, EDGE: READ, WORKER: ALL},
}

TENANT_GRANTS: dict[str, dict[str, str]] = {
    "routing_domain": {WEB: ALL, SUPPORT: ALL, EDGE: READ, WORKER: READ},
    "routing_route": {WEB: ALL, SUPPORT: ALL, EDGE: READ, WORKER: ALL},
    "routing_destination": {
        WEB: ALL,
        SUPPORT: ALL,
        EDGE: READ,
        WORKER: "SELECT, UPDATE, DELETE",
    },
    "routing_routedestination": {
        WEB: ALL,
        SUPPORT: ALL,
        EDGE: READ,
        WORKER: "SELECT, DELETE",
    },
    "routing_logpolicy": {WEB: ALL, SUPPORT: ALL, EDGE: READ, WORKER: READ},
    "routing_trustpreference": {WEB: ALL, SUPPORT: ALL, EDGE: READ, WORKER: READ},
    "routing_trustentry": {WEB: ALL, SUPPORT: ALL, EDGE: READ, WORKER: "SELECT, DELETE"},
    "routing_trustedsealer": {WEB: ALL, SUPPORT: ALL, EDGE: READ, WORKER: READ},
    "routing_dkimkey": {WEB: ALL, SUPPORT: "DELETE", WORKER: ALL},
    "routing_smtpcredential": {WEB: ALL, SUPPORT: "DELETE", EDGE: WRITE},
    "routing_apitoken": {WEB: ALL},
    "routing_webhook": {WEB: ALL, WORKER: READ},
    "routing_suppression": {WEB: ALL, SUPPORT: ALL, EDGE: READ, WORKER: WRITE},
    "routing_auditentry": {WEB: ADD, SUPPORT: ADD, WORKER: ADD},
    "messagelog_loggedmessage": {WEB: READ, SUPPORT: READ, WORKER: ALL},
    "messagelog_loggedname": {WEB: READ, SUPPORT: READ, WORKER: ALL},
    "messagelog_loggedevent": {WEB: READ, SUPPORT: READ, WORKER: ALL},
    "messagelog_routeday": {WEB: READ, SUPPORT: READ, WORKER: ALL},
    "messagelog_routefailure": {WEB: READ, SUPPORT: READ, WORKER: ALL},
    "django_migrations": {WEB: READ, SUPPORT: READ, EDGE: READ, WORKER: READ},
}

# What support reads of tables with secrets or content in them: never those columns.
SUPPORT_COLUMNS: dict[str, str] = {
    "tenants_invitation": "id, tenant_id, email, role, invited_by, created_at, expires_at,"
    " accepted_at, withdrawn_at",
    "tenants_recoverycode": "id, user_id, created_at, used_at",
    "tenants_servicekey": "id, purpose, algorithm, selector, state, public, created_at",
    "delivery_content": "message_id, number, tenant_id, stored_at",
}
# What the worker's sweep needs of sessions and invitations: never what is kept in them.
WORKER_COLUMNS: dict[str, str] = {
    "django_session": "session_key, expire_date",
    "tenants_invitation": "id, created_at, expires_at",
}
SUPPORT_TENANT_COLUMNS: dict[str, str] = {
    "routing_dkimkey": "id, domain_id, algorithm, selector, state, public, created_at, seen_at,"
    " retired_at",
    "routing_smtpcredential": "id, username, label, domain_id, address, created_at, expires_at,"
    " last_used_at, revoked_at",
    "routing_apitoken": "id, locator, label, scopes, created_at, expires_at, last_used_at,"
    " revoked_at",
    "routing_webhook": "id, url, kinds, is_active, created_at",
}

# Functions that run with the owner's rights, and who may call them.
FUNCTIONS: dict[str, str] = {"public.mxax_cut_audit(bigint, timestamptz)": WORKER}

GUARDED_TABLES = (
    "delivery_message",
    "delivery_content",
    "delivery_delivery",
    "delivery_deliveryevent",
    "delivery_refusaltally",
    "delivery_tenantusage",
    "delivery_retentionrun",
    "delivery_quarantinedigest",
)

# Account mail belongs to no tenant: the pages hand it in, and never see it again.
TABLES_OF_NOTICES = GUARDED_TABLES[:4]

OWN_ROWS = "tenant_id = nullif(current_setting('mxax.tenant_id', true), '')::bigint"
GRANTED_ROWS = (
    "EXISTS (SELECT 1 FROM public.tenants_supportgrant g WHERE g.tenant_id = {table}.tenant_id"
    " AND g.staff_id = nullif(current_setting('mxax.staff_id', true), '')::bigint"
    " AND g.revoked_at IS NULL AND clock_timestamp() BETWEEN g.starts_at AND g.ends_at)"
)


@dataclass(frozen=True, slots=True)
class IsolationFault:
    """One thing that is not as stated here, for `doctor`."""

    what: str
    cure: str = "run `manage.py prepare` in the role mxax_owner"


def apply() -> None:
    """Grants and row-level security of the shared schema; nothing where roles are off.

    Processes may be at work: none sees a table between taking a right away and giving it again. The
    policies of a table are a transaction of their own, because they lock it.
    """
    if not settings.ENV.database_roles:
        return
    for statements in (_public_grants(), *map(_guard, GUARDED_TABLES)):
        with transaction.atomic(), connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


def _public_grants() -> list[str]:
    others = ", ".join(ROLES[1:])
    return [
        f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {others}",
        f"GRANT USAGE ON SCHEMA public TO {others}",
        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {others}",
        *_grants("public", PUBLIC_GRANTS),
        *_column_grants("public", SUPPORT_COLUMNS),
        *_column_grants("public", WORKER_COLUMNS, role=WORKER),
        *(f"GRANT EXECUTE ON FUNCTION {name} TO {role}" for name, role in FUNCTIONS.items()),
    ]


def grant_schema(schema_name: str) -> None:
    """Grants on a tenant's schema, after its creation and after each migration."""
    if not settings.ENV.database_roles:
        return
    others = ", ".join(ROLES[1:])
    quoted = connection.ops.quote_name(schema_name)
    with connection.cursor() as cursor:
        cursor.execute(
            f"REVOKE ALL ON ALL TABLES IN SCHEMA {quoted} FROM {others};"
            f"GRANT USAGE ON SCHEMA {quoted} TO {others};"
            f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {quoted} TO {others};"
            + ";".join(
                [
                    *_grants(quoted, TENANT_GRANTS),
                    *_column_grants(quoted, SUPPORT_TENANT_COLUMNS),
                ]
            )
        )


def _grants(schema: str, tables: dict[str, dict[str, str]]) -> list[str]:
    return [
        f'GRANT {privileges} ON {schema}."{table}" TO {role}'
        for table, roles in tables.items()
        for role, privileges in roles.items()
    ]


def _column_grants(schema: str, tables: dict[str, str], *, role: str = SUPPORT) -> list[str]:
    return [
        f'GRANT SELECT ({columns}) ON {schema}."{table}" TO {role}'
        for table, columns in tables.items()
    ]


def _guard(table: str) -> list[str]:
    name = f'public."{table}"'
    granted = GRANTED_ROWS.format(table=table)
    policies = {
        "all_rows": (f"{OWNER}, {EDGE}, {WORKER}", "true"),
        "own_rows": (WEB, OWN_ROWS),
        "granted_rows": (SUPPORT, granted),
    }
    statements = [
        f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY",
    ]
    for policy, (roles, condition) in policies.items():
        statements += [
            f"DROP POLICY IF EXISTS {policy} ON {name}",
            f"CREATE POLICY {policy} ON {name} TO {roles}"
            f" USING ({condition}) WITH CHECK ({condition})",
        ]
    if table in TABLES_OF_NOTICES:
        statements += [
            f"DROP POLICY IF EXISTS service_mail ON {name}",
            f"CREATE POLICY service_mail ON {name} FOR INSERT TO {WEB}, {SUPPORT}"
            " WITH CHECK (tenant_id IS NULL)",
        ]
    return statements


def faults() -> list[IsolationFault]:
    """What `doctor` reports: tables without forced security, powers a role must not have."""
    found = []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            " AND relname = ANY(%s) AND NOT (relrowsecurity AND relforcerowsecurity)",
            [list(GUARDED_TABLES)],
        )
        found += [IsolationFault(f"{name} has no forced row-level security") for (name,) in cursor]
        cursor.execute(
            "SELECT rolname FROM pg_roles WHERE (rolsuper OR rolbypassrls)"
            " AND rolname = ANY(%s::text[] || current_user::text || session_user::text)",
            [list(ROLES)],
        )
        found += [
            IsolationFault(
                f"role {name} passes row-level security",
                f"ALTER ROLE {name} NOSUPERUSER NOBYPASSRLS",
            )
            for (name,) in cursor
        ]
    return found
