"""The account: made by a mail, changed, told of, deleted."""

from __future__ import annotations

import statistics
import time

import pytest
from django.utils import timezone

from tenants import contacts
from tenants.audit import first_break
from tenants.context import tenant_schema
from tenants.models import AttemptTally, Membership, PlatformAuditEntry, User, WebSession
from tests.panel.account.conftest import NEW_PASSWORD, PASSWORD, Browser, says
from tests.timing import slowness

pytestmark = pytest.mark.django_db

NEW = "carol@carol.example"


def asks(path: str, address: str, *, ip: str = "192.0.2.7"):
    return Browser(ip=ip).sends(path, email=address)


def test_signing_up_is_by_mail(browser, mailbox, sign_up_is_on):
    response = browser.sends("/sign-up/", email="Carol@carol.example")
    assert response["Location"] == "/sign-up/mailed/"
    assert says(browser.gets("/sign-up/mailed/"), "A mail is on its way")
    assert not User.objects.exists()
    link = mailbox.link(NEW)
    assert says(browser.gets(link), NEW)
    assert not User.objects.exists()  # a program that opens links makes no account

    response = browser.sends(link, name="Carol", password=PASSWORD)

    assert (response.status_code, response["Location"]) == (303, "/t/")
    user = User.objects.get()
    assert (user.email, user.name) == (NEW, "Carol")
    assert user.email_confirmed_at is not None
    assert user.password.startswith("argon2$argon2id$")
    assert browser.is_in()
    entry = PlatformAuditEntry.objects.get()
    assert (entry.action, entry.subject, entry.client_ip) == ("account.created", NEW, "192.0.2.7")
    # The link has done what it is for.
    assert Browser().sends(link, password=NEW_PASSWORD).status_code == 422
    assert User.objects.get().check_password(PASSWORD)


def test_where_sign_up_is_off_there_is_no_page(browser, settings):
    assert settings.ENV.sign_up is False

    for path in ("/sign-up/", "/sign-up/mailed/", "/sign-up/a-token/"):
        assert browser.gets(path).status_code == 404
    assert browser.sends("/sign-up/", email=NEW).status_code == 404


def test_whoever_has_an_account_gets_the_same_answer_and_another_mail(ada, mailbox, sign_up_is_on):
    known, unknown = asks("/sign-up/", ada.email), asks("/sign-up/", NEW)

    assert (known.status_code, known["Location"]) == (unknown.status_code, unknown["Location"])
    assert mailbox.subjects(ada.email) == ["You have an account already"]
    assert mailbox.subjects(NEW) == ["Finish your account"]


@pytest.mark.parametrize("path", ["/sign-up/", "/password/"])
def test_an_address_gets_one_mail_at_a_time_and_nobody_is_told(ada, mailbox, sign_up_is_on, path):
    answers = {
        (answer.status_code, answer["Location"])
        for answer in (asks(path, ada.email, ip=f"10.0.{one}.1") for one in range(5))
    }

    assert len(answers) == 1
    assert len(mailbox.mails) == 1


@pytest.mark.parametrize("path", ["/sign-up/", "/password/"])
def test_one_client_does_not_write_to_everybody(mailbox, db, sign_up_is_on, path):
    statuses = [asks(path, f"{one}@carol.example").status_code for one in range(12)]

    assert statuses == [303] * 10 + [429] * 2


def test_who_wants_nothing_of_ours_gets_nothing(mailbox, db, sign_up_is_on):
    contacts.block(NEW)

    assert asks("/sign-up/", NEW).status_code == 303
    assert mailbox.mails == []


@pytest.mark.parametrize(
    "address",
    ["", "carol", "carol@", "a@b", "carol@carol.example\r\nBcc: x@y.example", "c\u2028@d.example"],
)
def test_what_is_no_address_is_told_at_the_field(browser, mailbox, db, sign_up_is_on, address):
    response = browser.sends("/sign-up/", email=address)

    assert response.status_code == 422
    assert 'id="id_email_error"' in response.content.decode()
    assert mailbox.mails == []


@pytest.mark.parametrize(
    "password", ["short horse", "password12345", "carol@carol.example", "123456789012", ""]
)
def test_a_weak_password_is_told_at_the_field(browser, mailbox, db, sign_up_is_on, password):
    browser.sends("/sign-up/", email=NEW)

    response = browser.sends(mailbox.link(NEW), password=password)

    assert response.status_code == 422
    assert 'id="id_password_error"' in response.content.decode()
    assert not User.objects.exists()


@pytest.mark.parametrize("token", ["x", "a:b:c", "é", "x" * 500])
def test_a_link_that_is_not_ours_works_for_nothing(browser, db, sign_up_is_on, token):
    for path in (f"/sign-up/{token}/", f"/password/MQ/{token}/", f"/password/{token}/x-y/"):
        response = browser.gets(path)
        assert response.status_code == 404
        assert says(response, "This link does not work")


def test_a_link_lives_for_a_day(browser, mailbox, db, sign_up_is_on, monkeypatch):
    browser.sends("/sign-up/", email=NEW)
    now = time.time()
    monkeypatch.setattr("django.core.signing.time.time", lambda: now + 86_401)

    assert browser.gets(mailbox.link(NEW)).status_code == 404


def test_a_link_for_one_thing_does_another_never(browser, ada, mailbox, sign_up_is_on):
    browser.sends("/sign-up/", email=NEW)
    token = mailbox.link(NEW).split("/")[2]
    browser.signs_in(ada.email)

    assert browser.gets(f"/account/address/{token}/").status_code == 404


def test_a_forgotten_password(browser, ada, mailbox):
    other = Browser(ip="198.51.100.9")
    other.signs_in(ada.email)
    browser.sends("/password/", email="ADA@ada.example")
    link = mailbox.link(ada.email)
    assert says(browser.gets(link), ada.email)
    assert User.objects.get(email=ada.email).check_password(PASSWORD)

    response = browser.sends(link, password=NEW_PASSWORD)

    assert (response.status_code, response["Location"]) == (303, "/sign-in/")
    assert not browser.is_in()
    assert not other.is_in()
    assert browser.signs_in(ada.email, NEW_PASSWORD).status_code == 303
    assert mailbox.subjects(ada.email) == ["Set a new password", "Your password was changed"]
    entry = PlatformAuditEntry.objects.last()
    assert (entry.action, entry.new) == ("account.password_reset", None)
    assert Browser().gets(link).status_code == 404  # once


def test_a_weak_new_password_does_not_use_the_link_up(browser, ada, mailbox):
    browser.sends("/password/", email=ada.email)
    link = mailbox.link(ada.email)

    assert browser.sends(link, password="password12345").status_code == 422
    assert browser.sends(link, password=NEW_PASSWORD).status_code == 303


def test_the_link_dies_when_the_address_changes(browser, ada, mailbox):
    browser.sends("/password/", email=ada.email)
    User.objects.filter(email=ada.email).update(email="ada@new.example")

    assert browser.gets(mailbox.link(ada.email)).status_code == 404


def test_nobody_learns_who_has_an_account(ada, mailbox):
    known, unknown = asks("/password/", ada.email), asks("/password/", NEW)

    assert (known.status_code, known["Location"]) == (unknown.status_code, unknown["Location"])
    assert says(Browser().gets(known["Location"]), "If there is an account")


@pytest.mark.slow
def test_nobody_learns_it_from_the_time_it_takes(ada):
    from delivery.notices import QueuedNotices
    from tenants.notices import bind_notices

    bind_notices(QueuedNotices())
    seconds: dict[str, list[float]] = {ada.email: [], NEW: []}
    for _ in range(20):
        for address in seconds:
            AttemptTally.objects.all().delete()
            began = time.process_time()
            asks("/password/", address)
            seconds[address].append(time.process_time() - began)

    known, unknown = (statistics.median(times) for times in seconds.values())

    assert abs(known - unknown) < 0.02 * slowness()


def test_a_mail_to_nobody_leaves_no_row(db):
    from delivery.models import Message
    from delivery.notices import QueuedNotices
    from tenants.notices import bind_notices

    bind_notices(QueuedNotices())
    asks("/password/", NEW)

    assert not Message.objects.exists()


def test_a_reset_lets_the_owner_in_while_strangers_guess(ada, mailbox):
    for one in range(15):
        Browser(ip=f"10.0.{one}.1").signs_in(ada.email, "wrong horse battery")
    hotel = Browser(ip="198.51.100.9")
    assert hotel.signs_in(ada.email).status_code == 429

    hotel.sends("/password/", email=ada.email)
    hotel.sends(mailbox.link(ada.email), password=NEW_PASSWORD)

    assert hotel.signs_in(ada.email, NEW_PASSWORD).status_code == 303


def test_changing_the_password_asks_for_the_one_now(browser, ada, mailbox):
    browser.signs_in(ada.email)

    wrong = browser.sends("/account/password/", current="wrong horse", password=NEW_PASSWORD)
    weak = browser.sends("/account/password/", current=PASSWORD, password="short")
    right = browser.sends("/account/password/", current=PASSWORD, password=NEW_PASSWORD)

    assert 'id="id_current_error"' in wrong.content.decode()
    assert 'id="id_password_error"' in weak.content.decode()
    assert right.status_code == 303
    assert mailbox.subjects(ada.email) == ["Your password was changed"]
    for response in (wrong, weak):
        assert response.status_code == 422
        assert NEW_PASSWORD not in response.content.decode()


def test_a_name_is_one_line(browser, ada):
    browser.signs_in(ada.email)

    assert browser.sends("/account/name/", name="Ada\u2028Lovelace").status_code == 422
    assert browser.sends("/account/name/", name="Ada Lovelace").status_code == 303

    assert ada.user.name == "Ada Lovelace"
    assert says(browser.gets("/account/"), "Ada Lovelace")
    entry = PlatformAuditEntry.objects.last()
    assert (entry.action, entry.old, entry.new) == (
        "account.name",
        {"name": ""},
        {"name": "Ada Lovelace"},
    )


def test_a_new_address_is_confirmed_by_its_mailbox_and_the_old_one_is_told(browser, ada, mailbox):
    browser.signs_in(ada.email)
    response = browser.sends("/account/address/", email="Ada@new.example")
    assert response.status_code == 303
    assert ada.user.email == ada.email
    link = mailbox.link("ada@new.example")
    assert says(browser.gets(link), "ada@new.example")
    assert User.objects.filter(email=ada.email).exists()

    response = browser.sends(link)

    assert response.status_code == 303
    assert browser.is_in()
    assert not User.objects.filter(email=ada.email).exists()
    assert mailbox.subjects(ada.email) == ["Your address was changed"]
    entry = PlatformAuditEntry.objects.last()
    assert (entry.action, entry.old, entry.new) == (
        "account.address",
        {"email": ada.email},
        {"email": "ada@new.example"},
    )
    assert browser.sends(link).status_code == 404
    assert first_break(PlatformAuditEntry) is None


def test_a_new_address_typed_wrong_gives_the_account_to_nobody(browser, ada, mallory, mailbox):
    browser.signs_in(ada.email)
    browser.sends("/account/address/", email="someone@new.example")
    link = mailbox.link("someone@new.example")

    stranger = Browser()
    assert stranger.gets(link)["Location"].startswith("/sign-in/?next=")
    stranger.signs_in(mallory.email)
    assert stranger.gets(link).status_code == 404
    assert stranger.sends(link).status_code == 404
    assert ada.user.email == ada.email


def test_an_address_of_another_account_cannot_be_taken(browser, ada, mallory, mailbox):
    browser.signs_in(ada.email)

    taken = browser.sends("/account/address/", email=mallory.email)
    free = browser.sends("/account/address/", email="ada@new.example")

    assert (taken.status_code, taken["Location"]) == (free.status_code, free["Location"])
    assert mailbox.subjects(mallory.email) == ["This address has an account already"]
    User.objects.filter(email=mallory.email).update(email="ada@new.example")
    assert browser.sends(mailbox.link("ada@new.example")).status_code == 409


def test_a_new_password_makes_the_link_void(browser, ada, mailbox):
    browser.signs_in(ada.email)
    browser.sends("/account/address/", email="mallory@evil.example")
    browser.sends("/account/password/", current=PASSWORD, password=NEW_PASSWORD)

    assert browser.sends(mailbox.link("mallory@evil.example")).status_code == 404


def test_deleting_the_account_erases_it(browser, ada, ben, mailbox):
    user = User.objects.get(email=ben.email)
    browser.signs_in(ben.email)
    assert says(browser.gets("/account/delete/"), "You leave ada")

    wrong = browser.sends("/account/delete/", email="ben")
    assert wrong.status_code == 422
    assert says(wrong, "type your address (ben@ben.example)")
    response = browser.sends("/account/delete/", email="Ben@ben.example ")

    assert (response.status_code, response["Location"]) == (303, "/sign-in/")
    assert not User.objects.filter(pk=user.pk).exists()
    assert not Membership.objects.filter(user_id=user.pk).exists()
    assert not WebSession.objects.exists()
    assert not browser.is_in()
    assert mailbox.subjects(ben.email) == ["Your account was deleted"]
    assert PlatformAuditEntry.objects.last().action == "account.deleted"
    with tenant_schema(ada.tenant.pk):
        from routing.models import AuditEntry

        entry = AuditEntry.objects.last()
    assert (entry.action, entry.subject, entry.old) == (
        "member.left",
        ben.email,
        {"role": "viewer"},
    )


def test_the_only_owner_stays_and_is_told_of_what(browser, ada, ben):
    browser.signs_in(ada.email)
    assert says(browser.gets("/account/delete/"), "Nobody else owns ada.")

    response = browser.sends("/account/delete/", email=ada.email)

    assert response.status_code == 422
    assert says(response, "You are the only owner of ada")
    assert User.objects.filter(email=ada.email).exists()
    Membership.objects.filter(user__email=ben.email).update(role=Membership.Role.OWNER)
    assert browser.sends("/account/delete/", email=ada.email).status_code == 303


def test_an_owner_who_cannot_sign_in_does_not_count(browser, ada, ben):
    Membership.objects.filter(user__email=ben.email).update(role=Membership.Role.OWNER)
    User.objects.filter(email=ben.email).update(is_active=False)
    browser.signs_in(ada.email)

    assert browser.sends("/account/delete/", email=ada.email).status_code == 422


def test_staff_are_not_deleted_here(browser, ada):
    Membership.objects.all().delete()
    User.objects.filter(email=ada.email).update(is_staff=True)
    browser.signs_in(ada.email)

    assert says(browser.sends("/account/delete/", email=ada.email), "belongs to staff")


def test_nothing_of_it_is_seen_without_signing_in(browser, db):
    for path in (
        "/account/",
        "/account/name/",
        "/account/address/",
        "/account/password/",
        "/account/second-factor/",
        "/account/sessions/",
        "/account/delete/",
        "/account/confirm/",
    ):
        assert browser.gets(path)["Location"].startswith("/sign-in/?next="), path
        assert browser.sends(path).status_code in (303, 405), path


def test_pages_ask_the_database_few_questions(browser, ada, django_assert_max_num_queries):
    browser.signs_in(ada.email)
    for path in ("/account/", "/account/second-factor/", "/account/sessions/", "/account/delete/"):
        with django_assert_max_num_queries(12):
            response = browser.gets(path)
        assert len(response.content) < 60_000
    assert timezone.now()
