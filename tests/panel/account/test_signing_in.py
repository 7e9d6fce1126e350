"""Signing in by password: who gets in, where to, and what all others are told."""

from __future__ import annotations

import statistics
import time

import pytest
from django.test import Client

from tenants.models import AttemptTally, Membership, User, WebSession
from tests.panel.account.conftest import PASSWORD, Browser, says
from tests.timing import slowness

pytestmark = pytest.mark.django_db


def test_the_password_lets_in(browser, ada):
    assert "<h1>Sign in</h1>" in browser.gets("/sign-in/").content.decode()

    response = browser.signs_in("Ada@ada.example ")

    assert (response.status_code, response["Location"]) == (303, "/t/ada/")
    assert browser.is_in()
    session = WebSession.objects.get()
    assert (session.user.email, session.client_ip) == (ada.email, "192.0.2.7")
    assert session.session_key == browser.key


def test_with_several_tenants_one_chooses(browser, ada, mallory):
    Membership.objects.create(tenant=mallory.tenant, user=ada.user, role=Membership.Role.VIEWER)

    assert browser.signs_in(ada.email)["Location"] == "/t/"


def test_one_goes_on_where_one_wanted_to(browser, ada):
    page = browser.gets("/sign-in/?next=/t/ada/routes/%3Fq%3Dsales")
    assert says(page, 'name="next" value="/t/ada/routes/?q=sales"')

    response = browser.signs_in(ada.email, next="/t/ada/routes/?q=sales")

    assert response["Location"] == "/t/ada/routes/?q=sales"


@pytest.mark.parametrize(
    "away",
    [
        "https://evil.example/",
        "//evil.example/",
        "///evil.example/",
        "/\\evil.example/",
        "\\\\evil.example/",
        "/\t/evil.example/",
        "https:evil.example",
        "javascript:alert(1)",
        "http:///evil.example",
        "/%0d%0aLocation:%20https://evil.example/\r\nX: y",
        " //evil.example/",
        "evil.example",
        "/\u2044evil.example/",
        "https://testserver@evil.example/",
    ],
)
@pytest.mark.parametrize("by", ["form", "address"])
def test_nowhere_else(browser, ada, away, by):
    if by == "form":
        response = browser.signs_in(ada.email, next=away)
    else:
        browser.signs_in(ada.email)
        response = browser.client.get("/sign-in/", {"next": away})

    assert response["Location"] == "/t/ada/"


def test_a_next_of_signing_out_again_is_left_out(browser, ada):
    assert browser.signs_in(ada.email, next="/sign-in/?next=/sign-in/")["Location"] == "/t/ada/"


@pytest.mark.parametrize(
    ("address", "password"),
    [
        ("ada@ada.example", "wrong horse battery"),
        ("nobody@ada.example", PASSWORD),
        ("ada@ada.example", PASSWORD + " "),
        ("ada@ada.example", PASSWORD.upper()),
    ],
)
def test_all_others_are_told_the_same(browser, ada, address, password):
    response = browser.signs_in(address, password)

    page = response.content.decode()
    assert response.status_code == 422
    assert "<title>Error:" in page
    assert "E-mail address and password do not fit together." in page
    assert password not in page
    assert address in page
    assert not browser.is_in()


def test_an_account_that_was_switched_off_is_told_the_same(browser, ada):
    User.objects.update(is_active=False)

    assert says(browser.signs_in(ada.email), "do not fit together")


def test_somebody_without_a_password_is_told_the_same(browser, ada):
    user = ada.user
    user.set_unusable_password()
    user.save()

    assert says(browser.signs_in(ada.email, ""), "Fill this in.")
    assert says(browser.signs_in(ada.email, "!"), "do not fit together")


@pytest.mark.parametrize("address", ["", "not an address", "ada@ada.example\0"])
def test_what_is_no_address_is_told_at_the_field(browser, ada, address):
    response = browser.signs_in(address)

    assert response.status_code == 422
    assert 'id="id_email_error"' in response.content.decode()


def test_a_very_long_password_is_not_hashed(browser, ada):
    assert browser.signs_in(ada.email, "x" * 100_000).status_code == 422


@pytest.mark.slow
def test_an_unknown_address_takes_as_long_as_a_wrong_password(ada):
    """H1: less than 20 ms apart at the median."""
    seconds: dict[str, list[float]] = {ada.email: [], "nobody@ada.example": []}
    for _ in range(15):
        for address in seconds:
            AttemptTally.objects.all().delete()
            browser = Browser()
            began = time.process_time()
            browser.signs_in(address, "wrong horse battery")
            seconds[address].append(time.process_time() - began)

    known, unknown = (statistics.median(times) for times in seconds.values())

    assert abs(known - unknown) < 0.02 * slowness()


def test_hundreds_of_wrong_passwords_from_one_client_are_slowed_down(browser, ada):
    """H1: throttled after five to ten, with a time to come back."""
    answers = [browser.signs_in(ada.email, f"wrong {one}") for one in range(12)]

    statuses = [answer.status_code for answer in answers]
    assert statuses == [422] * 10 + [429] * 2
    assert 1 <= int(answers[-1]["Retry-After"]) <= 1800
    assert says(answers[-1], "Too many attempts")
    # Not even the right one is looked at.
    assert browser.signs_in(ada.email).status_code == 429
    assert not browser.is_in()


def test_a_slowed_down_account_looks_the_same_whether_it_is_there_or_not(ada):
    for address in (ada.email, "nobody@ada.example"):
        answers = [Browser(ip=f"10.0.{one}.1").signs_in(address, "wrong one") for one in range(11)]
        assert [answer.status_code for answer in answers] == [422] * 10 + [429]


def test_strangers_do_not_keep_the_owner_out(ada):
    """H1: slowed down, never locked out: not at home, and not with the link of a mail."""
    home, hotel = Browser(ip="192.0.2.7"), Browser(ip="198.51.100.9")
    home.signs_in(ada.email)
    for one in range(15):
        Browser(ip=f"10.0.{one}.1").signs_in(ada.email, "wrong horse battery")

    assert hotel.signs_in(ada.email).status_code == 429
    assert Browser(ip="192.0.2.7").signs_in(ada.email).status_code == 303


def test_headers_do_not_make_somebody_else_of_a_client(ada):
    for one in range(12):
        answer = Client().post(
            "/sign-in/",
            {"email": ada.email, "password": f"wrong {one}"},
            REMOTE_ADDR="192.0.2.7",
            headers={"X-Forwarded-For": f"10.0.{one}.1", "X-Real-IP": f"10.0.{one}.1"},
        )

    assert answer.status_code == 429


def test_signing_out_needs_the_button(browser, ada):
    browser.signs_in(ada.email)
    key = browser.key

    assert browser.gets("/sign-out/").status_code == 405
    assert browser.is_in()
    response = browser.sends("/sign-out/")

    assert (response.status_code, response["Location"]) == (303, "/sign-in/")
    assert not browser.is_in()
    assert not browser.with_key(key).is_in()
    assert not WebSession.objects.exists()


def test_no_button_works_without_its_token(ada):
    client = Client(enforce_csrf_checks=True)
    client.force_login(ada.user)

    for path in (
        "/sign-in/",
        "/sign-out/",
        "/password/",
        "/account/name/",
        "/account/password/",
        "/account/second-factor/begin/",
        "/account/sessions/end/",
        "/account/delete/",
        "/account/confirm/",
    ):
        assert client.post(path, {"email": "x"}).status_code == 403, path
    assert WebSession.objects.count() == 1


def test_another_host_is_not_answered(ada, mailbox):
    """H9: neither a page nor a mail with somebody else's name in its link."""
    client = Client(headers={"host": "evil.example"})

    assert client.get("/sign-in/").status_code == 400
    assert client.post("/password/", {"email": ada.email}).status_code == 400
    forwarded = Client(headers={"X-Forwarded-Host": "evil.example"})
    forwarded.post("/password/", {"email": ada.email})

    assert "evil.example" not in mailbox.mails[-1][2]
    assert mailbox.link(ada.email).startswith("/password/")


def test_signing_in_when_in_already_goes_home(browser, ada):
    browser.signs_in(ada.email)

    assert browser.gets("/sign-in/")["Location"] == "/t/ada/"
