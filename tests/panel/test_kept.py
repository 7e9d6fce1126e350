"""What was typed waits an hour in a session, and goes with the tenant it was typed in."""

from __future__ import annotations

import time

import pytest

from tenants.services import delete_tenant

pytestmark = pytest.mark.django_db


def has_typed(person, path=None):
    """A browser in which the person typed something, and was asked to prove who he is."""
    client = person.client()
    session = client.session
    where = path or person.url("tenant-name")
    session["kept_values"] = {"path": where, "values": "name=canary", "at": int(time.time())}
    session.save()
    return client


def test_after_an_hour_nobody_finds_it(ada):
    client = has_typed(ada)
    session = client.session
    session["kept_values"] = session["kept_values"] | {"at": int(time.time()) - 3601}
    session.save()

    client.get(ada.url("home"))

    assert "kept_values" not in client.session


def test_within_the_hour_it_comes_back_once(ada):
    client = has_typed(ada)
    client.get(ada.url("home"))

    assert "canary" in client.get(ada.url("tenant-name")).content.decode()
    assert "kept_values" not in client.session


def test_it_goes_with_the_tenant_from_every_members_browser(ada, ben, mallory):
    browsers = [has_typed(ada), has_typed(ben)]
    others = [has_typed(mallory), has_typed(ben, "/new-tenant/")]

    delete_tenant(tenant=ada.tenant, typed="ada", actor="op")

    assert ["kept_values" in one.session for one in browsers] == [False, False]
    assert ["kept_values" in one.session for one in others] == [True, True]
    assert all(one.session["_auth_user_id"] for one in browsers)


def test_it_goes_from_the_browser_that_deletes_the_tenant(ada):
    client = has_typed(ada)

    answer = client.post(ada.url("tenant-delete"), {"typed": "ada"})

    assert answer.status_code == 303
    assert "kept_values" not in client.session
