"""People are invited by mail: a link that works once, and nobody's mailbox is filled by it."""

from __future__ import annotations

import quopri
import re
import threading
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import connections

from delivery.content import unseal_chunk
from delivery.models import Content, Message
from routing.models import AuditEntry
from tenants import contacts
from tenants.audit import Actor
from tenants.context import tenant_schema
from tenants.errors import InvitationRefused, NameTaken, NotAllowed, UnknownName
from tenants.invitations import LinkState, invitation_of_link, open_invitations, waiting_for
from tenants.models import ContactedAddress, Invitation, Membership, User
from tenants.services import suspend_tenant
from tenants.services.invitations import (
    MOST_A_DAY,
    MOST_OPEN,
    accept,
    accept_as_new,
    decline,
    forget_settled,
    invite,
    send_again,
    withdraw,
)

pytestmark = pytest.mark.django_db

Role = Membership.Role
GUEST = "guest@guests.example"


@pytest.fixture(autouse=True)
def quiet_bell(monkeypatch):
    monkeypatch.setattr("delivery.notices.bell.ring", lambda: None)


def mails() -> list[str]:
    """The mails that wait, oldest first, as text."""
    texts = []
    for row in Message.objects.filter(direction="notice").order_by("id"):
        chunks = Content.objects.filter(message_id=row.id).order_by("number")
        octets = b"".join(
            unseal_chunk(
                bytes(chunk.octets), tenant_id=row.tenant_id, message_id=row.id, number=chunk.number
            )
            for chunk in chunks
        )
        texts.append(quopri.decodestring(octets).decode())
    return texts


def link_in(mail: str) -> str:
    found = re.search(r"/invitation/([a-z2-7]{32})/", mail)
    assert found, mail
    return found[1]


def actor_of(person) -> Actor:
    return Actor(person.email, User.objects.get(email=person.email).pk, "192.0.2.7")


def invited(person, email: str = GUEST, role: str = Role.EDITOR):
    return invite(tenant=person.tenant, email=email, role=role, actor=actor_of(person))


def a_user(email: str = GUEST, **more) -> User:
    return User.objects.create_user(email, "correct horse battery", **more)


def said(tenant) -> list[str]:
    with tenant_schema(tenant.pk):
        rows = AuditEntry.objects.filter(action__startswith="member.").order_by("id")
        return list(rows.values_list("action", flat=True))


def days_pass(days: int) -> None:
    """For the invitations and for the memory of whom we wrote to."""
    back = timedelta(days=days)
    for row in Invitation.objects.all():
        row.created_at, row.expires_at = row.created_at - back, row.expires_at - back
        row.save()
    for row in ContactedAddress.objects.exclude(last_asked_at=None):
        row.last_asked_at -= back
        row.save()


def test_somebody_without_an_account_joins_by_the_link(ada):
    assert invited(ada).mailed
    token = link_in(mails()[0])
    seen = invitation_of_link(token)
    assert (seen.state, seen.email, seen.role) == (LinkState.OPEN, GUEST, "editor")
    assert (seen.tenant.slug, seen.invited_by, seen.has_account) == ("ada", ada.email, False)

    member = accept_as_new(
        token=token, password="correct horse battery", name="Guest", client_ip="192.0.2.1"
    )

    assert (member.user.email, member.role) == (GUEST, "editor")
    assert member.user.check_password("correct horse battery")
    assert member.user.email_confirmed_at is not None  # the link came to this address
    assert said(ada.tenant) == ["member.invited", "member.joined"]
    assert open_invitations(ada.tenant.pk) == []


def test_somebody_with_an_account_joins_when_signed_in(ada, mallory):
    invited(ada, mallory.email, Role.ADMIN)

    member = accept(
        token=link_in(mails()[0]), user=User.objects.get(email=mallory.email), client_ip=None
    )

    assert (member.tenant.slug, member.role) == ("ada", "admin")


def test_the_mail_holds_nothing_that_a_person_typed(ada):
    type(ada.tenant).objects.update(name="BUY NOW")
    invited(ada)

    (mail,) = mails()
    assert f"To: <{GUEST}>" in mail
    for typed in ("BUY NOW", ada.email, " ada ", "editor"):
        assert typed not in mail.replace(GUEST, "")
    assert Message.objects.get(direction="notice").tenant_id == ada.tenant.pk


def test_the_table_does_not_hold_the_token(ada):
    invited(ada)

    token = link_in(mails()[0])
    assert token.encode() not in bytes(Invitation.objects.get().digest)
    assert invitation_of_link("a" * 32) is None
    assert invitation_of_link("'; --") is None


def test_a_link_works_once(ada):
    invited(ada)
    token = link_in(mails()[0])
    accept_as_new(token=token, password="correct horse battery", client_ip=None)

    with pytest.raises(InvitationRefused, match="used"):
        accept(token=token, user=User.objects.get(email=GUEST), client_ip=None)
    assert invitation_of_link(token).state is LinkState.USED


def test_a_link_ends_after_seven_days(ada):
    invited(ada)
    days_pass(7)

    with pytest.raises(InvitationRefused, match="expired"):
        accept_as_new(token=link_in(mails()[0]), password="correct horse battery", client_ip=None)
    assert not User.objects.filter(email=GUEST).exists()


def test_a_link_is_withdrawn(ada):
    one = invited(ada).invitation
    withdraw(tenant=ada.tenant, invitation_id=one.pk, actor=actor_of(ada))

    token = link_in(mails()[0])
    with pytest.raises(InvitationRefused, match="withdrawn"):
        accept(token=token, user=a_user(), client_ip=None)
    with pytest.raises(UnknownName):
        withdraw(tenant=ada.tenant, invitation_id=one.pk, actor=actor_of(ada))
    assert invited(ada).invitation.pk != one.pk  # may be invited again


def test_sending_again_makes_a_new_link_and_voids_the_old(ada):
    one = invited(ada).invitation
    days_pass(2)

    assert send_again(tenant=ada.tenant, invitation_id=one.pk, actor=actor_of(ada)).mailed

    first, second = map(link_in, mails())
    assert invitation_of_link(first) is None
    assert invitation_of_link(second).state is LinkState.OPEN


def test_a_link_is_for_its_address_only(ada, mallory):
    invited(ada)

    with pytest.raises(InvitationRefused, match=GUEST):
        accept(
            token=link_in(mails()[0]),
            user=User.objects.get(email=mallory.email),
            client_ip=None,
        )


def test_who_has_an_account_cannot_be_made_anew_by_the_link(ada):
    invited(ada)
    user = a_user()

    with pytest.raises(NameTaken):
        accept_as_new(token=link_in(mails()[0]), password="another long one!", client_ip=None)
    user.refresh_from_db()
    assert user.check_password("correct horse battery")


def test_a_weak_password_leaves_the_link_open(ada):
    invited(ada)
    token = link_in(mails()[0])

    with pytest.raises(ValidationError):
        accept_as_new(token=token, password="12345", client_ip=None)
    assert invitation_of_link(token).state is LinkState.OPEN


def test_declining_for_good_ends_all_mail_to_the_address(ada, mallory):
    invited(ada)
    decline(token=link_in(mails()[0]), never_again=True, client_ip=None)
    days_pass(30)

    assert not invited(mallory).mailed
    assert not contacts.take_turn(GUEST)
    assert said(ada.tenant)[-1] == "member.invitation_declined"


def test_one_mail_a_day_to_an_address_over_all_tenants(ada, mallory):
    assert invited(ada).mailed
    assert not invited(mallory).mailed
    assert not invited(mallory, "G.uest+x@guests.example".replace("G.uest", "Guest")).mailed

    days_pass(1)
    one = open_invitations(mallory.tenant.pk)[0]
    assert send_again(tenant=mallory.tenant, invitation_id=one.pk, actor=actor_of(mallory)).mailed


def test_ten_unanswered_mails_are_enough(ada):
    one = invited(ada).invitation
    for _ in range(20):
        days_pass(1)
        send_again(tenant=ada.tenant, invitation_id=one.pk, actor=actor_of(ada))
    assert len(mails()) == contacts.MOST_INVITED

    # A yes to the last link: the count begins anew for tenants to come.
    accept(token=link_of_last(ada), user=a_user(), client_ip=None)
    days_pass(1)
    assert contacts.take_turn(GUEST, contacts.Purpose.INVITATION)


def link_of_last(person) -> str:
    """A link that is not in a mail: as if it had been the tenth."""
    from tenants.invitations import digest_of_link, new_link_token

    token = new_link_token()
    Invitation.objects.filter(tenant=person.tenant).update(digest=digest_of_link(token))
    return token


def test_an_invitation_does_not_use_up_the_turns_of_confirmations(ada):
    invited(ada)

    assert contacts.take_turn(GUEST)


def test_so_many_are_open_at_most(ada):
    for number in range(MOST_OPEN):
        invited(ada, f"g{number}@guests.example")

    with pytest.raises(InvitationRefused, match=f"{MOST_OPEN}"):
        invited(ada)


def test_so_many_a_day_at_most_withdrawn_or_not(ada):
    for number in range(MOST_A_DAY):
        one = invited(ada, f"g{number}@guests.example").invitation
        withdraw(tenant=ada.tenant, invitation_id=one.pk, actor=actor_of(ada))

    with pytest.raises(InvitationRefused, match="within a day"):
        invited(ada)


@pytest.mark.parametrize(
    "email",
    [
        *("", "a", "a@", "@b.example", "a@b", "a@[192.0.2.1]", "a b@c.example", "a@b.example\r\nx"),
        *("a@b.example\nBcc: c@d.example", "a\u2028@b.example", "a@b.example,c@d.example"),
    ],
)
def test_what_is_no_address_is_refused(ada, email):
    with pytest.raises(InvitationRefused):
        invited(ada, email)
    assert mails() == []


def test_members_and_the_invited_are_not_invited_again(ada, ben):
    invited(ada)
    for email in (GUEST, GUEST.upper(), ben.email, ada.email):
        with pytest.raises(NameTaken):
            invited(ada, email)


def test_an_admin_invites_all_but_owners_and_others_nobody(ada, ben):
    actor = actor_of(ben)
    by = {"tenant": ada.tenant, "email": GUEST, "actor": actor}
    with pytest.raises(NotAllowed):
        invite(role=Role.VIEWER, **by)

    Membership.objects.filter(user_id=actor.user_id).update(role=Role.ADMIN)
    with pytest.raises(NotAllowed):
        invite(role=Role.OWNER, **by)
    invite(role=Role.ADMIN, **by)

    owners = invited(ada, "o@guests.example", Role.OWNER).invitation
    with pytest.raises(NotAllowed):
        withdraw(tenant=ada.tenant, invitation_id=owners.pk, actor=actor)
    with pytest.raises(NotAllowed):
        send_again(tenant=ada.tenant, invitation_id=owners.pk, actor=actor)


def test_another_tenants_invitation_is_not_there(ada, mallory):
    one = invited(ada).invitation

    for act in (withdraw, send_again):
        with pytest.raises(UnknownName):
            act(tenant=mallory.tenant, invitation_id=one.pk, actor=actor_of(mallory))


def test_a_suspended_tenant_invites_nobody(ada):
    suspend_tenant(tenant=ada.tenant, actor="test", for_abuse=True)

    with pytest.raises(InvitationRefused, match="stopped"):
        invited(ada)


def test_who_proved_his_address_sees_who_waits_for_him(ada):
    invited(ada)
    user = a_user()
    assert waiting_for(user) == []

    user.email_confirmed_at = user.created_at
    assert [one.tenant.slug for one in waiting_for(user)] == ["ada"]


def test_settled_invitations_are_forgotten(ada):
    one = invited(ada).invitation
    withdraw(tenant=ada.tenant, invitation_id=one.pk, actor=actor_of(ada))
    days_pass(120)
    invited(ada, "other@guests.example")

    assert forget_settled() == 1

    assert [row.email for row in Invitation.objects.all()] == ["other@guests.example"]


def test_an_invitation_whose_link_works_is_never_forgotten(ada):
    one = invited(ada).invitation
    days_pass(120)
    send_again(tenant=ada.tenant, invitation_id=one.pk, actor=actor_of(ada))

    assert forget_settled() == 0


@pytest.mark.django_db(transaction=True)
def test_ten_clicks_at_once_make_one_member(ada):
    invited(ada)
    token, user = link_in(mails()[0]), a_user()
    start, joined = threading.Barrier(10), []

    def click() -> None:
        try:
            start.wait(30)
            joined.append(accept(token=token, user=user, client_ip=None))
        except InvitationRefused:
            pass
        finally:
            connections.close_all()

    threads = [threading.Thread(target=click) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert len(joined) == 1
    assert Membership.objects.filter(user=user).count() == 1
