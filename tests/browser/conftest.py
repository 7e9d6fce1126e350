"""A running installation with a tenant that has one of everything, and a browser."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.browser import chromium
from tests.cast import PASSWORD
from tests.installation import Installation, installed

FILL = """
from tests.browser.stills import print_stills
from tests.panel.estate import fill
fill()
print_stills()
"""


@dataclass
class Site:
    """The site, its pages by name, and a folder for pictures."""

    service: Installation
    paths: dict[str, str]
    pictures: Path
    stills: dict[str, str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.service.ports['WEB']}"

    def sign_in(
        self, context: Any, email: str = "ada@ada.example", password: str = PASSWORD
    ) -> Any:
        """Type address and password; gives the page."""
        page = context.new_page()
        page.goto("/sign-in/")
        page.fill("input[name=email]", email)
        page.fill("input[name=password]", password)
        page.click("form.sheet button")
        assert "/sign-in" not in page.url, page.content()
        return page


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    chromium.require()
    with installed(tmp_path_factory.mktemp("site"), MXAX_SIGN_UP="on") as service:
        said = service.manage("shell", "-c", FILL).splitlines()
        service.manage("tenant", "create", "fresh", "--owner", "ada@ada.example")
        folder = Path(os.environ.get("TEST_PICTURES") or tmp_path_factory.mktemp("pictures"))
        yield Site(service, json.loads(said[-2]), folder, json.loads(said[-1]))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium.browser() as running:
        yield running
