"""One running installation for the journeys of a file; each journey makes tenants of its own."""

from collections.abc import Iterator

import pytest

from tests.installation import Installation, installed


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installed(tmp_path_factory.mktemp("service")) as running:
        yield running
