"""People's accounts: made, changed, deleted; each change is told by mail and stands in the audit.

An account is made only by whoever opened a link that we mailed to its address, so that nobody owns
an account under somebody else's address. Links are signed, hold the address, and are made void by
what they do.
"""

from typing import Final

import structlog
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from mail.address import parse_address
from mail.errors import MailError
from tenants.audit import (
    ERASED_PERSON,
    Actor,
    erase_person_from_platform,
    record_in_tenant,
    record_platform,
)
from tenants.changes import owners_changed
from tenants.context import public_schema, tenant_schema
from tenants.errors import AccountRefused, LastOwner, LinkGone, NameTaken, NoPowers, NotConfirmed
from tenants.models import Invitation, Membership, Tenant, User
from tenants.names import one_line
from tenants.services.account_links import address_of_sign_up, new_address_of, user_of_reset
from tenants.services.account_mail import tell
from tenants.services.invitations import withdraw_those_of
from tenants.services.powers import powers_of_the_owner
from tenants.services.signins import end_other_sessions

log = structlog.get_logger()

NO_ADDRESS: Final = "This is not an e-mail address that a person can have."


def mailbox(text: str) -> str:
    """An address as accounts keep it. Raises `AccountRefused`."""
    address = text.strip().lower()
    try:
        parse_address(address)
        User._meta.get_field("email").run_validators(address)
    except (MailError, ValidationError):
        raise AccountRefused(NO_ADDRESS) from None
    if not address.isprintable():
        raise AccountRefused(NO_ADDRESS)
    return address


def create_account(*, token: str, password: str, name: str, client_ip: str | None) -> User:
    """The account that the link of a sign-up mail is for.

    Raises `LinkGone`, `NameTaken` where there is one by now, ValidationError for the password.
    """
    address = address_of_sign_up(token)
    user = User(email=address, name=one_line(name, "name"), email_confirmed_at=timezone.now())
    validate_password(password, user)
    user.set_password(password)
    user.full_clean(exclude=["password"], validate_unique=False, validate_constraints=False)
    with transaction.atomic():
        try:
            with transaction.atomic():
                user.save(force_insert=True)
        except IntegrityError:
            raise NameTaken(f"{address} has an account already: sign in.") from None
        record_platform("account.created", address, actor=Actor(address, user.pk, client_ip))
    return user


def change_name(*, user: User, name: str, actor: Actor) -> None:
    """What others see beside the address. Raises TenancyError for more than one line."""
    with transaction.atomic():
        row = _locked(user)
        old, row.name = row.name, one_line(name, "name")
        if old == row.name:
            return
        row.full_clean(exclude=["password"])
        row.save(update_fields=["name"])
        record_platform(
            "account.name", row.email, actor=actor, old={"name": old}, new={"name": row.name}
        )
    user.name = row.name


def change_password(*, user: User, password: str, actor: Actor, kept_session: str) -> None:
    """A new password; every other session of the person ends. Raises ValidationError."""
    validate_password(password, user)
    with transaction.atomic():
        row = _locked(user)
        row.set_password(password)
        row.save(update_fields=["password"])
        end_other_sessions(user=row, kept_session=kept_session)
        record_platform("account.password", row.email, actor=actor)
        tell(row.email, "Your password was changed", "All other sessions were signed out.")
    user.password = row.password


def reset_password(*, user_id: str, token: str, password: str, client_ip: str | None) -> User:
    """A new password for whoever got the link; every session ends, the second factor stays.

    Raises `LinkGone`, ValidationError.
    """
    with transaction.atomic():
        user = user_of_reset(user_id, token, lock=True)
        if user is None:
            raise LinkGone("This link does not work any more.")
        validate_password(password, user)
        user.set_password(password)
        user.email_confirmed_at = user.email_confirmed_at or timezone.now()
        user.save(update_fields=["password", "email_confirmed_at"])
        end_other_sessions(user=user)
        actor = Actor(user.email, user.pk, client_ip)
        record_platform("account.password_reset", user.email, actor=actor)
        tell(user.email, "Your password was changed", "All sessions were signed out.")
    return user


def change_address(*, user: User, token: str, actor: Actor) -> None:
    """Sign in by the address that the link was mailed to. Raises `LinkGone`, `NameTaken`."""
    new = new_address_of(user, token)
    with transaction.atomic():
        row = _locked(user)
        old = row.email
        if new != new_address_of(row, token):
            raise LinkGone("This link does not work any more.")
        row.email, row.email_confirmed_at = new, timezone.now()
        try:
            with transaction.atomic():
                row.save(update_fields=["email", "email_confirmed_at"])
        except IntegrityError:
            raise NameTaken(f"{new} belongs to another account.") from None
        Invitation.objects.filter(invited_by=old).update(invited_by=new)
        for tenant_id in row.memberships.values_list("tenant_id", flat=True):
            owners_changed(tenant_id)
        record_platform("account.address", new, actor=actor, old={"email": old}, new={"email": new})
        tell(old, "Your address was changed", f"From now on you sign in as {new}.")
    user.email, user.email_confirmed_at = row.email, row.email_confirmed_at


def delete_account(*, user: User, typed: str, actor: Actor) -> None:
    """Erase a person's account, sessions, factors, memberships, and him from the platform's audit.

    `typed` is the address as the person typed it. Raises `NotConfirmed`, `LastOwner` while a tenant
    has no other owner, `AccountRefused` for staff.
    """
    with transaction.atomic(), public_schema():
        row = _locked(user)
        if typed.strip().lower() != row.email:
            raise NotConfirmed(f"Nothing was deleted: type your address ({row.email}).")
        if row.is_staff or row.support_grants.exists():
            raise AccountRefused(
                "This account belongs to staff, and the audit names it: an operator removes it."
            )
        memberships = _locked_memberships(row)
        _require_other_owners(memberships)
        for member in memberships:
            with tenant_schema(member.tenant_id):
                old = {"role": member.role}
                record_in_tenant("member.left", row.email, actor=actor, old=old)
            withdraw_those_of(tenant=member.tenant, email=row.email, role=None, actor=actor)
            owners_changed(member.tenant_id)
        email, pseudonym = row.email, f"account {row.pk}"
        end_other_sessions(user=row)
        _erase_from_audit(row, pseudonym)
        row.delete()
        record_platform(ERASED_PERSON, pseudonym, actor="a person", tenant_slug=pseudonym)
        tell(email, "Your account was deleted", "Sessions, factors and memberships went with it.")


def _erase_from_audit(user: User, pseudonym: str) -> None:
    """Where the panel cannot become the owner of the tables, the log tells the operator."""
    try:
        with transaction.atomic(), powers_of_the_owner():
            erase_person_from_platform(user_id=user.pk, address=user.email, pseudonym=pseudonym)
    except NoPowers:
        log.warning("account.stays_in_audit", user_id=user.pk)


def sole_tenants(user: User) -> list[str]:
    """Slugs of tenants that nobody but this person owns."""
    return _without_other_owner(list(user.memberships.select_related("tenant")))


def _locked_memberships(user: User) -> list[Membership]:
    """The person's memberships, with their tenants locked as tenants/services/people.py does.

    Else two owners of one tenant, of whom one leaves and one deletes his account, would both find
    the other one there.
    """
    tenants = Tenant.objects.select_for_update(of=("self",), no_key=True)
    list(tenants.filter(memberships__user=user).order_by("pk"))
    rows = Membership.objects.select_for_update(of=("self",)).select_related("tenant")
    return list(rows.filter(user=user).order_by("tenant_id"))


def _require_other_owners(memberships: list[Membership]) -> None:
    alone = _without_other_owner(memberships)
    if alone:
        raise LastOwner(
            f"You are the only owner of {', '.join(alone)}: hand the ownership over, or delete "
            f"{'it' if len(alone) == 1 else 'them'} first."
        )


def _without_other_owner(memberships: list[Membership]) -> list[str]:
    owned = {
        member.tenant_id: member.tenant.slug
        for member in memberships
        if member.role == Membership.Role.OWNER
    }
    others = Membership.objects.filter(
        tenant_id__in=owned, role=Membership.Role.OWNER, user__is_active=True
    ).exclude(user_id__in={member.user_id for member in memberships})
    shared = set(others.values_list("tenant_id", flat=True))
    return sorted(slug for tenant_id, slug in owned.items() if tenant_id not in shared)


def _locked(user: User) -> User:
    return User.objects.select_for_update().get(pk=user.pk)
