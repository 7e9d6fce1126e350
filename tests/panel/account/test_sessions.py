"""Sessions: listed, ended one by one and all at once, and over when they should be (H3)."""

from __future__ import annotations

import pytest
from django.contrib.sessions.models import Session

from tenants.models import PlatformAuditEntry, WebSession
from tenants.services.signins import sweep_sessions
from tests.panel.account.conftest import (
    NEW_PASSWORD,
    PASSWORD,
    Browser,
    says,
    time_goes_by,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def two(ada):
    here, there = Browser(), Browser(ip="198.51.100.9")
    here.signs_in(ada.email)
    there.signs_in(ada.email)
    return here, there


def test_every_browser_is_listed(two):
    here, _ = two

    page = here.gets("/account/sessions/").content.decode()

    assert page.count("198.51.100.9") == 2
    assert page.count("this one") == 1


def test_one_can_be_ended_from_another(two):
    here, there = two
    session = WebSession.objects.get(client_ip="198.51.100.9")

    here.sends(f"/account/sessions/{session.pk}/end/")

    assert here.is_in()
    assert not there.is_in()
    assert Session.objects.filter(session_key=session.session_key).count() == 0
    entry = PlatformAuditEntry.objects.last()
    assert (entry.action, entry.old["client_ip"]) == ("account.session_ended", "198.51.100.9")
    assert session.session_key not in str(entry.old)


def test_everywhere_means_here_too(two):
    here, there = two

    response = here.sends("/account/sessions/end/")

    assert response["Location"] == "/sign-in/"
    assert not here.is_in()
    assert not there.is_in()
    assert not WebSession.objects.exists()
    assert PlatformAuditEntry.objects.last().action == "account.sessions_ended"


def test_the_list_decides_whatever_the_browser_still_has(two):
    here, _ = two
    assert Session.objects.filter(session_key=here.key).exists()

    WebSession.objects.all().delete()

    assert not here.is_in()
    assert not Session.objects.filter(session_key=here.key).exists()


def test_a_get_ends_nothing(two):
    here, _ = two
    for session in WebSession.objects.all():
        assert here.gets(f"/account/sessions/{session.pk}/end/").status_code == 405
    assert here.gets("/account/sessions/end/").status_code == 405

    assert WebSession.objects.count() == 2


def test_mallory_sees_404(two, mallory):
    here, _ = two
    session = WebSession.objects.first()
    other = Browser()
    other.signs_in(mallory.email)

    assert other.sends(f"/account/sessions/{session.pk}/end/").status_code == 404
    assert says(other.gets("/account/sessions/"), "this one")
    assert here.is_in()


def test_the_key_from_before_signing_in_is_dead(ada):
    """H3: session fixation."""
    victim = Browser()
    victim.client.get("/sign-in/")
    session = victim.client.session
    session["planted"] = 1
    session.save()
    planted = session.session_key
    victim.client.cookies["mxax-session"] = planted

    victim.signs_in(ada.email)

    assert victim.is_in()
    assert victim.key != planted
    assert not victim.with_key(planted).is_in()


def test_signing_out_kills_the_key(two):
    here, there = two
    key = here.key
    here.sends("/sign-out/")

    assert not here.with_key(key).is_in()
    assert there.is_in()


def test_a_new_password_kills_every_key_and_keeps_this_browser(two):
    here, there = two
    before = here.key

    response = here.sends("/account/password/", current=PASSWORD, password=NEW_PASSWORD)

    assert response.status_code == 303
    assert here.is_in()
    assert here.key != before
    assert not here.with_key(before).is_in()
    assert not there.is_in()
    assert WebSession.objects.get().session_key == here.key


def test_twelve_idle_hours_end_it(two):
    here, _ = two
    time_goes_by(hours=11, minutes=59)
    assert here.is_in()
    time_goes_by(hours=11, minutes=59)
    assert here.is_in()  # it was seen in between

    time_goes_by(hours=12)

    assert not here.is_in()
    assert not WebSession.objects.filter(client_ip="192.0.2.7").exists()


def test_fourteen_days_end_it_however_busy(two):
    here, _ = two
    for _ in range(13 * 24 // 11 + 1):
        assert here.is_in()
        time_goes_by(hours=11)
    time_goes_by(hours=11)

    assert WebSession.objects.get(client_ip="192.0.2.7").signed_in_at is not None
    for _ in range(3):
        here.is_in()
        time_goes_by(hours=11)
    assert not here.is_in()


def test_being_seen_is_written_every_five_minutes_at_most(two, django_assert_num_queries):
    here, _ = two
    time_goes_by(minutes=4)
    before = WebSession.objects.get(client_ip="192.0.2.7").last_seen_at
    here.is_in()
    assert WebSession.objects.get(client_ip="192.0.2.7").last_seen_at == before

    time_goes_by(minutes=2)
    here.is_in()

    assert WebSession.objects.get(client_ip="192.0.2.7").last_seen_at > before


def test_an_account_that_is_switched_off_is_out_at_once(two, ada):
    here, _ = two
    user = ada.user
    user.is_active = False
    user.save()

    assert not here.is_in()


def test_the_admins_sign_in_is_listed_and_limited_too(db, mailbox):
    from tenants.models import User
    from tenants.services.factors import enrol

    user = User.objects.create_user("sam@service.example", PASSWORD, is_staff=True)
    device = enrol(user=user, actor="test")
    from django_otp.oath import totp

    browser = Browser()
    values = {"username": user.email, "password": PASSWORD, "next": "/admin/"}
    response = browser.sends("/admin/login/", otp_token=f"{totp(device.bin_key):06d}", **values)
    assert response.status_code == 302
    assert browser.client.get("/admin/").status_code == 200
    assert WebSession.objects.get().user == user

    WebSession.objects.all().delete()
    assert browser.client.get("/admin/").status_code == 302

    guesser = Browser(ip="198.51.100.9")
    statuses = [
        guesser.sends("/admin/login/", username=user.email, password="no").status_code
        for _ in range(11)
    ]
    assert statuses == [200] * 10 + [429]


def test_a_new_password_in_the_admin_keeps_its_browser_and_ends_others(mailbox, db):
    from django_otp import DEVICE_ID_SESSION_KEY

    from tenants.models import User
    from tenants.services.factors import enrol

    user = User.objects.create_user("sam@service.example", PASSWORD, is_staff=True)
    device = enrol(user=user, actor="test")
    browsers = [Browser(), Browser()]
    for browser in browsers:
        browser.client.force_login(user)
        session = browser.client.session
        session[DEVICE_ID_SESSION_KEY] = device.persistent_id
        session.save()

    response = browsers[0].sends(
        "/admin/password_change/",
        old_password=PASSWORD,
        new_password1=NEW_PASSWORD,
        new_password2=NEW_PASSWORD,
    )

    assert response.status_code == 302
    assert browsers[0].client.get("/admin/").status_code == 200
    assert browsers[1].client.get("/admin/").status_code == 302
    assert WebSession.objects.count() == 1
    browsers[0].client.post("/admin/logout/")
    assert not WebSession.objects.exists()


def test_the_sweep_takes_what_is_over(two):
    here, _ = two
    time_goes_by(days=1)
    left = Browser()
    left.client.get("/sign-in/")
    WebSession.objects.filter(client_ip="192.0.2.7").update(last_seen_at="2999-01-01T00:00Z")

    assert sweep_sessions() == 1

    assert here.is_in()
    assert WebSession.objects.get().client_ip == "192.0.2.7"


def test_values_that_were_typed_survive_a_session_that_ended(two, ada):
    here, _ = two
    WebSession.objects.all().delete()

    response = here.client.post(
        "/account/name/",
        {"name": "Ada Lovelace"},
        headers={"Origin": "http://testserver", "Referer": "http://testserver/account/name/"},
    )

    assert response["Location"] == "/sign-in/?next=%2Faccount%2Fname%2F"
    assert here.client.session["kept_values"]["values"] == "name=Ada+Lovelace"
    here.signs_in(ada.email)
    assert 'value="Ada Lovelace"' in here.gets("/account/name/").content.decode()


def test_a_page_that_looks_again_by_itself_keeps_nobody_signed_in(two, ada):
    """H3: idle means that nobody is there, whatever a forgotten tab asks."""
    here, _ = two
    time_goes_by(hours=11)

    assert here.gets(f"{ada.url('messages')}?watch=on").status_code == 200
    time_goes_by(hours=1)

    assert not here.is_in()


def test_a_browser_is_named_in_words_and_in_its_own(ada):
    said = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
    here = Browser()
    here.client.defaults["HTTP_USER_AGENT"] = said
    here.signs_in(ada.email)

    page = here.gets("/account/sessions/")

    assert says(page, "<summary>Firefox 128 on Linux</summary>")
    assert says(page, said)
