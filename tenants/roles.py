"""The database roles of the processes: made once, by somebody who may make roles.

Needs a superuser's URL (`MXAX_DATABASE_ADMIN_URL`, the launcher has one) or a login role with
CREATEROLE. On a managed server the operator runs the printed SQL himself.
"""

import psycopg
from psycopg import sql

from tenants.isolation import OWNER, ROLES


def role_statements(login: str, database: str) -> list[sql.Composable]:
    """The SQL that makes the roles and hands the database to `mxax_owner`; may run again."""
    statements: list[sql.Composable] = []
    for role in ROLES:
        statements.append(
            sql.SQL(
                "DO $$ BEGIN CREATE ROLE {role} NOLOGIN NOSUPERUSER NOBYPASSRLS;"
                " EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
            ).format(role=sql.Identifier(role))
        )
        statements.append(
            sql.SQL("GRANT {role} TO {login}").format(
                role=sql.Identifier(role), login=sql.Identifier(login)
            )
        )
    statements += [
        sql.SQL("ALTER ROLE {} NOINHERIT").format(sql.Identifier(login)),
        sql.SQL("ALTER DATABASE {} OWNER TO {}").format(
            sql.Identifier(database), sql.Identifier(OWNER)
        ),
        sql.SQL("ALTER SCHEMA public OWNER TO {}").format(sql.Identifier(OWNER)),
        sql.SQL("REVOKE ALL ON SCHEMA public FROM PUBLIC"),
        sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(database)),
        sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(
            sql.Identifier(database), sql.Identifier(login)
        ),
        sql.SQL("ALTER ROLE {} IN DATABASE {} SET synchronous_commit = on").format(
            sql.Identifier(login), sql.Identifier(database)
        ),
    ]
    return statements


def make_roles(admin_url: str, *, login: str) -> None:
    """Make the roles on the database that `admin_url` names. Raises psycopg.Error."""
    with psycopg.connect(admin_url, autocommit=True) as connection:
        for statement in role_statements(login, connection.info.dbname):
            connection.execute(statement.as_string(connection).encode())


def is_member(url: str) -> bool:
    """Whether the login role of this URL may become `mxax_owner`. Raises psycopg.Error."""
    asked = "SELECT pg_has_role(oid, 'MEMBER') FROM pg_roles WHERE rolname = %s"
    with psycopg.connect(url, connect_timeout=5, autocommit=True) as connection:
        row = connection.execute(asked, (OWNER,)).fetchone()
    return bool(row and row[0])


def can_create(url: str, *, database: str) -> bool:
    """Whether its login role may itself make tables in the shared schema. Raises psycopg.Error."""
    asked = "SELECT has_schema_privilege('public', 'CREATE')"
    with psycopg.connect(url, dbname=database, connect_timeout=5, autocommit=True) as connection:
        row = connection.execute(asked).fetchone()
    return bool(row and row[0])
