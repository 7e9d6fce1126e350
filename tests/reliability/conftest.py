"""One service for the tests that leave it well; sizes reduced unless --full-size is given."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import pytest

from tests.reliability.places import Place, place
from tests.reliability.servers import OwnPostgres, OwnValkey

T = TypeVar("T")


@pytest.fixture
def sized(request: pytest.FixtureRequest) -> Callable[[T, T], T]:
    """`sized(reduced, full)`: the size of this run."""
    full = request.config.getoption("--full-size")
    return lambda reduced, whole: whole if full else reduced


@pytest.fixture(scope="session")
def ada(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A service with two edges and two sending processes; Ada has three addresses in it."""
    with place(tmp_path_factory.mktemp("reliability")) as running:
        yield running


@dataclass
class Outside:
    """A service whose database and broker are ours to stop."""

    place: Place
    database: OwnPostgres
    broker: OwnValkey


@pytest.fixture(scope="session")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    """The same service with a database and a broker that nobody but the test starts again."""
    folder = tmp_path_factory.mktemp("outside")
    broker = OwnValkey()
    database = OwnPostgres()
    urls = {
        "DATABASE_URL": database.url,
        "MXAX_DATABASE_ADMIN_URL": database.admin_url,
        "CELERY_BROKER_URL": broker.url,
    }
    try:
        with place(folder / "service", admin_url=database.admin_url, **urls) as running:
            yield Outside(running, database, broker)
    finally:
        broker.remove()
        database.remove()


@pytest.fixture
def record(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]):
    """Print what was measured, so that a run's output is its report."""

    def note(**figures: object) -> None:
        text = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in figures.items())
        for name, value in figures.items():
            record_property(name, str(value))
        with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            print(f"\n    {request.node.name}: {text}")

    return note
