"""What is wrong with a page, as far as its text alone tells."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser

MOST_OCTETS = 60_000
_CONTROLS = {"input", "select", "textarea"}


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.faults: list[str] = []
        self.ids: Counter[str] = Counter()
        self.labels: set[str] = set()
        self.described: set[str] = set()
        self.links: set[str] = set()
        self.controls: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.h1 = 0
        self.lang = ""
        self.captions = self.tables = 0
        self.main = 0

    def handle_starttag(self, tag: str, pairs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in pairs}
        self._note(tag, values)
        for name, value in values.items():
            if name.startswith("on") or name == "style":
                self.faults.append(f"<{tag} {name}=…> would need a script or an inline style")
            if (
                name in ("href", "src", "action")
                and not value.startswith(("/", "#", "?", "mailto:", "https://", "data:image/"))
                and value
            ):
                self.faults.append(f"<{tag} {name}={value!r}>")
        if tag in ("script", "style", "iframe", "object", "embed"):
            self.faults.append(f"<{tag}>")
        if tag == "img" and "alt" not in values:
            self.faults.append("an image without alt")
        if tag == "th" and "scope" not in values:
            self.faults.append("a table head without scope")

    def _note(self, tag: str, values: dict[str, str]) -> None:
        if "id" in values:
            self.ids[values["id"]] += 1
        if "aria-describedby" in values:
            self.described.update(values["aria-describedby"].split())
        if "aria-labelledby" in values:
            self.described.update(values["aria-labelledby"].split())
        if values.get("href", "").startswith("#"):
            self.links.add(values["href"][1:])
        self.h1 += tag == "h1"
        self.main += tag == "main"
        self.tables += tag == "table"
        self.captions += tag == "caption"
        if tag == "html":
            self.lang = values.get("lang", "")
        if tag == "label":
            self.labels.add(values.get("for", ""))
        if tag in _CONTROLS and values.get("type") not in ("hidden", "submit"):
            self.controls.append((tag, values))


def faults(text: str, *, most_octets: int = MOST_OCTETS) -> list[str]:
    """Everything found wrong, in words; an empty list for a page that is fine."""
    reader = _Reader()
    reader.feed(text)
    found = reader.faults
    found += [f"the id {name} stands {n} times" for name, n in reader.ids.items() if n > 1]
    for tag, values in reader.controls:
        labelled = values.get("id") in reader.labels or "aria-label" in values
        if not labelled and "aria-labelledby" not in values:
            found.append(f"<{tag} name={values.get('name')!r}> has no label")
    found += [f"nothing has the id {name}" for name in reader.described - set(reader.ids)]
    found += [
        f"a link leads to #{name}, which is not there" for name in reader.links - set(reader.ids)
    ]
    if reader.h1 != 1:
        found.append(f"{reader.h1} h1")
    if reader.main != 1:
        found.append(f"{reader.main} main")
    if reader.captions < reader.tables:
        found.append(f"{reader.tables} tables, {reader.captions} captions")
    if not reader.lang:
        found.append("no language")
    if len(text.encode()) > most_octets:
        found.append(f"{len(text.encode())} octets")
    return found
