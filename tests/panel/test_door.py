"""The door of a tenant's pages: who comes in, and what is open behind it."""

import time
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.test import Client

from panel.recency import SESSION_KEY
from tenants.models import Membership

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.panel.pages_to_guard")]

HERE: dict[str, Any] = {
    "HTTP_ORIGIN": "http://testserver",
    "HTTP_REFERER": "http://testserver/t/ada/edit/",
}


def test_a_member_sees_the_page_in_the_schema_of_the_tenant(ada):
    answer = ada.client().get("/t/ada/")

    assert answer.content.decode() == f"ada owner {ada.tenant.schema_name}"
    assert connection.schema_name == "public"
    assert "no-store" in answer["Cache-Control"]


def test_mallory_sees_404_and_so_does_everybody_for_a_tenant_that_is_not_there(ada, mallory):
    for address in ("/t/ada/", "/t/ada/edit/", "/t/nobody/", "/t/ada/unguarded/"):
        assert mallory.client().get(address).status_code == 404


def test_somebody_not_signed_in_is_sent_to_sign_in_and_back(ada):
    answer = Client().get("/t/ada/edit/?a=b")

    assert answer.status_code == 303
    assert answer["Location"] == "/sign-in/?next=%2Ft%2Fada%2Fedit%2F%3Fa%3Db"


def test_a_viewer_may_look_and_not_change(ada, ben):
    assert ben.client().get("/t/ada/").status_code == 200
    assert ben.client().post("/t/ada/edit/", {"name": "x"}).status_code == 403


def test_an_inactive_account_and_a_removed_member_are_out_at_once(ada, ben):
    client = ben.client()
    assert client.get("/t/ada/").status_code == 200

    Membership.objects.filter(user=ben.user).delete()

    assert client.get("/t/ada/").status_code == 404


def test_a_page_that_says_no_needs_is_refused(ada):
    with pytest.raises(ImproperlyConfigured):
        ada.client().get("/t/ada/unguarded/")


def test_a_careful_page_asks_again_who_is_there(ada):
    assert ada.client().get("/t/ada/careful/").status_code == 200

    stale = ada.client()
    session = stale.session
    session[SESSION_KEY] = int(time.time()) - 3600
    session.save()
    answer = stale.get("/t/ada/careful/")

    assert answer["Location"] == "/account/confirm/?next=%2Ft%2Fada%2Fcareful%2F"


def test_a_tenant_that_wants_a_second_factor_shows_nothing_without_it(ada):
    ada.tenant.requires_second_factor = True
    ada.tenant.save()

    answer = ada.client().get("/t/ada/")

    assert answer["Location"].startswith("/account/second-factor/?next=")


def test_a_streamed_response_is_made_in_the_schema_of_the_tenant(ada):
    pieces = list(ada.client().get("/t/ada/streamed/").streaming_content)

    assert pieces == [f"{ada.tenant.schema_name} ".encode()] * 3
    assert connection.schema_name == "public"


def test_what_was_typed_survives_the_loss_of_the_session(ada):
    client = Client()
    client.post("/t/ada/edit/", {"name": "much too long a name"}, **HERE)
    client.force_login(ada.user)

    page = client.get("/t/ada/edit/").content.decode()

    assert "much too long a name" in page
    assert "At most 10 characters" in page
    assert "much too long" not in client.get("/t/ada/edit/").content.decode()


def test_what_another_site_typed_is_not_kept(ada):
    client = Client()
    client.post("/t/ada/edit/", {"name": "planted"}, HTTP_ORIGIN="https://evil.example")
    client.force_login(ada.user)

    assert "planted" not in client.get("/t/ada/edit/").content.decode()


def test_what_was_typed_survives_an_old_token(ada):
    client = Client(enforce_csrf_checks=True)
    client.force_login(ada.user)

    answer = client.post("/t/ada/edit/", {"name": "typed before"}, **HERE)

    assert answer.status_code == 403
    assert 'href="/t/ada/edit/"' in answer.content.decode()
    assert "typed before" in client.get("/t/ada/edit/").content.decode()


def test_a_wrong_value_is_answered_at_its_field_and_kept(ada):
    answer = ada.client().post("/t/ada/edit/", {"name": "much too long a name"})

    page = answer.content.decode()
    assert answer.status_code == 422
    assert "<title>Error: " in page
    assert 'href="#id_name"' in page
    assert 'aria-invalid="true"' in page
    assert 'aria-describedby="id_name_helptext id_name_error"' in page
    assert 'value="much too long a name"' in page


def test_a_change_is_answered_by_a_redirect_that_names_it(ada):
    client = ada.client()

    answer = client.post("/t/ada/edit/", {"name": "short"})

    assert (answer.status_code, answer["Location"]) == (303, "/t/ada/")
