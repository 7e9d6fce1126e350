"""Mail that proves an address: links to sign up, to set a password, to sign in by a new address.

| link | holds | void once |
|---|---|---|
| sign-up | the address, signed | there is an account of it; after a day |
| reset | the id, Django's token | password or address change, or somebody signs in; after an hour |
| new address | account and address, signed | password or address change; after a day |

Anybody may ask for such mail, so it goes to an address once in ten minutes and five times a day at
most (tenants/limits.py), and the answer is the same whether there is an account or not.
"""

from datetime import timedelta
from typing import Final

from django.contrib.auth.tokens import default_token_generator
from django.core import signing
from django.db import transaction
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.http import urlsafe_base64_decode, urlsafe_base64_encode

from tenants import contacts
from tenants.errors import LinkGone
from tenants.limits import Kind, Verdict, count_attempt
from tenants.models import User
from tenants.services.account_mail import link, send

SIGN_UP_LIVES: Final = timedelta(days=1)
NEW_ADDRESS_LIVES: Final = timedelta(days=1)
_SIGN_UP: Final = "mxax.account.sign-up"
_NEW_ADDRESS: Final = "mxax.account.new-address"
_GONE: Final = "This link does not work any more: it was used, or it is too old."
_NOBODY_ASKED: Final = "If you did not ask for this, you need not do anything."


def ask_to_sign_up(*, address: str, client_ip: str | None) -> Verdict:
    """Mail a link that makes an account, or say by mail that there is one."""
    verdict = _may_write(address, client_ip)
    if not verdict.allowed or contacts.is_blocked(address):
        return verdict
    with transaction.atomic():
        if User.objects.filter(email=address).exists():
            send(
                address,
                "You have an account already",
                "Somebody, you perhaps, asked for an account with this address. There is one: "
                f"sign in at {link('/sign-in/')}",
                f"If you forgot its password, set a new one at {link('/password/')}",
                _NOBODY_ASKED,
            )
        else:
            send(
                address,
                "Finish your account",
                "Somebody, you perhaps, asked for an account with this address. Choose a password "
                "on this page within a day to have it:",
                link(f"/sign-up/{signing.dumps(address, salt=_SIGN_UP)}/"),
                _NOBODY_ASKED,
            )
    return verdict


def address_of_sign_up(token: str) -> str:
    """The address that the link was mailed to. Raises `LinkGone`."""
    address = _loads(token, _SIGN_UP, SIGN_UP_LIVES)
    if not isinstance(address, str):
        raise LinkGone(_GONE)
    return address


def ask_for_reset(*, address: str, client_ip: str | None) -> Verdict:
    """Mail a link that sets a new password, where there is an account."""
    verdict = _may_write(address, client_ip)
    if not verdict.allowed:
        return verdict
    with transaction.atomic():
        user = User.objects.filter(email=address, is_active=True).first()
        # Without an account the same work is done and taken back, so that it takes the same time.
        who = user or User(pk=0, email=address, password="")
        where = f"{urlsafe_base64_encode(str(who.pk).encode())}/"
        send(
            address,
            "Set a new password",
            "Somebody, you perhaps, wants to set a new password for your account. This page does "
            "it, within an hour:",
            link(f"/password/{where}{default_token_generator.make_token(who)}/"),
            "If you have a second factor, signing in asks for its code as before. " + _NOBODY_ASKED,
        )
        if user is None:
            transaction.set_rollback(True)
    return verdict


def user_of_reset(user_id: str, token: str, *, lock: bool = False) -> User | None:
    """Whose password the link may set; None where it works no more."""
    try:
        pk = int(urlsafe_base64_decode(user_id).decode("ascii"))
    except (ValueError, UnicodeDecodeError):
        return None
    if not 0 < pk < 2**63:
        return None
    users = User.objects.select_for_update() if lock else User.objects.all()
    user: User | None = users.filter(pk=pk, is_active=True).first()
    return user if default_token_generator.check_token(user, token) else None


def ask_for_new_address(*, user: User, address: str, client_ip: str | None) -> Verdict:
    """Mail a link to an address the person wants to sign in by; nothing where it is taken."""
    verdict = _may_write(address, client_ip)
    if not verdict.allowed or contacts.is_blocked(address):
        return verdict
    with transaction.atomic():
        if User.objects.filter(email=address).exists():
            send(
                address,
                "This address has an account already",
                "Somebody, you perhaps, wants to sign in to another account with this address. "
                "That cannot be while this one has it.",
                _NOBODY_ASKED,
            )
            return verdict
        value = {"user": user.pk, "email": address, "state": _state_of(user)}
        send(
            address,
            "Confirm your new address",
            "Somebody, you perhaps, wants to sign in with this address. Confirm it on this page "
            "within a day:",
            link(f"/account/address/{signing.dumps(value, salt=_NEW_ADDRESS)}/"),
            _NOBODY_ASKED,
        )
    return verdict


def new_address_of(user: User, token: str) -> str:
    """The address that the link was mailed to, for this person's account. Raises `LinkGone`."""
    value = _loads(token, _NEW_ADDRESS, NEW_ADDRESS_LIVES)
    if not isinstance(value, dict) or value.get("user") != user.pk:
        raise LinkGone(_GONE)
    if not constant_time_compare(str(value.get("state")), _state_of(user)):
        raise LinkGone(_GONE)
    return str(value["email"])


def _may_write(address: str, client_ip: str | None) -> Verdict:
    return count_attempt(Kind.ACCOUNT_MAIL, client_ip=client_ip, account=address)


def _loads(token: str, salt: str, lives: timedelta) -> object:
    try:
        return signing.loads(token, salt=salt, max_age=lives)
    except signing.BadSignature:
        raise LinkGone(_GONE) from None


def _state_of(user: User) -> str:
    return salted_hmac(_NEW_ADDRESS, f"{user.password} {user.email}").hexdigest()[:20]
