"""Debian's chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
WIDE = {"width": 1200, "height": 900}
NARROW = {"width": 320, "height": 640}


def require() -> str:
    """Where chromium is; skips, saying so, where it is not."""
    pytest.importorskip("playwright", reason="playwright is not installed: `make test-all` does")
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("chromium is not installed (Debian: apt install chromium)")
    return found


@contextmanager
def browser() -> Iterator[Any]:
    """A browser for a while; each context in it is a person with cookies of his own."""
    path = require()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        try:
            yield chromium
        finally:
            chromium.close()


def person(chromium: Any, url: str, **options: Any) -> Any:
    """A context without JavaScript, at this site."""
    options.setdefault("viewport", WIDE)
    options.setdefault("locale", "en-GB")
    context = chromium.new_context(base_url=url, java_script_enabled=False, **options)
    context.set_default_timeout(15_000)
    return context


def shoot(page: Any, folder: Path, name: str) -> None:
    """A picture of the whole page, where somebody wants to look at it: TEST_PICTURES is a folder.

    Drawing takes longer than all that is asserted.
    """
    if not os.environ.get("TEST_PICTURES"):
        return
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"{name.replace(':', '-')}.png", full_page=True)
