"""The second factor: set up, asked for, and no way around it (H2)."""

from __future__ import annotations

import pytest
from django_otp.plugins.otp_totp.models import TOTPDevice

from tenants.models import PlatformAuditEntry, RecoveryCode, Tenant, WebSession
from tests.panel.account.conftest import (
    NEW_PASSWORD,
    PASSWORD,
    Authenticator,
    Browser,
    not_lately_proved,
    says,
)

pytestmark = pytest.mark.django_db

INSIDE = (
    "/account/",
    "/account/sessions/",
    "/account/second-factor/",
    "/account/second-factor/set-up/",
    "/account/recovery-codes/",
    "/account/recovery-codes/shown/",
    "/account/password/",
    "/account/confirm/",
    "/account/delete/",
    "/t/ada/",
    "/admin/",
)


@pytest.fixture
def half_in(browser, ada, authenticator):
    """A browser with the right password and no code yet."""
    response = browser.signs_in(ada.email, next="/t/ada/routes/")
    assert (response.status_code, response["Location"]) == (303, "/sign-in/code/")
    return browser


def test_password_and_code_let_in(half_in, authenticator):
    assert half_in.gets("/sign-in/code/").status_code == 200

    response = half_in.sends("/sign-in/code/", code=authenticator.code())

    assert (response.status_code, response["Location"]) == (303, "/t/ada/routes/")
    assert half_in.is_in()


def test_with_the_password_alone_nothing_can_be_reached(half_in):
    for path in INSIDE:
        response = half_in.gets(path)
        assert response.status_code in (302, 303), path
        assert "sign-in" in response["Location"] or "login" in response["Location"], path
    assert not WebSession.objects.exists()


def test_the_key_changes_at_both_steps(browser, ada, authenticator):
    """H3: whoever knew the key before a step has nothing after it."""
    session = browser.client.session
    session["typed"] = "before"
    session.save()
    browser.client.cookies["mxax-session"] = session.session_key
    keys = [session.session_key]
    browser.signs_in(ada.email)
    keys.append(browser.key)
    browser.sends("/sign-in/code/", code=authenticator.code())
    keys.append(browser.key)

    assert len(set(keys)) == 3
    for old in keys[:2]:
        assert not browser.with_key(old).is_in()
        assert browser.with_key(old).gets("/sign-in/code/").status_code == 303
    assert browser.with_key(keys[2]).is_in()


def test_a_code_counts_once(half_in, ada, authenticator):
    code = authenticator.code()
    half_in.sends("/sign-in/code/", code=code)
    again = Browser()
    again.signs_in(ada.email)

    response = again.sends("/sign-in/code/", code=code)

    assert response.status_code == 422
    assert not again.is_in()


def test_the_code_before_the_last_one_does_not_count(half_in, ada, authenticator):
    early = authenticator.code(steps=-1)
    half_in.sends("/sign-in/code/", code=authenticator.code())
    again = Browser()
    again.signs_in(ada.email)

    assert again.sends("/sign-in/code/", code=early).status_code == 422


@pytest.mark.parametrize("steps", [-3, -2, 2, 3])
def test_codes_of_other_times_do_not_count(half_in, authenticator, steps):
    assert half_in.sends("/sign-in/code/", code=authenticator.code(steps=steps)).status_code == 422
    assert not half_in.is_in()


@pytest.mark.parametrize("steps", [-1, 1])
def test_a_clock_that_is_half_a_minute_wrong_is_no_reason(half_in, authenticator, steps):
    assert half_in.sends("/sign-in/code/", code=authenticator.code(steps=steps)).status_code == 303


def test_guessing_ends_after_a_few(half_in, authenticator):
    statuses = [half_in.sends("/sign-in/code/", code=f"{one:06d}").status_code for one in range(12)]

    assert statuses == [422] * 10 + [429] * 2
    assert half_in.sends("/sign-in/code/", code=authenticator.code()).status_code == 429
    assert not half_in.is_in()


def test_after_wrong_codes_no_code_counts_for_a_while(half_in, authenticator):
    """Wherever they were typed: django-otp counts for the account."""
    half_in.sends("/sign-in/code/", code="000000")
    assert TOTPDevice.objects.get().throttling_failure_count == 1
    TOTPDevice.objects.update(throttling_failure_count=6)

    response = half_in.sends("/sign-in/code/", code=authenticator.code())

    assert response.status_code == 422
    assert not half_in.is_in()


def test_guessing_from_many_places_ends_too(ada, authenticator):
    statuses = []
    for one in range(12):
        stranger = Browser(ip=f"10.0.{one}.1")
        session = stranger.client.session
        session["sign_in"] = {
            "user": ada.user.pk,
            "state": ada.user.get_session_auth_hash(),
            "until": 2**31,
            "next": "",
        }
        session.save()
        stranger.client.cookies["mxax-session"] = session.session_key
        statuses.append(stranger.sends("/sign-in/code/", code=f"{one:06d}").status_code)

    assert statuses == [422] * 10 + [429] * 2


@pytest.mark.parametrize(
    "code", ["", "      ", "abcdef", "١٢٣٤٥٦", "-1", "1e5", "0" * 40, "000000\0"]
)
def test_what_is_no_code_is_told_at_the_field(half_in, code):
    response = half_in.sends("/sign-in/code/", code=code)

    assert response.status_code == 422
    assert 'id="id_code_error"' in response.content.decode()


def test_the_code_page_without_the_password_is_the_sign_in_page(browser, authenticator):
    assert browser.gets("/sign-in/code/")["Location"] == "/sign-in/"
    assert browser.sends("/sign-in/code/", code=authenticator.code())["Location"] == "/sign-in/"
    assert not browser.is_in()


def test_the_password_holds_for_ten_minutes(half_in, authenticator):
    session = half_in.client.session
    session["sign_in"] = session["sign_in"] | {"until": 1}
    session.save()

    assert half_in.sends("/sign-in/code/", code=authenticator.code())["Location"] == "/sign-in/"
    assert not half_in.is_in()


def test_the_password_that_was_changed_meanwhile_is_none(half_in, ada, authenticator):
    user = ada.user
    user.set_password(NEW_PASSWORD)
    user.save()

    assert half_in.sends("/sign-in/code/", code=authenticator.code())["Location"] == "/sign-in/"


def test_a_new_password_by_mail_is_no_way_around(browser, ada, authenticator, mailbox):
    browser.sends("/password/", email=ada.email)
    browser.sends(mailbox.link(ada.email), password=NEW_PASSWORD)

    assert not browser.is_in()
    assert browser.signs_in(ada.email, NEW_PASSWORD)["Location"] == "/sign-in/code/"
    assert not browser.is_in()


def test_somebody_elses_code_does_not_count(half_in, mallory, monkeypatch):
    from tenants.services.factors import enrol

    others = Authenticator(enrol(user=mallory.user, actor="test"), monkeypatch)

    assert half_in.sends("/sign-in/code/", code=others.code()).status_code == 422


def test_a_recovery_code_stands_in_once(half_in, ada, authenticator, mailbox):
    code = authenticator.codes[0]
    response = half_in.sends("/sign-in/code/", code=f" {code.upper()} ")
    assert response.status_code == 303
    assert half_in.is_in()
    assert mailbox.subjects(ada.email)[-1] == "A recovery code was used"

    again = Browser()
    again.signs_in(ada.email)

    assert again.sends("/sign-in/code/", code=code).status_code == 422
    assert not again.is_in()


def test_the_last_recovery_codes_are_told_of(ada, authenticator):
    for number, code in enumerate(authenticator.codes[:7]):
        browser = Browser(ip=f"10.0.{number}.1")
        browser.signs_in(ada.email, next="/account/")
        browser.sends("/sign-in/code/", code=code)

    page = browser.gets("/account/")
    assert says(page, "You have 3 recovery codes left.")
    assert says(page, "make new ones")


def test_recovery_codes_are_kept_as_digests_only(authenticator, ada):
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(digest::text, ' ') FROM tenants_recoverycode")
        stored = cursor.fetchone()[0]

    assert len(set(authenticator.codes)) == RecoveryCode.objects.count() == 10
    for code in authenticator.codes:
        assert len(code.replace("-", "")) == 16
        assert code.replace("-", "").encode().hex() not in stored


def test_setting_it_up_shows_a_picture_and_asks_for_the_first_code(
    browser, ada, mailbox, monkeypatch
):
    browser.signs_in(ada.email)
    elsewhere = Browser()
    elsewhere.signs_in(ada.email)
    before = browser.key
    assert browser.sends("/account/second-factor/begin/")["Location"].endswith("/set-up/")
    page = browser.gets("/account/second-factor/set-up/").content.decode()
    shows = Authenticator(TOTPDevice.objects.get(), monkeypatch)
    assert "<svg role=" in page
    assert not TOTPDevice.objects.get().confirmed

    wrong = browser.sends("/account/second-factor/set-up/", code="000000")
    assert wrong.status_code == 422
    shows.later(60)
    response = browser.sends("/account/second-factor/set-up/", code=shows.code())

    assert response["Location"] == "/account/recovery-codes/shown/"
    page = browser.gets("/account/recovery-codes/shown/").content.decode()
    assert sum(line.count("-") == 3 for line in page.split("<pre")[1].split("\n")) == 10
    assert browser.gets("/account/recovery-codes/shown/").status_code == 303  # shown once
    assert browser.key != before
    assert not browser.with_key(before).is_in()
    assert not elsewhere.is_in()
    assert mailbox.subjects(ada.email) == ["Your second factor was set up"]
    entry = PlatformAuditEntry.objects.last()
    assert (entry.action, entry.actor, entry.client_ip) == (
        "account.factor",
        ada.email,
        "192.0.2.7",
    )
    secret = TOTPDevice.objects.get().bin_key.hex()
    assert secret not in str(PlatformAuditEntry.objects.values_list("new", "old"))


def test_looking_at_the_page_sets_nothing_up(browser, ada):
    browser.signs_in(ada.email)
    browser.gets("/account/second-factor/")
    browser.gets("/account/second-factor/set-up/")

    assert browser.gets("/account/second-factor/begin/").status_code == 405
    assert not TOTPDevice.objects.exists()


def test_a_secret_that_waits_for_its_first_code_is_not_asked_for(browser, ada):
    browser.signs_in(ada.email)
    browser.sends("/account/second-factor/begin/")

    assert Browser().signs_in(ada.email)["Location"] == "/t/ada/"


def test_the_old_authenticator_works_until_the_new_one_has_proved_itself(
    half_in, ada, authenticator, monkeypatch
):
    half_in.sends("/sign-in/code/", code=authenticator.code())
    half_in.sends("/account/second-factor/begin/")
    authenticator.later(60)
    other = Browser()
    other.signs_in(ada.email)
    assert other.sends("/sign-in/code/", code=authenticator.code()).status_code == 303

    shows = Authenticator(TOTPDevice.objects.get(confirmed=False), monkeypatch)
    half_in.sends("/account/second-factor/set-up/", code=shows.code())

    assert TOTPDevice.objects.get().bin_key == shows.device.bin_key
    assert not other.is_in()
    assert half_in.is_in()


@pytest.mark.parametrize(
    "path",
    [
        "/account/second-factor/remove/",
        "/account/second-factor/begin/",
        "/account/recovery-codes/",
        "/account/password/",
        "/account/address/",
        "/account/delete/",
    ],
)
def test_an_open_browser_alone_changes_no_factor(half_in, authenticator, path):
    """H2: neither by page nor by button without proving again who one is."""
    half_in.sends("/sign-in/code/", code=authenticator.code())
    not_lately_proved(half_in)
    factors = list(TOTPDevice.objects.values_list("pk", "key"))
    codes = set(RecoveryCode.objects.values_list("pk", flat=True))

    response = half_in.sends(path, code="1", email="ada@ada.example")

    assert response.status_code == 303
    assert response["Location"].startswith("/account/confirm/?next=")
    assert list(TOTPDevice.objects.values_list("pk", "key")) == factors
    assert set(RecoveryCode.objects.values_list("pk", flat=True)) == codes


def test_proving_again_asks_for_a_code_and_the_password_is_none(half_in, authenticator):
    half_in.sends("/sign-in/code/", code=authenticator.code())
    not_lately_proved(half_in)
    path = "/account/confirm/?next=/account/second-factor/remove/"

    assert half_in.sends(path, password=PASSWORD).status_code == 422
    assert half_in.sends(path, code=authenticator.code()).status_code == 422  # used already
    authenticator.later(60)
    response = half_in.sends(path, code=authenticator.code())

    assert response["Location"] == "/account/second-factor/remove/"
    assert half_in.gets("/account/second-factor/remove/").status_code == 200


def test_proving_again_without_a_factor_asks_for_the_password(browser, ada):
    browser.signs_in(ada.email)
    not_lately_proved(browser)
    path = "/account/confirm/?next=/account/delete/"

    assert browser.sends(path, password="wrong horse battery").status_code == 422
    assert browser.sends(path, password=PASSWORD)["Location"] == "/account/delete/"
    assert browser.gets("/account/delete/").status_code == 200


def test_guessing_there_ends_after_a_few(browser, ada):
    browser.signs_in(ada.email)
    not_lately_proved(browser)
    statuses = [
        browser.sends("/account/confirm/", password=f"wrong {one}").status_code for one in range(12)
    ]

    assert statuses == [422] * 10 + [429] * 2
    assert browser.sends("/account/confirm/", password=PASSWORD).status_code == 429


def test_proving_again_leads_nowhere_else(browser, ada):
    browser.signs_in(ada.email)

    response = browser.sends("/account/confirm/", password=PASSWORD, next="//evil.example/")

    assert response["Location"] == "/account/"


def test_removing_it_ends_other_sessions_and_is_told(half_in, ada, authenticator, mailbox):
    half_in.sends("/sign-in/code/", code=authenticator.code())
    authenticator.later(60)
    other = Browser()
    other.signs_in(ada.email)
    other.sends("/sign-in/code/", code=authenticator.code())
    before = half_in.key
    assert half_in.gets("/account/second-factor/remove/").status_code == 200
    assert TOTPDevice.objects.exists()

    half_in.sends("/account/second-factor/remove/")

    assert not TOTPDevice.objects.exists()
    assert not RecoveryCode.objects.exists()
    assert half_in.is_in()
    assert half_in.key != before
    assert not half_in.with_key(before).is_in()
    assert not other.is_in()
    assert mailbox.subjects(ada.email)[-1] == "Your second factor was removed"
    assert PlatformAuditEntry.objects.last().action == "account.factor_removed"


def test_new_recovery_codes_take_the_place_of_the_old(half_in, ada, authenticator):
    half_in.sends("/sign-in/code/", code=authenticator.code())
    half_in.sends("/account/recovery-codes/")
    again = Browser()
    again.signs_in(ada.email)

    assert again.sends("/sign-in/code/", code=authenticator.codes[0]).status_code == 422
    page = half_in.gets("/account/recovery-codes/shown/").content.decode()
    code = page.split("<pre")[1].split(">", 1)[1].split("\n")[0]
    assert again.sends("/sign-in/code/", code=code).status_code == 303


def test_a_tenant_that_demands_it_sends_to_the_page_and_back(browser, ada, monkeypatch):
    Tenant.objects.filter(pk=ada.tenant.pk).update(requires_second_factor=True)
    browser.signs_in(ada.email)

    sent = browser.gets("/t/ada/people/")
    assert sent["Location"] == "/account/second-factor/?next=%2Ft%2Fada%2Fpeople%2F"
    page = browser.gets(sent["Location"])
    assert says(page, 'name="next" value="/t/ada/people/"')
    browser.sends("/account/second-factor/begin/", next="/t/ada/people/")
    shows = Authenticator(TOTPDevice.objects.get(), monkeypatch)
    browser.sends("/account/second-factor/set-up/", code=shows.code())
    page = browser.gets("/account/recovery-codes/shown/")

    assert says(page, 'href="/t/ada/people/"')
    assert browser.gets("/t/ada/people/").status_code != 303


def test_the_secret_is_in_no_table_in_clear(browser, ada):
    from django.db import connection

    browser.signs_in(ada.email)
    browser.sends("/account/second-factor/begin/")
    browser.gets("/account/second-factor/set-up/")
    secret = TOTPDevice.objects.get().bin_key

    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(session_data, ' ') FROM django_session")
        sessions = cursor.fetchone()[0]
        cursor.execute("SELECT string_agg(key, ' ') FROM otp_totp_totpdevice")
        keys = cursor.fetchone()[0]
    assert secret.hex() not in sessions + keys


def test_staff_do_not_get_into_the_admin_site_by_a_factor_of_their_own_making(browser, ada):
    staff = ada.user
    staff.is_staff = True
    staff.save()
    browser.signs_in(ada.email)

    assert says(follows(browser, "/account/second-factor/begin/"), "an operator makes")

    assert not TOTPDevice.objects.exists()
    assert browser.gets("/admin/").status_code == 302


def test_who_becomes_staff_meanwhile_does_not_finish_a_factor(browser, ada, monkeypatch):
    from tenants.services.factors import begin_factor

    shows = Authenticator(begin_factor(user=ada.user), monkeypatch)
    staff = ada.user
    staff.is_staff = True
    staff.save()
    browser.signs_in(ada.email)

    response = browser.sends("/account/second-factor/set-up/", code=shows.code())

    assert response.status_code == 422
    assert not TOTPDevice.objects.filter(confirmed=True).exists()


def test_staff_keep_their_factor_and_may_have_another_authenticator(browser, ada, authenticator):
    staff = ada.user
    staff.is_staff = True
    staff.save()
    browser.signs_in(ada.email)
    browser.sends("/sign-in/code/", code=authenticator.code())

    assert says(follows(browser, "/account/second-factor/remove/"), "an operator makes")
    assert TOTPDevice.objects.filter(user=staff, confirmed=True).exists()

    browser.sends("/account/second-factor/begin/")
    assert TOTPDevice.objects.filter(user=staff, confirmed=False).exists()


def follows(browser, path):
    return browser.gets(browser.sends(path)["Location"])
