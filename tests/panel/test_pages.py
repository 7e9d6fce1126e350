"""Pages without anyone signed in: health, the start page, traces, errors. None can run a script."""

from __future__ import annotations

import dataclasses
import json
import logging
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.conf import settings

from delivery.health import Check
from mail.trace import format_trace_id
from tenants.services import create_tenant
from tests.delivery.log_words import a_trace_id, accepted, attempted, the_log_writer_runs

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore:No directory at"),  # whitenoise, before collectstatic
]

STYLES = Path(__file__).parents[2] / "static" / "mxax.css"
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "script-src 'none'; frame-ancestors 'none'; base-uri 'none'"
)


@pytest.fixture(autouse=True)
def checks(monkeypatch):
    """What the checks say."""
    said = [Check("database", True, "takes writes"), Check("edge", True, "answers")]
    monkeypatch.setattr("panel.views.check_all", lambda: tuple(said))
    return said


@pytest.fixture
def embedded(monkeypatch):
    """An install by `make run`, or one with its own database."""

    def choose(yes: bool) -> None:
        changed = dataclasses.replace(settings.ENV, embedded=yes)
        monkeypatch.setattr("panel.views.settings.ENV", changed)

    choose(True)
    return choose


@pytest.fixture
def demo(db):
    return create_tenant(slug="demo", owner_email="owner@demo.example", actor="test")


class Outline(HTMLParser):
    """What a reader without eyes hears: landmarks, headings, ids, links."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append(tag)
        assert not [name for name in given if name.startswith("on") or name == "style"]
        if "id" in given:
            assert given["id"] not in self.ids
            self.ids.add(given["id"])
        if tag == "a":
            self.links.append(given["href"])


def test_alive_asks_nobody(client, django_assert_num_queries):
    with django_assert_num_queries(0):
        response = client.get("/healthz")

    assert (response.status_code, response.content) == (200, b"ok\n")


def test_ready_tells_each_check(client):
    response = client.get("/readyz")

    assert response.status_code == 200
    assert json.loads(response.content)["status"] == "ready"


def test_not_ready_is_503_and_says_why_at_once(client, checks):
    checks.append(Check("workers", False, "no sign of life yet"))

    response = client.get("/readyz")

    answer = json.loads(response.content)
    assert response.status_code == 503
    assert answer["status"] == "not ready: workers: no sign of life yet"
    assert answer["checks"]["workers"] == {"ok": False, "detail": "no sign of life yet"}
    assert answer["checks"]["database"]["ok"] is True


@pytest.mark.parametrize(
    "where",
    [
        {"REMOTE_ADDR": "203.0.113.9"},
        {"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "127.0.0.1"},
        {"REMOTE_ADDR": ""},
    ],
)
def test_strangers_learn_whether_and_not_why(client, checks, where):
    assert json.loads(client.get("/readyz", **where).content) == {"status": "ready"}
    checks.append(Check("workers", False, "no sign of life yet"))

    response = client.get("/readyz", **where)

    assert response.status_code == 503
    assert json.loads(response.content) == {"status": "not ready"}


def test_the_start_page_shows_state_and_last_traces(client, embedded, demo, checks):
    trace_id = a_trace_id()
    accepted(demo, trace_id)
    attempted(demo, trace_id, "friend@far.example", "delivered")
    checks.append(Check("workers", False, "no sign of life yet"))

    page = client.get("/local/").content.decode()

    assert "The service is not ready" in page
    assert "no sign of life yet" in page
    assert f'href="/trace/{format_trace_id(trace_id)}/"' in page
    assert "delivered" in page


def test_the_trace_page_tells_the_story(client, embedded, demo):
    trace_id = a_trace_id()
    accepted(demo, trace_id)
    attempted(demo, trace_id, "friend@far.example", "failed", "550 5.1.1 <b>Unknown</b>")
    the_log_writer_runs()

    page = client.get(f"/trace/{format_trace_id(trace_id)}/").content.decode()

    assert "client.author.example" in page
    assert "550 5.1.1 &lt;b&gt;Unknown&lt;/b&gt;" in page


def test_what_strangers_say_is_text_on_the_page(client, embedded, demo):
    trace_id = a_trace_id()
    accepted(demo, trace_id, helo="<script>alert(1)</script>\u202e\x1b[1m")

    page = client.get(f"/trace/{format_trace_id(trace_id)}/").content.decode()

    assert "<script" not in page
    assert "\u202e" not in page
    assert "\x1b" not in page


def test_mallorys_messages_are_not_on_these_pages(client, embedded, demo, mallory):
    trace_id = a_trace_id()
    accepted(mallory.tenant, trace_id)

    assert format_trace_id(trace_id) not in client.get("/local/").content.decode()
    assert client.get(f"/trace/{format_trace_id(trace_id)}/").status_code == 404


def test_with_a_database_of_its_own_there_is_no_such_page(client, embedded, demo):
    trace_id = a_trace_id()
    accepted(demo, trace_id)
    embedded(False)

    assert client.get("/local/").status_code == 404
    assert client.get(f"/trace/{format_trace_id(trace_id)}/").status_code == 404


def test_no_response_can_run_a_script(client, embedded, demo):
    client.raise_request_exception = False
    addresses = ("/", "/local/", "/healthz", "/readyz", "/nothing", "/trace/x/")

    for address in addresses:
        assert client.get(address)["Content-Security-Policy"] == POLICY, address
    assert client.get("/", HTTP_HOST="evil.example")["Content-Security-Policy"] == POLICY


def test_errors_are_pages_of_our_own_without_tracebacks(client, embedded, monkeypatch):
    client.raise_request_exception = False
    missing = client.get("/nothing")
    foreign = client.get("/", HTTP_HOST="evil.example")

    def broken() -> None:
        raise RuntimeError("a secret of the inside")

    monkeypatch.setattr("panel.views.check_all", broken)
    trouble = client.get("/local/")

    statuses = (missing.status_code, foreign.status_code, trouble.status_code)
    assert statuses == (404, 400, 500)
    for page in (missing, foreign, trouble):
        text = page.content.decode()
        assert "<h1>" in text
        assert "mxax.css" in text
        assert "Traceback" not in text
        assert "secret" not in text


def test_only_reading_is_allowed(client, embedded):
    for address in ("/", "/local/", "/status/", "/healthz", "/readyz"):
        assert client.post(address).status_code == 405


def test_pages_have_one_heading_landmarks_and_a_skip_link(client, embedded, demo):
    trace_id = a_trace_id()
    accepted(demo, trace_id)
    pages = ("/", "/local/", f"/trace/{format_trace_id(trace_id)}/", "/nothing")

    for address in pages:
        outline = Outline(client.get(address).content.decode())
        assert outline.tags.count("h1") == 1
        assert {"header", "main", "footer", "title"} <= set(outline.tags)
        assert outline.links[0] == "#content"
        assert "content" in outline.ids
        assert "script" not in outline.tags


def test_the_style_sheet_is_small_and_keeps_to_the_rules():
    styles = STYLES.read_text()

    assert len(styles) < 20_000
    assert "!important" not in styles
    assert not re.search(r"(?m)^\s*#[a-z]", styles), "no ids"
    assert "http" not in styles
    dark = styles.split("prefers-color-scheme: dark", 1)[1].split("@layer", 1)[0]
    assert set(re.findall(r"--[a-z-]+(?=:)", dark)) <= set(re.findall(r"--[a-z0-9-]+(?=:)", styles))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_enough_in_both_schemes(scheme):
    """WCAG 2, 1.4.3: 4.5 to 1."""
    styles = STYLES.read_text()
    light, dark = styles.split("prefers-color-scheme: dark", 1)
    tokens = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", light))
    if scheme == "dark":
        tokens |= dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", dark))
    pairs = [
        (ink, ground) for ink in ("ink", "ink-soft", "accent") for ground in ("paper", "panel")
    ]
    pairs += [(tone, f"{tone}-wash") for tone in ("good", "warn", "bad")]

    for ink, ground in pairs:
        assert _contrast(tokens[ink], tokens[ground]) >= 4.5, (scheme, ink, ground)


def _contrast(one: str, other: str) -> float:
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_not_ready_is_no_error_of_ours_in_the_log(client, checks):
    checks.append(Check("workers", False, "no sign of life yet"))
    written: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = written.append
    logging.getLogger().addHandler(handler)
    try:
        client.get("/readyz")
        client.get("/nothing")
    finally:
        logging.getLogger().removeHandler(handler)

    assert [record.request.path for record in written] == ["/nothing"]
