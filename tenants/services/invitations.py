"""Inviting people into a tenant by mail, and what they answer.

| who | calls | what follows |
|---|---|---|
| an owner or admin | `invite` | an open invitation, and a mail if one may be written |
| the same | `send_again` | a new link, which lives 7 days; the old one is void |
| the same | `withdraw` | the link is dead |
| the invited, signed in | `accept` | a membership |
| the invited, without an account | `accept_as_new` | an account, and a membership |
| the invited | `decline` | the link is dead; if he likes, we never write to him again |

Nobody's mailbox is filled by us: one mail a day and ten unanswered ones in all to an address, over
all tenants; `MOST_OPEN` open invitations and `MOST_A_DAY` mails a day of one tenant.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from mail.address import parse_address
from mail.errors import MailError
from tenants import contacts
from tenants.audit import Actor, record_in_tenant, record_platform
from tenants.changes import owners_changed
from tenants.clock import database_now
from tenants.context import public_schema, tenant_schema
from tenants.errors import InvitationRefused, NameTaken, NotAllowed, UnknownName
from tenants.invitations import LinkState, digest_of_link, new_link_token, state_of
from tenants.models import Invitation, Membership, Tenant, User
from tenants.names import one_line
from tenants.people import Role, may_manage
from tenants.services import letters
from tenants.services.powers import locked_tenant, role_of

LINK_LIVES: Final = timedelta(days=7)
MOST_OPEN: Final = 20
MOST_A_DAY: Final = 50
SETTLED_ARE_KEPT: Final = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Invited:
    """An open invitation, and whether a mail about it is on its way."""

    invitation: Invitation
    mailed: bool


def invite(*, tenant: Tenant, email: str, role: Membership.Role, actor: Actor | str) -> Invited:
    """Invite an address. Raises `InvitationRefused`, `NameTaken`, `NotAllowed`."""
    address = _mailbox(email)
    with transaction.atomic(), public_schema():
        row = _inviting(tenant, actor, role)
        now = database_now()
        _require_room(row, now)
        if Membership.objects.filter(tenant=row, user__email=address).exists():
            raise NameTaken(f"{address} is a member already.")
        if _open_ones(row).filter(email=address).exists():
            raise NameTaken(f"{address} is invited already: send that invitation again instead.")
        name = actor.name if isinstance(actor, Actor) else actor
        invitation = Invitation(tenant=row, email=address, role=role, created_at=now)
        invitation.invited_by = name[:254]
        mailed = _send(invitation, now)
        _record("member.invited", invitation, actor, new={"role": role, "mailed": mailed})
    return Invited(invitation, mailed)


def send_again(*, tenant: Tenant, invitation_id: int, actor: Actor | str) -> Invited:
    """A new link for an open invitation, whether expired or not. Raises as `invite`."""
    with transaction.atomic(), public_schema():
        invitation = _open_one(tenant, invitation_id)
        row = _inviting(tenant, actor, Role(invitation.role))
        now = database_now()
        _require_room(row, now, besides=invitation)
        mailed = _send(invitation, now)
        _record("member.invited_again", invitation, actor, new={"mailed": mailed})
    return Invited(invitation, mailed)


def withdraw(*, tenant: Tenant, invitation_id: int, actor: Actor | str) -> Invitation:
    """Make the link void. Raises `UnknownName`, `NotAllowed`."""
    with transaction.atomic(), public_schema():
        invitation = _open_one(tenant, invitation_id)
        if not may_manage(role_of(tenant, actor), invitation.role):
            raise NotAllowed("Only an owner withdraws the invitation of an owner.")
        invitation.withdrawn_at = database_now()
        invitation.save(update_fields=["withdrawn_at"])
        _record("member.invitation_withdrawn", invitation, actor)
    return invitation


def forget_settled() -> int:
    """Drop invitations that ask nothing any more, of all tenants; gives how many.

    Addresses of strangers are not kept for ever: 90 days after the mail, and never before the link
    has ended.
    """
    with public_schema():
        now = database_now()
        old = Invitation.objects.filter(created_at__lt=now - SETTLED_ARE_KEPT, expires_at__lt=now)
        return int(old._raw_delete(old.db))


def withdraw_those_of(
    *, tenant: Tenant, email: str, role: Membership.Role | None, actor: Actor | str
) -> None:
    """Void what a person invited to who may not invite so any more; `role`: his now, None for none.

    Else who is removed comes back by an invitation that he sent to himself. In the caller's
    transaction, which holds the tenant.
    """
    # Passed over while it is answered: who answers holds it, and waits for the tenant.
    open_ones = _open_ones(tenant).select_for_update(skip_locked=True, of=("self",))
    for invitation in open_ones.filter(invited_by=email):
        if role is None or not may_manage(role, invitation.role):
            invitation.withdrawn_at = database_now()
            invitation.save(update_fields=["withdrawn_at"])
            new = {"because": f"{email} may not invite any more"}
            _record("member.invitation_withdrawn", invitation, actor, new=new)


def accept(*, token: str, user: User, client_ip: str | None) -> Membership:
    """Join the tenant as the signed-in person. Raises `InvitationRefused`."""
    with transaction.atomic(), public_schema():
        invitation = _by_token(token)
        if user.email.lower() != invitation.email.lower():
            raise InvitationRefused(f"This invitation is for {invitation.email}.")
        return _join(invitation, user, client_ip)


def accept_as_new(
    *, token: str, password: str, name: str = "", client_ip: str | None
) -> Membership:
    """Make an account for the invited address, and join. The link proves the address.

    Raises `InvitationRefused`, `NameTaken` where there is an account, TenancyError for a name of
    more than one line, ValidationError for a password that is too weak.
    """
    name = one_line(name, "name")
    with transaction.atomic(), public_schema():
        invitation = _by_token(token)
        if User.objects.filter(email=invitation.email).exists():
            raise NameTaken(f"{invitation.email} has an account: sign in to accept.")
        validate_password(password, User(email=invitation.email, name=name))
        user = _made(invitation, password, name)
        member = _join(invitation, user, client_ip)
        actor = Actor(user.email, user.pk, client_ip)
        record_platform("account.created", user.email, actor=actor)
    return member


def _made(invitation: Invitation, password: str, name: str) -> User:
    """The account; two invitations of one address may be accepted at once."""
    try:
        with transaction.atomic():
            return User.objects.create_user(
                invitation.email, password, name=name, email_confirmed_at=database_now()
            )
    except IntegrityError:
        raise NameTaken(f"{invitation.email} has an account: sign in to accept.") from None


def accept_waiting(*, invitation_id: int, user: User, client_ip: str | None) -> Membership:
    """Join without the link: the person has proved that the address is his.

    Raises `InvitationRefused`.
    """
    with transaction.atomic(), public_schema():
        return _join(_waiting(invitation_id, user), user, client_ip)


def decline_waiting(*, invitation_id: int, user: User, client_ip: str | None) -> None:
    """Say no without the link. Raises `InvitationRefused`."""
    with transaction.atomic(), public_schema():
        _end_by_guest(_waiting(invitation_id, user), client_ip)


def decline(*, token: str, never_again: bool, client_ip: str | None) -> None:
    """Make the link void; `never_again`: no mail of ours to this address, for no tenant."""
    with transaction.atomic(), public_schema():
        invitation = _by_token(token)
        _end_by_guest(invitation, client_ip)
        if never_again:
            contacts.block(invitation.email)


def _end_by_guest(invitation: Invitation, client_ip: str | None) -> None:
    invitation.withdrawn_at = database_now()
    invitation.save(update_fields=["withdrawn_at"])
    actor = Actor(invitation.email, client_ip=client_ip)
    _record("member.invitation_declined", invitation, actor)


def _mailbox(email: str) -> str:
    """The address as it is kept and mailed to. Raises `InvitationRefused`."""
    text = email.strip().lower()
    try:
        address = str(parse_address(text))
        Invitation._meta.get_field("email").run_validators(address)
    except (MailError, ValidationError):
        raise InvitationRefused("This is not an e-mail address that a person can have.") from None
    return address


def _inviting(tenant: Tenant, actor: Actor | str, role: Membership.Role) -> Tenant:
    row = locked_tenant(tenant)
    if not may_manage(role_of(row, actor), role):
        raise NotAllowed(
            "Only an owner invites an owner."
            if role == Role.OWNER
            else "Only owners and admins invite people."
        )
    if row.standing != Tenant.Standing.ACTIVE:
        raise InvitationRefused("The tenant's mail is stopped: nobody can be invited meanwhile.")
    return row


def _require_room(tenant: Tenant, now: datetime, *, besides: Invitation | None = None) -> None:
    if besides is None and _open_ones(tenant).count() >= MOST_OPEN:
        raise InvitationRefused(
            f"{MOST_OPEN} invitations are open: withdraw some, or wait until they are answered."
        )
    day = Invitation.objects.filter(tenant=tenant, created_at__gt=now - timedelta(days=1))
    if day.count() >= MOST_A_DAY:
        raise InvitationRefused(f"{MOST_A_DAY} people were invited within a day: wait until then.")


def _send(invitation: Invitation, now: datetime) -> bool:
    """Save the invitation with a new link; mail it if a mail may be written now."""
    token = new_link_token()
    invitation.digest, invitation.expires_at = digest_of_link(token), now + LINK_LIVES
    invitation.full_clean(validate_unique=False, validate_constraints=False)
    invitation.save()
    if not contacts.take_turn(invitation.email, contacts.Purpose.INVITATION):
        return False
    letters.invite(
        invitation.email,
        token=token,
        until=invitation.expires_at,
        tenant_id=invitation.tenant_id,
    )
    return True


def _join(invitation: Invitation, user: User, client_ip: str | None) -> Membership:
    tenant = locked_tenant(invitation.tenant)
    if Membership.objects.filter(tenant=tenant, user=user).exists():
        raise InvitationRefused("You are a member of this tenant already.")
    member = Membership(tenant=tenant, user=user, role=invitation.role)
    member.full_clean()
    member.save(force_insert=True)
    invitation.accepted_at = database_now()
    invitation.save(update_fields=["accepted_at"])
    if user.email_confirmed_at is None:
        user.email_confirmed_at = invitation.accepted_at
        user.save(update_fields=["email_confirmed_at"])
    contacts.was_answered(invitation.email, contacts.Purpose.INVITATION)
    actor = Actor(user.email, user.pk, client_ip)
    by = {"role": member.role, "invited by": invitation.invited_by}
    _record("member.joined", invitation, actor, new=by)
    if member.role == Role.OWNER:
        owners_changed(tenant.pk)
    return member


def _by_token(token: str) -> Invitation:
    """The open invitation of a link, locked. Raises `InvitationRefused`."""
    return _still_open(_locked().filter(digest=digest_of_link(token)).first())


def _waiting(invitation_id: int, user: User) -> Invitation:
    """The same by its id, for the person whose address it is for."""
    if user.email_confirmed_at is None:
        raise InvitationRefused("Confirm your address first: the link is in the mail you got.")
    return _still_open(_locked().filter(pk=invitation_id, email=user.email).first())


def _locked() -> QuerySet[Invitation]:
    return Invitation.objects.select_for_update(of=("self",)).select_related("tenant")


def _still_open(invitation: Invitation | None) -> Invitation:
    if invitation is None:
        raise InvitationRefused("This link fits no invitation.")
    state = state_of(invitation, database_now())
    if state is not LinkState.OPEN:
        raise InvitationRefused(f"This invitation {state.value}.")
    return invitation


def _open_one(tenant: Tenant, invitation_id: int) -> Invitation:
    locked = _open_ones(tenant).select_for_update(of=("self",)).select_related("tenant")
    invitation = locked.filter(pk=invitation_id).first()
    if invitation is None:
        raise UnknownName("This invitation was answered or withdrawn meanwhile.")
    return invitation


def _open_ones(tenant: Tenant) -> QuerySet[Invitation]:
    return Invitation.objects.filter(tenant=tenant, accepted_at=None, withdrawn_at=None)


def _record(action: str, invitation: Invitation, actor: Actor | str, *, new: object = None) -> None:
    with tenant_schema(invitation.tenant_id):
        record_in_tenant(action, invitation.email, actor=actor, new=new)
