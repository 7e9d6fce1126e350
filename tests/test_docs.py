"""What the documents point at is there: files, functions in them, and other pages."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FOLDERS = tuple(
    path.name for path in ROOT.iterdir() if path.is_dir() and path.name not in ("var", ".git")
)

_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_POINTER = re.compile(
    r"`((?:" + "|".join(map(re.escape, FOLDERS)) + r")/[\w./-]*)(?::([A-Za-z_][\w.]*))?`"
)
_EVENT = re.compile(r"`([a-z_]+\.[a-z_]+)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def _lines(page: Path) -> str:
    return _FENCED.sub("", page.read_text())


@cache
def _names_in(path: Path) -> frozenset[str]:
    """Functions, classes, methods and assigned names of a module: `Committer.keep`, `RULES`."""
    found: set[str] = set()
    _gather(ast.parse(path.read_text()), "", found)
    return frozenset(found)


def _gather(node: ast.AST, prefix: str, found: set[str]) -> None:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(prefix + child.name)
            if isinstance(child, ast.ClassDef):
                _gather(child, f"{prefix}{child.name}.", found)
        elif isinstance(child, ast.Assign | ast.AnnAssign):
            targets = child.targets if isinstance(child, ast.Assign) else [child.target]
            for target in targets:
                found |= {prefix + one.id for one in ast.walk(target) if isinstance(one, ast.Name)}


def wrong_pointers(text: str) -> list[str]:
    """Pointers to files that are not there, or to names that their file does not have."""
    wrong = []
    for path, name in _POINTER.findall(text):
        file = ROOT / path
        if not file.exists() or (name and name not in _names_in(file)):
            wrong.append(f"{path}:{name}" if name else path)
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_and_function_that_a_page_names_is_there(page):
    assert wrong_pointers(_lines(page)) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_resolves(page):
    links = [link.partition("#")[0] for link in _LINK.findall(_lines(page)) if "://" not in link]

    assert [link for link in links if link and not (page.parent / link).exists()] == []


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text()
    pages = [page.relative_to(ROOT / "docs") for page in (ROOT / "docs").rglob("*.md")]

    listed = {str(page) for page in pages if f"]({page})" in index}

    assert {str(page) for page in pages} - listed == {"README.md"}


def test_a_name_that_is_gone_is_found():
    gone = "see `mail/reply.py:Rejoinder`, `mail/reply.py:Reply.enhanced` and `mail/gone.py`"

    assert wrong_pointers(gone) == ["mail/reply.py:Rejoinder", "mail/gone.py"]


def _code() -> str:
    folders = ("smtp_edge", "delivery", "mail", "routing", "tenants", "panel", "ops", "mxax")
    files = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return "\n".join(path.read_text() for path in files)


def test_every_event_that_operators_are_told_of_is_logged():
    page = (ROOT / "docs" / "operations.md").read_text()
    table = page[page.index("| event | level |") :].split("\n\n")[0]
    told = {event for line in table.splitlines() for event in _EVENT.findall(line.split("|")[1])}

    assert len(told) > 50
    assert told <= set(re.findall(r'"([a-z_]+\.[a-z_]+)"', _code()))


def test_every_metric_is_explained_to_operators():
    made = set(re.findall(r'(?:Counter|Gauge|Histogram)\(\s*"(mxax_[a-z_]+)"', _code()))
    pages = "\n".join(path.read_text() for path in PAGES)

    assert len(made) > 25
    assert {name for name in made if name not in pages} == set()
