"""Two people save the same form in the same moment: the second is told of the first."""

from __future__ import annotations

import threading
import time

import pytest
from django.db import connections

from routing.models import Route
from routing.services import edit_route
from tenants.context import tenant_schema
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
    browsers = [ada.client(), ada.client()]
    version = browsers[0].get(url).context["form"]["version"].value()

    def slowly(**values):
        time.sleep(0.3)
        return edit_route(**values)

    monkeypatch.setattr("panel.routes.views.edit_route", slowly)
    answers = []

    def save(browser, note: str) -> None:
        values = {"destinations": "friend@away.example", "mode": "on", "version": version}
        try:
            answers.append((note, browser.post(url, {**values, "note": note})))
        finally:
            connections.close_all()

    threads = [
        threading.Thread(target=save, args=pair) for pair in zip(browsers, "AB", strict=True)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()

    said = {answer.status_code: (note, answer) for note, answer in answers}
    assert set(said) == {303, 422}
    note, refused = said[303][0], said[422][1].content.decode()
    assert "Somebody changed this while you were editing it" in refused
    with tenant_schema(ada.tenant.pk):
        assert Route.objects.get().note == note
