"""Who belongs to a tenant, in which role; and that somebody always owns it."""

from __future__ import annotations

import threading

import pytest
from django.db import connections

from delivery.models import Message
from routing.models import AuditEntry
from tenants.audit import Actor, first_break
from tenants.context import tenant_schema
from tenants.errors import LastOwner, NotAllowed, TenancyError, UnknownName
from tenants.invitations import open_invitations
from tenants.models import Membership, PlatformAuditEntry, User
from tenants.services.invitations import invite
from tenants.services.people import change_role, hand_over, leave_tenant, remove_member

pytestmark = pytest.mark.django_db

Role = Membership.Role


def user_of(person) -> User:
    return User.objects.get(email=person.email)


def acting(person) -> Actor:
    return Actor(person.email, user_of(person).pk, "192.0.2.7")


def member(tenant, name: str, role: str) -> User:
    user = User.objects.create_user(f"{name}@people.example", "correct horse battery")
    Membership.objects.create(tenant=tenant, user=user, role=role)
    return user


def roles(tenant) -> dict[str, str]:
    rows = Membership.objects.filter(tenant=tenant).values_list("user__email", "role")
    return {email.split("@")[0]: role for email, role in rows}


def audit_of(tenant) -> list[tuple]:
    with tenant_schema(tenant.pk):
        assert first_break(AuditEntry) is None
        rows = AuditEntry.objects.order_by("id").values_list("action", "subject", "old", "new")
        return [row for row in rows if row[0].startswith("member.")]


def mails() -> int:
    return Message.objects.filter(direction="notice").count()


def test_an_owner_changes_a_role_and_the_member_is_told(ada, ben):
    change_role(tenant=ada.tenant, user_id=user_of(ben).pk, role=Role.EDITOR, actor=acting(ada))

    assert roles(ada.tenant) == {"ada": "owner", "ben": "editor"}
    assert audit_of(ada.tenant) == [
        ("member.role", "ben@ben.example", {"role": "viewer"}, {"role": "editor"})
    ]
    assert mails() == 1


def test_the_same_role_again_changes_nothing(ada, ben):
    change_role(tenant=ada.tenant, user_id=user_of(ben).pk, role=Role.VIEWER, actor=acting(ada))

    assert audit_of(ada.tenant) == []
    assert mails() == 0


def test_a_member_is_removed_and_told(ada, ben):
    remove_member(tenant=ada.tenant, user_id=user_of(ben).pk, actor=acting(ada))

    assert roles(ada.tenant) == {"ada": "owner"}
    assert audit_of(ada.tenant) == [("member.removed", "ben@ben.example", {"role": "viewer"}, None)]
    assert mails() == 1


def test_a_member_leaves(ada, ben):
    leave_tenant(tenant=ada.tenant, user_id=user_of(ben).pk, actor=acting(ben))

    assert roles(ada.tenant) == {"ada": "owner"}
    assert audit_of(ada.tenant)[0][0] == "member.left"


def test_ownership_is_handed_over_and_every_owner_is_told(ada, ben):
    hand_over(tenant=ada.tenant, user_id=user_of(ben).pk, actor=acting(ada))

    assert roles(ada.tenant) == {"ada": "admin", "ben": "owner"}
    assert mails() == 2
    assert PlatformAuditEntry.objects.filter(action="tenant.handed_over").exists()


def test_ownership_is_not_handed_to_oneself_or_a_stranger(ada, mallory):
    for user in (user_of(ada), user_of(mallory)):
        with pytest.raises(TenancyError):
            hand_over(tenant=ada.tenant, user_id=user.pk, actor=acting(ada))

    assert roles(ada.tenant) == {"ada": "owner"}


@pytest.mark.parametrize("blocked", [False, True])
def test_the_only_owner_neither_leaves_nor_is_demoted(ada, blocked):
    if blocked:  # a second owner who cannot sign in is none
        second = member(ada.tenant, "second", Role.OWNER)
        User.objects.filter(pk=second.pk).update(is_active=False)
    own = user_of(ada).pk

    with pytest.raises(LastOwner):
        leave_tenant(tenant=ada.tenant, user_id=own, actor=acting(ada))
    with pytest.raises(LastOwner):
        change_role(tenant=ada.tenant, user_id=own, role=Role.VIEWER, actor=acting(ada))
    with pytest.raises(LastOwner):
        remove_member(tenant=ada.tenant, user_id=own, actor=acting(ada))

    assert roles(ada.tenant)["ada"] == "owner"


def test_an_admin_manages_all_but_owners(ada, ben):
    admin = member(ada.tenant, "carol", Role.ADMIN)
    actor = Actor(admin.email, admin.pk)

    change_role(tenant=ada.tenant, user_id=user_of(ben).pk, role=Role.ADMIN, actor=actor)
    with pytest.raises(NotAllowed):
        change_role(tenant=ada.tenant, user_id=user_of(ben).pk, role=Role.OWNER, actor=actor)
    with pytest.raises(NotAllowed):
        change_role(tenant=ada.tenant, user_id=user_of(ada).pk, role=Role.VIEWER, actor=actor)
    with pytest.raises(NotAllowed):
        remove_member(tenant=ada.tenant, user_id=user_of(ada).pk, actor=actor)
    with pytest.raises(NotAllowed):
        hand_over(tenant=ada.tenant, user_id=user_of(ben).pk, actor=actor)

    assert roles(ada.tenant) == {"ada": "owner", "ben": "admin", "carol": "admin"}


@pytest.mark.parametrize("role", [Role.EDITOR, Role.VIEWER])
def test_others_manage_nobody(ada, ben, role):
    other = member(ada.tenant, "carol", role)
    actor = Actor(other.email, other.pk)

    with pytest.raises(NotAllowed):
        change_role(tenant=ada.tenant, user_id=user_of(ben).pk, role=Role.EDITOR, actor=actor)
    with pytest.raises(NotAllowed):
        remove_member(tenant=ada.tenant, user_id=user_of(ben).pk, actor=actor)

    assert roles(ada.tenant)["ben"] == "viewer"


def test_an_owner_of_another_tenant_does_nothing_here(ada, ben, mallory):
    with pytest.raises(NotAllowed):
        remove_member(tenant=ada.tenant, user_id=user_of(ben).pk, actor=acting(mallory))
    with pytest.raises(UnknownName):
        remove_member(tenant=ada.tenant, user_id=user_of(mallory).pk, actor=acting(ada))


@pytest.mark.django_db(transaction=True)
def test_two_owners_who_demote_each_other_at_once_leave_one(ada):
    second = member(ada.tenant, "second", Role.OWNER)
    start, refused = threading.Barrier(2), []

    def demote(who: int, by: Actor) -> None:
        try:
            start.wait(30)
            change_role(tenant=ada.tenant, user_id=who, role=Role.VIEWER, actor=by)
        except TenancyError as error:
            refused.append(type(error))
        finally:
            connections.close_all()

    pairs = [
        (user_of(ada).pk, Actor(second.email, second.pk)),
        (second.pk, acting(ada)),
    ]
    threads = [threading.Thread(target=demote, args=pair) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert sorted(roles(ada.tenant).values()) == ["owner", "viewer"]
    assert refused == [NotAllowed]


@pytest.mark.django_db(transaction=True)
def test_ten_owners_who_leave_at_once_leave_one(ada):
    users = [user_of(ada), *(member(ada.tenant, f"o{n}", Role.OWNER) for n in range(9))]
    start, refused = threading.Barrier(10), []

    def leave(user: User) -> None:
        try:
            start.wait(30)
            leave_tenant(tenant=ada.tenant, user_id=user.pk, actor=Actor(user.email, user.pk))
        except LastOwner:
            refused.append(user)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=leave, args=(user,)) for user in users]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert list(roles(ada.tenant).values()) == ["owner"]
    assert len(refused) == 1


@pytest.mark.django_db(transaction=True)
def test_one_owner_who_leaves_and_one_who_deletes_his_account_leave_one():
    from tenants.services import create_tenant
    from tenants.services.accounts import delete_account

    for number in range(5):
        first = User.objects.create_user(f"first{number}@people.example")
        tenant = create_tenant(slug=f"race{number}", owner_email=first.email, actor="test")
        second = member(tenant, f"second{number}", Role.OWNER)
        start = threading.Barrier(2)

        def leave(tenant=tenant, user=second, start=start) -> None:
            start.wait(30)
            leave_tenant(tenant=tenant, user_id=user.pk, actor=Actor(user.email, user.pk))

        def delete(user=first, start=start) -> None:
            start.wait(30)
            delete_account(user=user, typed=user.email, actor=Actor(user.email, user.pk))

        run_together(leave, delete)

        assert len(roles(tenant)) == 1


def run_together(*works) -> None:
    """Each in a thread of its own; who is refused is refused."""

    def work(one) -> None:
        try:
            one()
        except TenancyError:
            pass
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=(one,)) for one in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)


def invites(tenant, user, address, role):
    invite(tenant=tenant, email=address, role=role, actor=Actor(user.email, user.pk))


def invited(tenant) -> set[str]:
    return {one.email for one in open_invitations(tenant.pk)}


def test_who_is_removed_does_not_come_back_by_an_invitation_of_his_own(ada):
    admin, other = (member(ada.tenant, name, Role.ADMIN) for name in ("adam", "eve"))
    invites(ada.tenant, admin, "adam@home.example", Role.ADMIN)
    invites(ada.tenant, other, "friend@home.example", Role.VIEWER)

    remove_member(tenant=ada.tenant, user_id=admin.pk, actor=acting(ada))

    assert invited(ada.tenant) == {"friend@home.example"}
    assert [entry[0] for entry in audit_of(ada.tenant)][-2:] == [
        "member.removed",
        "member.invitation_withdrawn",
    ]


def test_who_may_do_less_has_invited_to_no_more_than_that(ada):
    owner = member(ada.tenant, "olga", Role.OWNER)
    invites(ada.tenant, owner, "olga@home.example", Role.OWNER)
    invites(ada.tenant, owner, "friend@home.example", Role.ADMIN)

    change_role(tenant=ada.tenant, user_id=owner.pk, role=Role.ADMIN, actor=acting(ada))
    assert invited(ada.tenant) == {"friend@home.example"}

    change_role(tenant=ada.tenant, user_id=owner.pk, role=Role.EDITOR, actor=acting(ada))
    assert invited(ada.tenant) == set()


def test_who_hands_over_has_invited_no_owner(ada, ben):
    invites(ada.tenant, user_of(ada), "ada@home.example", Role.OWNER)

    hand_over(tenant=ada.tenant, user_id=user_of(ben).pk, actor=acting(ada))

    assert invited(ada.tenant) == set()
