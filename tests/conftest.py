"""The test run's PostgreSQL and the cast known to all.

A run that touches more than `tests/mail` starts a PostgreSQL of its own (the embedded one) and a
Valkey, once for all workers, unless DATABASE_URL, MXAX_DATABASE_ADMIN_URL and CELERY_BROKER_URL
name others. Every worker of pytest-xdist has a database of its own in it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

pytest_plugins = ["tests.cast"]

_servers = ExitStack()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--full-size", action="store_true", help="run the reliability tests at their full sizes"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Start the servers in the main process, before Django reads its settings."""
    if _only_pure(config):
        return
    if "PYTEST_XDIST_WORKER" not in os.environ:
        _start_servers()
    os.environ["DJANGO_SETTINGS_MODULE"] = "mxax.settings"
    import django

    django.setup()


def pytest_unconfigure(config: pytest.Config) -> None:
    _servers.close()


def _only_pure(config: pytest.Config) -> bool:
    wanted = [Path(argument.split("::")[0]).resolve() for argument in config.args]
    pure = Path(__file__).parent / "mail"
    return bool(wanted) and all(path == pure or pure in path.parents for path in wanted)


def _start_servers() -> None:
    data = Path(tempfile.mkdtemp(prefix="mxax-tests-", dir=os.environ.get("TMPDIR", "/tmp")))
    _servers.callback(shutil.rmtree, data, ignore_errors=True)
    (data / "static").mkdir()  # as `prepare` makes it; empty here
    os.environ["MXAX_DATA_DIR"] = str(data)
    if "DATABASE_URL" not in os.environ:
        from mxax.launcher.services import services

        urls = _servers.enter_context(services(data))
        os.environ.update(urls)
    import psycopg

    from tenants.roles import make_roles

    admin = os.environ["MXAX_DATABASE_ADMIN_URL"]
    login = os.environ["DATABASE_URL"].split("//")[1].split(":")[0]
    make_roles(admin, login=login)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("ALTER ROLE mxax_owner CREATEDB")


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment, django_db_blocker, request):
    """The worker's test database with every grant and policy applied."""
    from django.db import connections
    from django.test.utils import setup_databases, teardown_databases

    with django_db_blocker.unblock():
        prefix = os.environ.get("PYTEST_XDIST_WORKER", "main")
        connections["default"].settings_dict["TEST"]["NAME"] = f"test_mxax_{os.getpid()}_{prefix}"
        made = setup_databases(verbosity=0, interactive=False)
        from tenants import isolation
        from tenants.lasting import lasting_key
        from tenants.vault import prove_data_key
        from tests import spares

        isolation.apply()
        prove_data_key(create=True)
        # Tests that really commit empty every table; the process remembers.
        lasting_key("tests")
        spares.make()
    yield
    with django_db_blocker.unblock():
        teardown_databases(made, verbosity=0)


@pytest.fixture(autouse=True)
def schemas_are_made_before(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new tenant gets a schema that was made before the first test: see tests/spares.py."""
    asks = request.node.get_closest_marker("django_db")
    commits = "transactional_db" in request.fixturenames or (
        asks and asks.kwargs.get("transaction")
    )
    uses = asks is not None or "db" in request.fixturenames
    if uses and not commits and request.node.get_closest_marker("real_schemas") is None:
        from tests import spares

        monkeypatch.setattr("tenants.services.tenants._make_schema", spares.take)
