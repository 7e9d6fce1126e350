"""Members of staff: made by command, with a password and a second factor."""

import secrets
from dataclasses import dataclass

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction

from tenants.audit import Actor, record_platform
from tenants.errors import NameTaken, UnknownName
from tenants.models import User

PASSWORD_OCTETS = 18


@dataclass(frozen=True, slots=True)
class NewStaff:
    """The account; `password` only where we made it, to be shown once."""

    user: User
    password: str


def create_staff(*, email: str, actor: Actor | str, password: str | None = None) -> NewStaff:
    """An account for a member of staff, or the powers for one that is there already.

    Without `password` one is made, except for an account that has one.

    Raises `NameTaken` for staff already, ValidationError for a bad address or password.
    """
    made = ""
    if not email.strip().isprintable():
        raise ValidationError("An e-mail address is one line of visible characters.")
    with transaction.atomic():
        user = User.objects.select_for_update().filter(email=email.strip().lower()).first()
        if user is not None and user.is_staff:
            raise NameTaken(f"{user.email} is staff already: `manage.py staff otp {user.email}`.")
        user = user or User(email=email.strip().lower())
        if not password and not (user.pk and user.has_usable_password()):
            made = secrets.token_urlsafe(PASSWORD_OCTETS)
        if password or made:
            validate_password(password or made, user)
            user.set_password(password or made)
        user.is_staff = True
        user.full_clean(exclude=["password"])
        user.save()
        record_platform("staff.created", user.email, actor=actor)
    return NewStaff(user, made)


def remove_staff(*, email: str, actor: Actor | str) -> None:
    """Take the powers of staff away; the account stays. Raises `UnknownName`."""
    with transaction.atomic():
        user = staff_of(email)
        user.is_staff = user.is_superuser = False
        user.save(update_fields=["is_staff", "is_superuser"])
        record_platform("staff.removed", user.email, actor=actor)


def staff_of(email: str) -> User:
    """The member of staff of an address. Raises `UnknownName`."""
    user = User.objects.filter(email=email.strip().lower(), is_staff=True).first()
    if user is None:
        raise UnknownName(f"{email} is not staff: `manage.py staff create {email}`.")
    return user
