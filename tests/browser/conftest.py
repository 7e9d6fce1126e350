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


@dataclass
class Site:
    """The site, its pages by name, and a folder for pictures."""

    service: Installation
    paths: dict[str, str]
    pictures: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.service.ports['WEB']}"

    def sign_in(self, context: Any, email: str = "ada@ada.example") -> Any:
        """Type address and password; gives the page."""
        page = context.new_page()
        page.goto("/sign-in/")
        page.fill("input[name=email]", email)
        page.fill("input[name=password]", PASSWORD)
        page.click("form.sheet button")
        assert "/sign-in" not in page.url, page.content()
        return page


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    chromium.require()
    with installed(tmp_path_factory.mktemp("site"), MXAX_SIGN_UP="on") as service:
        said = service.manage("shell", "-c", "from tests.panel.estate import fill; fill()")
        paths = json.loads(said.splitlines()[-1])
        folder = Path(os.environ.get("TEST_PICTURES") or tmp_path_factory.mktemp("pictures"))
        yield Site(service, paths, folder)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium.browser() as running:
        yield running
