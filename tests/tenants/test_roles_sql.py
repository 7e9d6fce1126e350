"""The SQL of the roles, for an operator who hands out no superuser."""

import os

import psycopg
from django.core.management import call_command
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
