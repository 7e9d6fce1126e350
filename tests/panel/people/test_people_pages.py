"""Members and invitations on pages."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.test import Client

from tenants.models import Invitation, Membership, User
from tests.tenants.test_invitations import link_in, mails

pytestmark = pytest.mark.django_db

Role = Membership.Role
GUEST = "guest@guests.example"


@pytest.fixture(autouse=True)
def quiet_bell(monkeypatch):
    monkeypatch.setattr("delivery.notices.bell.ring", lambda: None)


def text_of(answer: Any) -> str:
    html: str = answer.content.decode()
    assert "<script" not in html
    assert html.count("<h1") == 1
    return html


def flash_of(answer: Any) -> str:
    assert answer.status_code == 303, answer.content.decode()
    return " ".join(str(one) for one in get_messages(answer.wsgi_request))


def role_of(person) -> str:
    return Membership.objects.get(user__email=person.email).role


def becomes(person, role: str) -> None:
    Membership.objects.filter(user__email=person.email).update(role=role)


def invites(person, email: str = GUEST, role: str = "editor") -> Any:
    return person.client().post(person.url("invite"), {"email": email, "role": role})


def test_the_list_shows_members_and_the_invited(ada, ben):
    invites(ada)

    html = text_of(ada.client().get(ada.url("people")))
    for shown in (ada.email, ben.email, GUEST, "Send again", "Withdraw"):
        assert shown in html


def test_the_list_takes_few_queries_however_many_there_are(ada, django_assert_max_num_queries):
    for number in range(60):
        user = User.objects.create_user(f"m{number}@people.example")
        Membership.objects.create(tenant=ada.tenant, user=user, role=Role.VIEWER)
    client = ada.client()

    with django_assert_max_num_queries(12):
        client.get(ada.url("people"))


def test_a_viewer_sees_who_is_here_and_changes_nothing(ada, ben):
    invites(ada)
    client = ben.client()

    html = text_of(client.get(ben.url("people")))
    assert ada.email in html
    assert GUEST not in html
    assert "Remove" not in html
    one = Invitation.objects.get()
    for name, args in (
        ("invite", ()),
        ("member-role", (ada.user.pk,)),
        ("member-remove", (ada.user.pk,)),
        ("hand-over", ()),
        ("settings", ()),
        ("tenant-delete", ()),
        ("tenant-export", ()),
    ):
        assert client.get(ben.url(name, *args)).status_code == 403, name
        assert client.post(ben.url(name, *args)).status_code == 403, name
    for name in ("invitation-again", "invitation-withdraw"):
        assert client.post(ben.url(name, one.pk)).status_code == 403


def test_mallory_sees_404_everywhere(ada, ben, mallory):
    invites(ada)
    client = mallory.client()
    for name, args in (
        *((n, ()) for n in ("home", "people", "invite", "leave", "hand-over", "settings")),
        *((n, ()) for n in ("tenant-name", "tenant-pause", "tenant-resume", "tenant-export")),
        *((n, ()) for n in ("tenant-delete", "tenant-second-factor", "audit", "audit-chain")),
        ("member-role", (ben.user.pk,)),
        ("member-remove", (ben.user.pk,)),
        ("invitation-again", (Invitation.objects.get().pk,)),
        ("invitation-withdraw", (Invitation.objects.get().pk,)),
    ):
        assert client.get(ada.url(name, *args)).status_code == 404, name
        assert client.post(ada.url(name, *args)).status_code == 404, name


def test_objects_of_another_tenant_are_not_there_in_ones_own(ada, ben, mallory):
    invites(ada)
    client = mallory.client()
    for name, args in (
        ("member-role", (ben.user.pk,)),
        ("member-remove", (ben.user.pk,)),
        ("invitation-again", (Invitation.objects.get().pk,)),
        ("invitation-withdraw", (Invitation.objects.get().pk,)),
    ):
        assert client.post(mallory.url(name, *args), {"role": "viewer"}).status_code == 404, name
    assert role_of(ben) == "viewer"


def test_a_role_is_changed(ada, ben):
    client = ada.client()
    asked = text_of(client.get(ada.url("member-role", ben.user.pk)))
    version = re.search(r'name="version" value="(\w+)"', asked)

    answer = client.post(
        ada.url("member-role", ben.user.pk), {"role": "editor", "version": version[1]}
    )

    assert "editor now" in flash_of(answer)
    assert role_of(ben) == "editor"


def test_a_role_that_somebody_changed_meanwhile_is_shown(ada, ben):
    client = ada.client()
    asked = text_of(client.get(ada.url("member-role", ben.user.pk)))
    version = re.search(r'name="version" value="(\w+)"', asked)
    becomes(ben, Role.ADMIN)

    answer = client.post(
        ada.url("member-role", ben.user.pk), {"role": "editor", "version": version[1]}
    )

    assert answer.status_code == 422
    assert "Somebody was faster" in text_of(answer)
    assert role_of(ben) == "admin"


def test_the_last_owner_reads_why_he_cannot_be_demoted(ada):
    client = ada.client()
    asked = text_of(client.get(ada.url("member-role", ada.user.pk)))
    version = re.search(r'name="version" value="(\w+)"', asked)

    answer = client.post(
        ada.url("member-role", ada.user.pk), {"role": "viewer", "version": version[1]}
    )

    assert answer.status_code == 422
    assert "only owner" in text_of(answer)
    left = client.post(ada.url("leave"))
    assert left.status_code == 409
    assert "only owner" in text_of(left)


def test_changing_roles_asks_who_one_is(ada, ben):
    client = ada.client(recent=False)

    for name in ("member-role", "member-remove"):
        answer = client.get(ada.url(name, ben.user.pk))
        assert answer.status_code == 303
        assert answer["Location"].startswith("/account/confirm/")


def test_a_removed_member_loses_access_at_once(ada, ben):
    bens = ben.client()
    assert bens.get(ben.url("people")).status_code == 200

    answer = ada.client().post(ada.url("member-remove", ben.user.pk))

    assert "does not belong here" in flash_of(answer)
    assert bens.get(ben.url("people")).status_code == 404


def test_a_member_leaves(ada, ben):
    client = ben.client()
    text_of(client.get(ben.url("leave")))

    assert "You left" in flash_of(client.post(ben.url("leave")))
    assert client.get(ben.url("home")).status_code == 404


def test_ownership_is_handed_over(ada, ben):
    client = ada.client()
    assert ben.email in text_of(client.get(ada.url("hand-over")))

    answer = client.post(ada.url("hand-over"), {"heir": ben.user.pk})

    assert "owns the tenant now" in flash_of(answer)
    assert (role_of(ada), role_of(ben)) == ("admin", "owner")


def test_ownership_is_not_handed_to_a_stranger(ada, ben, mallory):
    answer = ada.client().post(ada.url("hand-over"), {"heir": mallory.user.pk})

    assert answer.status_code == 422
    assert role_of(ada) == "owner"


def test_an_admin_sees_no_way_to_change_an_owner(ada, ben):
    becomes(ben, Role.ADMIN)
    client = ben.client()

    assert "by an owner" in text_of(client.get(ben.url("people")))
    assert client.get(ben.url("member-role", ada.user.pk)).status_code == 404
    asked = text_of(client.get(ben.url("invite")))
    assert 'value="admin"' in asked
    assert 'value="owner"' not in asked
    assert invites(ben, role="owner").status_code == 422


def test_an_invitation_goes_out_is_sent_again_and_withdrawn(ada):
    assert "on its way" in flash_of(invites(ada))
    client, one = ada.client(), Invitation.objects.get()

    again = client.post(ada.url("invitation-again", one.pk))
    assert "no mail was sent" in flash_of(again)
    assert len(mails()) == 1

    gone = client.post(ada.url("invitation-withdraw", one.pk))
    assert "withdrawn" in flash_of(gone)
    assert client.post(ada.url("invitation-withdraw", one.pk)).status_code == 404


@pytest.mark.parametrize("email", ["", "nobody", "a@b", "a b@c.example", "a@b.example\nBcc: x"])
def test_a_wrong_address_is_refused_at_its_field(ada, email):
    answer = invites(ada, email)

    assert answer.status_code == 422
    assert 'href="#id_email"' in text_of(answer)
    assert not Invitation.objects.exists()


def the_link() -> str:
    return f"/invitation/{link_in(mails()[-1])}/"


def test_a_stranger_makes_an_account_and_joins(ada):
    invites(ada)
    stranger, link = Client(), the_link()
    html = text_of(stranger.get(link))
    assert ada.email in html
    assert "Make the account" in html
    assert not User.objects.filter(email=GUEST).exists()  # a GET changes nothing

    weak = stranger.post(link, {"name": "Guest", "password": "short"})
    assert weak.status_code == 422
    assert 'value="Guest"' in text_of(weak)

    answer = stranger.post(link, {"name": "Guest", "password": "correct horse battery"})
    assert answer["Location"] == "/sign-in/?next=/t/ada/"
    assert Membership.objects.get(user__email=GUEST).role == "editor"


def test_the_signed_in_person_whose_address_it_is_joins(ada, mallory):
    invites(ada, mallory.email)
    client, link = mallory.client(), the_link()
    assert "Accept" in text_of(client.get(link))

    assert "You belong to ada" in flash_of(client.post(link))
    assert client.get(ada.url("home")).status_code == 200


def test_another_signed_in_person_is_told_so(ada, mallory):
    invites(ada)
    client, link = mallory.client(), the_link()

    for answer in (client.get(link), client.post(link)):
        assert f"You are signed in as {mallory.email}" in text_of(answer)
    assert not Membership.objects.filter(tenant=ada.tenant, user=mallory.user).exists()


def test_who_has_an_account_is_sent_to_sign_in(ada, mallory):
    invites(ada, mallory.email)

    html = text_of(Client().get(the_link()))
    assert f"/sign-in/?next={the_link()}" in html
    assert "password" not in html


def test_links_that_are_spent_say_so(ada):
    invites(ada)
    link, stranger = the_link(), Client()
    Invitation.objects.update(expires_at="2020-01-01T00:00Z")
    assert "has expired" in text_of(stranger.get(link))

    ada.client().post(ada.url("invitation-withdraw", Invitation.objects.get().pk))
    answer = stranger.get(link)
    assert answer.status_code == 410
    assert "was withdrawn" in text_of(answer)

    none = stranger.get("/invitation/" + "a" * 32 + "/")
    assert none.status_code == 404
    text_of(none)


def test_an_invitation_is_declined(ada):
    invites(ada)
    link, stranger = the_link(), Client()
    text_of(stranger.get(link + "decline/"))

    answer = stranger.post(link + "decline/", {"never_again": "on"})

    assert answer.status_code == 303
    assert stranger.get(link).status_code == 410
    assert "no mail was sent" in flash_of(invites(ada))


def test_pages_behind_links_go_into_no_cache(ada):
    invites(ada)
    answer = Client().get(the_link())

    assert "no-store" in answer["Cache-Control"]
    assert answer["Referrer-Policy"] == "same-origin"


def test_who_proved_his_address_answers_without_the_link(ada, mallory):
    invites(ada, mallory.email)
    one, client = Invitation.objects.get(), mallory.client()
    waiting = f"/invited/{one.pk}/"
    assert "You are invited" not in text_of(client.get("/t/"))
    assert client.get(waiting).status_code == 404

    User.objects.filter(email=mallory.email).update(email_confirmed_at="2026-01-01T00:00Z")
    assert waiting in text_of(client.get("/t/"))
    text_of(client.get(waiting))
    assert "You belong to ada" in flash_of(client.post(waiting))
    assert client.get(waiting).status_code == 404


def test_ones_tenants_are_listed_and_strangers_sign_in(ada, mallory):
    html = text_of(ada.client().get("/t/"))
    assert "/t/ada/" in html
    assert "/t/mallory/" not in html
    assert Client().get("/t/")["Location"] == "/sign-in/?next=%2Ft%2F"


def test_an_owner_makes_another_tenant(ada):
    answer = ada.client().post("/new-tenant/", {"slug": "second", "name": "Second"})

    assert answer["Location"] == "/t/second/"
    assert Membership.objects.get(tenant__slug="second").user == ada.user


def test_what_was_typed_for_a_new_tenant_survives_a_lost_session_and_a_lost_token(ada):
    here = {"Origin": "http://testserver", "Referer": "http://testserver/new-tenant/"}
    lost = Client(enforce_csrf_checks=True)
    stranger = Client()

    answer = stranger.post("/new-tenant/", {"slug": "second", "name": "Kept Name"}, headers=here)
    assert answer["Location"] == "/sign-in/?next=%2Fnew-tenant%2F"
    lost.force_login(ada.user)
    assert lost.post("/new-tenant/", {"name": "Kept Name"}, headers=here).status_code == 403

    session = stranger.session
    kept = session["kept_values"]
    client = ada.client()
    session = client.session
    session["kept_values"] = kept
    session.save()
    for one in (client, lost):
        assert 'value="Kept Name"' in text_of(one.get("/new-tenant/"))


def test_an_invitation_waits_for_who_has_to_sign_in_again(ada):
    here = {"Origin": "http://testserver", "Referer": "http://testserver/invited/1/"}

    answer = Client().post("/invited/1/", {"answer": "decline"}, headers=here)

    assert answer["Location"] == "/sign-in/?next=%2Finvited%2F1%2F"


def test_making_and_deleting_in_a_loop_ends_for_today(ada, mallory, monkeypatch):
    from tenants import limits
    from tenants.services import create_tenant

    assert limits.LIMITS[limits.Kind.NEW_TENANT].account == (limits.Limit(10, limits.DAY),)
    few = limits.Limits(*(limits.Limit(99, limits.DAY),) * 2, (limits.Limit(2, limits.DAY),))
    monkeypatch.setitem(limits.LIMITS, limits.Kind.NEW_TENANT, few)
    client = ada.client()
    assert client.post("/new-tenant/", {"slug": "ada"}).status_code == 422  # makes none
    for _ in range(2):
        assert client.post("/new-tenant/", {"slug": "second"}).status_code == 303
        assert client.post("/t/second/settings/delete/", {"typed": "second"}).status_code == 303

    refused = client.post("/new-tenant/", {"slug": "second"})

    assert refused.status_code == 422
    assert "as many tenants as one may in a day" in text_of(refused)
    assert mallory.client().post("/new-tenant/", {"slug": "third"}).status_code == 303
    create_tenant(slug="by-operator", owner_email=ada.email, actor="op")


def test_whose_slugs_are_taken_cannot_be_tried_without_end(ada, mallory, monkeypatch):
    from tenants import limits

    few = limits.Limits(*(limits.Limit(99, limits.DAY),) * 2, (limits.Limit(3, limits.QUARTER),))
    monkeypatch.setitem(limits.LIMITS, limits.Kind.TENANT_SLUG, few)
    client = mallory.client()
    assert client.post("/new-tenant/", {"slug": "second"}).status_code == 303  # frees no attempt
    for _ in range(2):
        assert "already" in text_of(client.post("/new-tenant/", {"slug": "ada"}))

    refused = client.post("/new-tenant/", {"slug": "ada", "name": "Kept"})

    assert refused.status_code == 422
    html = text_of(refused)
    assert "Too many short names were tried" in html
    assert "already" not in html
    assert 'value="Kept"' in html
    assert ada.client().post("/new-tenant/", {"slug": "third"}).status_code == 303


@pytest.mark.parametrize("slug", ["", "ada", "Two Friends", "t17", "admin", "a" * 41])
def test_a_short_name_that_cannot_be_is_refused_at_its_field(ada, slug):
    answer = ada.client().post("/new-tenant/", {"slug": slug, "name": "Kept"})

    assert answer.status_code == 422
    html = text_of(answer)
    assert 'href="#id_slug"' in html
    assert 'value="Kept"' in html


def test_who_was_only_invited_as_viewer_makes_no_tenant(ada, ben):
    client = ben.client()

    assert "/new-tenant/" not in text_of(client.get("/t/"))
    assert client.get("/new-tenant/").status_code == 404
    assert client.post("/new-tenant/", {"slug": "bens"}).status_code == 404
