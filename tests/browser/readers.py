"""Two ways to read the site as people do: chromium without JavaScript, and w3m on a terminal."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Protocol

from tests.browser import chromium
from tests.browser.w3m import W3m


class Reader(Protocol):
    """What a person does with a page."""

    def open(self, path: str) -> None: ...
    def fill(self, label: str, text: str) -> None: ...
    def choose(self, label: str) -> None: ...
    def press(self, button: str) -> None: ...
    def follow(self, link: str) -> None: ...
    def unfold(self, summary: str) -> None: ...
    def has_kept(self, label: str, text: str) -> bool: ...
    def text(self) -> str: ...
    def picture(self, name: str) -> None: ...


class Chromium:
    """A context without JavaScript; every page is drawn when asked for."""

    def __init__(self, browser: Any, url: str, folder: Path) -> None:
        self.context = chromium.person(browser, url)
        self.page = self.context.new_page()
        self.folder = folder
        self.asked: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))

    def open(self, path: str) -> None:
        self.page.goto(path)

    def fill(self, label: str, text: str) -> None:
        self.page.get_by_label(label, exact=True).fill(text)

    def choose(self, label: str) -> None:
        self.page.get_by_role("radio", name=re.compile(rf"^\s*{re.escape(label)}")).check()

    def press(self, button: str) -> None:
        self.page.get_by_role("button", name=button, exact=True).click()

    def follow(self, link: str) -> None:
        self.page.get_by_role("link", name=link, exact=True).first.click()

    def unfold(self, summary: str) -> None:
        self.page.get_by_text(summary, exact=True).click()

    def has_kept(self, label: str, text: str) -> bool:
        return bool(self.page.get_by_label(label, exact=True).input_value().strip() == text)

    def text(self) -> str:
        return str(self.page.locator("body").inner_text())

    def picture(self, name: str) -> None:
        chromium.shoot(self.page, self.folder, name)

    def close(self) -> None:
        self.context.close()


class Terminal(W3m):
    """w3m; what is unfolded in a graphical browser is always open here, and nothing is drawn."""

    def unfold(self, summary: str) -> None:
        assert summary in self.text()

    def has_kept(self, label: str, text: str) -> bool:
        return f"[{text}" in self.text() and label in self.text()

    def picture(self, name: str) -> None:
        assert self.text().strip(), name
