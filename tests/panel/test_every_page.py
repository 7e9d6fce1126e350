"""Every page of the panel, found by walking the URLconf: who gets in, and what a page must be."""

from __future__ import annotations

import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from panel.access import Needs
from tests.panel.estate import Estate, build
from tests.panel.markup import faults
from tests.panel.walk import Page, pages

pytestmark = pytest.mark.django_db

MOST_QUERIES = 12
NO_LOOK = {405}
"""Answers to GET of an address that only takes POST."""
_WRITES = re.compile(r"\s*(INSERT|UPDATE|DELETE|TRUNCATE|ALTER|DROP|CREATE)\b", re.IGNORECASE)
_OF_HEAVY_WORK = re.compile(
    r"advisory_(un)?lock|idle_session_timeout|attempttally|^(RELEASE )?SAVEPOINT|^SET search_path"
)
"""Locks and counts, not questions (panel/heavy.py)."""
_OWN_SESSION = ("django_session", "tenants_websession", "tenants_attempttally")


@pytest.fixture
def estate(ada, ben) -> Estate:
    return build(ada)


def of_the_tenant(estate: Estate) -> list[tuple[Page, str]]:
    values = {"slug": estate.owner.tenant.slug, **estate.values}
    return [(page, page.path(values)) for page in pages("tenant")]


def shown(client: Client, path: str) -> str | None:
    """The page as text; None where it is something else: a redirect, a download, only for POST."""
    answer = client.get(path)
    assert answer.status_code < 500, path
    is_page = answer.status_code == 200 and answer["Content-Type"].startswith("text/html")
    return answer.content.decode() if is_page else None


def test_every_view_of_a_tenant_says_who_may_come(estate):
    for page, _ in of_the_tenant(estate):
        assert isinstance(getattr(page.view, "needs", None), Needs), page.full_name


def test_every_page_of_a_tenant_is_a_page(estate):
    client = estate.owner.client()
    seen = 0
    for page, path in of_the_tenant(estate):
        text = shown(client, path)
        if text is not None:
            assert faults(text) == [], (page.full_name, faults(text))
            assert "<script>alert" not in text, page.full_name
            seen += 1
    assert seen > 20


def test_every_page_of_a_tenant_is_kept_nowhere_and_runs_no_script(estate):
    client = estate.owner.client()
    for page, path in of_the_tenant(estate):
        answer = client.get(path)
        assert "no-store" in answer["Cache-Control"], page.full_name
        assert "script-src 'none'" in answer["Content-Security-Policy"], page.full_name
        assert answer["X-Frame-Options"] == "DENY"


def test_no_page_of_a_tenant_asks_the_database_often(estate):
    client = estate.owner.client()
    for page, path in of_the_tenant(estate):
        with CaptureQueriesContext(
            connection,
        ) as asked:
            text = shown(client, path)
        if text is not None:
            told = [one["sql"] for one in asked if not _OF_HEAVY_WORK.search(one["sql"])]
            assert len(told) <= MOST_QUERIES, (page.full_name, "\n".join(told))


def test_looking_at_a_page_changes_nothing(estate):
    client = estate.owner.client()
    for page, path in of_the_tenant(estate):
        for look in (client.get, client.head):
            with CaptureQueriesContext(connection) as asked:
                look(path)
            writes = [one["sql"] for one in asked if _WRITES.match(one["sql"])]
            assert [w for w in writes if not any(t in w for t in _OWN_SESSION)] == [], (
                page.full_name
            )


def test_mallory_sees_404_everywhere(estate, mallory):
    client = mallory.client()
    for page, path in of_the_tenant(estate):
        for ask in (client.get, client.head, client.post):
            answer = ask(path)
            assert answer.status_code == 404, page.full_name
            assert estate.owner.tenant.schema_name not in answer.content.decode()


def test_mallory_sees_404_for_adas_objects_under_her_own_tenant(estate, mallory):
    client = mallory.client()  # her tenant is empty: no id of Ada's is one of hers
    values = {"slug": mallory.tenant.slug, **estate.values}
    for page in pages("tenant"):
        if page.parameters == ("slug",):
            continue
        for ask in (client.get, client.post):
            answer = ask(page.path(values))
            assert answer.status_code in {404} | NO_LOOK, (page.full_name, answer.status_code)


def test_whoever_is_not_signed_in_is_sent_to_sign_in(estate):
    for page, path in of_the_tenant(estate):
        for ask in (Client().get, Client().post):
            answer = ask(path)
            assert answer.status_code == 303, page.full_name
            assert answer["Location"].startswith("/sign-in/?next="), page.full_name


def test_no_form_of_a_tenant_is_taken_without_its_token(estate):
    client = Client(enforce_csrf_checks=True)
    client.force_login(estate.owner.user)
    for page, path in of_the_tenant(estate):
        assert client.post(path).status_code == 403, page.full_name


def test_a_viewer_changes_nothing(estate, ben):
    client = ben.client()
    for page, path in of_the_tenant(estate):
        with CaptureQueriesContext(connection) as asked:
            answer = client.post(path, {"confirm": "yes"})
        assert answer.status_code in (303, 302, 403, 405, 422, 200, 404), page.full_name
        writes = [one["sql"] for one in asked if _WRITES.match(one["sql"])]
        changed = [w for w in writes if not any(t in w for t in _OWN_SESSION)]
        assert changed == [] or page.name in {"leave", "people-leave"}, (page.full_name, changed)


def test_a_key_that_somebody_made_up_shows_the_first_page(estate):
    client = estate.owner.client()
    for page, path in of_the_tenant(estate):
        for query in ("?after=xxxx", "?after=WzFd", "?before=%00", "?after=W251bGwsIDFd"):
            assert client.get(path + query).status_code < 500, page.full_name
