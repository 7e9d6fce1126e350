"""The SQL of the roles, for an operator who hands out no superuser."""

import os
from dataclasses import replace

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection


def test_what_is_printed_is_what_a_superuser_may_run_again(transactional_db, capsys):
    call_command("prepare", "--print-roles")

    printed = capsys.readouterr().out
    login, database = connection.settings_dict["USER"], connection.settings_dict["NAME"]
    for role in ("owner", "web", "support", "edge", "worker"):
        assert f'GRANT "mxax_{role}" TO "{login}";' in printed
    assert f'ALTER DATABASE "{database}" OWNER TO "mxax_owner";' in printed
    admin = os.environ["MXAX_DATABASE_ADMIN_URL"]
    with psycopg.connect(admin, dbname=database, autocommit=True) as superuser:
        superuser.execute(printed.encode())


def test_a_login_without_the_roles_is_told_the_three_ways_out(transactional_db, settings):
    login = "without_roles"
    database = connection.settings_dict["NAME"]
    where = {name: str(connection.settings_dict[name.upper()]) for name in ("host", "port")}
    url = f"postgresql://{login}:secret@{where['host']}:{where['port']}/{database}"
    with psycopg.connect(
        os.environ["MXAX_DATABASE_ADMIN_URL"], dbname=database, autocommit=True
    ) as superuser:
        superuser.execute(f"CREATE ROLE {login} LOGIN NOINHERIT PASSWORD 'secret'".encode())
        superuser.execute(f'GRANT CONNECT ON DATABASE "{database}" TO {login}'.encode())
        settings.ENV = replace(settings.ENV, database_url=url, database_admin_url="")
        try:
            with pytest.raises(CommandError, match="has no role mxax_owner") as refused:
                call_command("prepare")
        finally:
            superuser.execute(f'REVOKE CONNECT ON DATABASE "{database}" FROM {login}'.encode())
            superuser.execute(f"DROP ROLE {login}".encode())

    for cure in ("MXAX_DATABASE_ADMIN_URL", "--print-roles", "MXAX_DATABASE_ROLES=off"):
        assert cure in str(refused.value)


def test_switching_roles_off_where_they_own_the_tables_is_refused(transactional_db, settings):
    settings.ENV = replace(settings.ENV, database_roles=False)

    with pytest.raises(CommandError, match="unset MXAX_DATABASE_ROLES"):
        call_command("prepare")
