"""Two people save the same form in the same moment: the second is told of the first."""

from __future__ import annotations

import threading
import time

import psycopg
import pytest
from django.db import connection, connections

from routing.models import Domain, Route
from routing.services import edit_route
from tenants.context import tenant_schema
from tenants.models import Tenant
from tenants.services.owners import rename_tenant
from tests.panel.walk import pages

EDITED = {
    *("route-edit", "domain-note", "member-role", "tenant-name", "trust-change"),
    *("logging-change", "logging-domain-change"),
}


def test_every_page_that_notices_changes_is_for_one_at_a_time():
    held = {
        page.name for page in pages("tenant") if getattr(page.view, "is_for_one_at_a_time", False)
    }

    assert held == EDITED


@pytest.mark.django_db(transaction=True)
def test_the_second_of_two_at_once_sees_what_the_first_saved(ada, monkeypatch):
    ada.has_domain("example.org")
    ada.has_route("hi@example.org", "friend@away.example")
    with tenant_schema(ada.tenant.pk):
        url = ada.url("route-edit", Route.objects.get().pk)
    slow_down(monkeypatch, "panel.routes.views.edit_route", edit_route)

    note = first_of_two(ada, url, "note", destinations="friend@away.example", mode="on")

    with tenant_schema(ada.tenant.pk):
        assert Route.objects.get().note == note


@pytest.mark.django_db(transaction=True)
def test_so_does_the_second_who_renames_the_tenant(ada, monkeypatch):
    slow_down(monkeypatch, "panel.people.settings.rename_tenant", rename_tenant)

    name = first_of_two(ada, ada.url("tenant-name"), "name")

    assert Tenant.objects.get(pk=ada.tenant.pk).name == name


@pytest.mark.django_db
def test_who_would_wait_long_is_asked_to_save_again(ada):
    ada.has_domain("example.org")
    url, browser = ada.url("domain-note", "example.org"), ada.client()
    version = browser.get(url).context["form"]["version"].value()

    with psycopg.connect(**connection.get_connection_params()) as somebody:
        somebody.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"mxax.editing.{url}"]
        )
        answer = browser.post(
            url,
            {"note": "for friends", "version": version},
            headers={"origin": "http://testserver", "referer": f"http://testserver{url}"},
            follow=True,
        )

    html = answer.content.decode()
    assert "Somebody is saving this page at this moment" in html
    assert 'value="for friends"' in html
    with tenant_schema(ada.tenant.pk):
        assert Domain.objects.get().note == ""
        with connection.cursor() as cursor:
            cursor.execute("SHOW lock_timeout")
            assert cursor.fetchone() == ("0",)


def slow_down(monkeypatch, name: str, service) -> None:
    def slowly(**values):
        time.sleep(0.3)
        return service(**values)

    monkeypatch.setattr(name, slowly)


def first_of_two(ada, url: str, field: str, **values: str) -> str:
    """Send a form twice at once, with A and B in the field; gives which was saved."""
    browsers = [ada.client(), ada.client()]
    values["version"] = browsers[0].get(url).context["form"]["version"].value()
    answers = []

    def save(browser, text: str) -> None:
        try:
            answers.append((text, browser.post(url, {**values, field: text})))
        finally:
            connections.close_all()

    threads = [
        threading.Thread(target=save, args=pair) for pair in zip(browsers, "AB", strict=True)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()

    said = {answer.status_code: (text, answer) for text, answer in answers}
    assert set(said) == {303, 422}
    assert "Somebody changed this while you were editing it" in said[422][1].content.decode()
    return said[303][0]
