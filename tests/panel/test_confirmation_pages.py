"""Pages for people who come by a link in a mail: reading changes nothing, a button does."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from routing.models import Destination
from routing.selectors import domain_snapshot
from tenants.context import tenant_schema
from tests.panel.test_pages import POLICY, Outline
from tests.routing.test_confirmations import FRIEND, ask, nobody_rings  # noqa: F401

pytestmark = [pytest.mark.django_db, pytest.mark.filterwarnings("ignore:No directory at")]


@pytest.fixture
def tokens(ada):
    ada.has_domain("example.org")
    return ask(ada)


@pytest.fixture
def strict():
    """A browser as it is: forms need their token."""
    return Client(enforce_csrf_checks=True)


def flows() -> bool:
    return domain_snapshot("example.org").routes.match("hi").route.destinations == (FRIEND,)


def press(client: Client, path: str):
    """Open a page and press its button."""
    form = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', client.get(path).content.decode())
    assert form is not None
    return client.post(path, {"csrfmiddlewaretoken": form[1]})


def text_of(response) -> str:
    return response.content.decode()


def test_opening_the_link_changes_nothing(client, tokens):
    for kind in ("confirm", "stop", "not-me"):
        for ask_for in (client.get, client.head):
            for _ in range(3):
                assert ask_for(f"/{kind}/{tokens[kind]}/").status_code == 200

    assert not flows()
    assert 'method="post"' in text_of(client.get(f"/confirm/{tokens['confirm']}/"))


def test_the_button_confirms(strict, tokens):
    answer = press(strict, f"/confirm/{tokens['confirm']}/")

    assert (answer.status_code, answer["Location"]) == (303, "/answer/confirmed/")
    assert "mail flows" in text_of(strict.get(answer["Location"]))
    assert flows()


def test_a_form_from_elsewhere_confirms_nothing(strict, tokens):
    for kind in ("confirm", "stop", "not-me"):
        assert strict.post(f"/{kind}/{tokens[kind]}/").status_code == 403

    assert not flows()


def test_the_page_says_for_which_domain(client, tokens):
    page = text_of(client.get(f"/confirm/{tokens['confirm']}/"))

    assert "<code>example.org</code>" in page
    assert f"<code>{FRIEND}</code>" in page


def test_a_used_and_an_expired_link_say_so_to_their_holder(strict, ada, tokens):
    path = f"/confirm/{tokens['confirm']}/"
    press(strict, path)
    assert "said yes already" in text_of(strict.get(path))

    with tenant_schema(ada.tenant.pk):
        row = Destination.objects.get()
        row.ask_used_at, row.ask_expires_at = None, row.asked_at
        row.save()
    assert "has expired" in text_of(strict.get(path))


def test_every_other_link_looks_the_same(client, ada, tokens):
    real = tokens["confirm"]
    tenant_id, destination_id, secret = real.split("-")
    guesses = (
        f"{tenant_id}-{destination_id}-{'a' * 32}",
        f"{tenant_id}-999999-{secret}",
        f"999999-{destination_id}-{secret}",
        tokens["stop"],
        "nonsense",
    )
    pages = {text_of(client.get(f"/confirm/{guess}/")) for guess in guesses}
    pages |= {text_of(client.get(f"/{kind}/{real}/")) for kind in ("stop", "not-me")}

    assert len(pages) == 1
    assert client.get(f"/confirm/{guesses[0]}/").status_code == 404
    assert client.post(f"/stop/{real}/").status_code == 404


def test_the_owner_stops_without_signing_in(strict, tokens):
    press(strict, f"/confirm/{tokens['confirm']}/")

    answer = press(strict, f"/stop/{tokens['stop']}/")

    assert answer["Location"] == "/answer/stopped/"
    assert not flows()
    assert "has stopped" in text_of(strict.get(f"/stop/{tokens['stop']}/"))


def test_not_me_blocks_and_voids_the_question(strict, tokens):
    answer = press(strict, f"/not-me/{tokens['not-me']}/")

    assert answer["Location"] == "/answer/blocked/"
    assert strict.get(f"/confirm/{tokens['confirm']}/").status_code == 404


def test_what_a_tenant_named_is_escaped(client, ada, mallory):
    mallory.has_domain("xn--80ak6aa92e.example")
    token = ask(mallory, '"<b>"@away.example', "*@xn--80ak6aa92e.example")["confirm"]

    page = text_of(client.get(f"/confirm/{token}/"))

    assert "<b>" not in page
    assert "<code>xn--80ak6aa92e.example</code>" in page


@pytest.mark.parametrize("path", ["confirm", "stop", "not-me", "confirmed", "stopped", "blocked"])
def test_pages_are_private_readable_and_without_script(client, tokens, path):
    where = f"/{path}/{tokens[path]}/" if path in tokens else f"/answer/{path}/"

    response = client.get(where)
    outline = Outline(text_of(response))

    assert response["Content-Security-Policy"] == POLICY
    assert response["Referrer-Policy"] == "same-origin"
    assert "no-store" in response["Cache-Control"]
    assert outline.tags.count("h1") == 1
    assert "script" not in outline.tags
    assert client.delete(where).status_code == 405
