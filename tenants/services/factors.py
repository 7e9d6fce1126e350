"""Second factors of people: setting one up, recovery codes, taking it away.

    begin_factor -> a secret to scan    confirm_factor(its first code) -> recovery codes, once

What changes a factor ends the person's other sessions, is written to the audit and told by mail.

A factor opens the admin sites to staff, so staff get their first one from an operator (`enrol`) and
keep one: a password, or a mailbox that resets it, is not enough to become support.
"""

import base64
import hashlib
import hmac
import secrets
from typing import Final

from django.db import transaction
from django.utils import timezone
from django_otp.plugins.otp_totp.models import TOTPDevice

from tenants.audit import Actor, record_platform
from tenants.errors import AccountRefused, WrongCode
from tenants.lasting import lasting_key
from tenants.models import RecoveryCode, User
from tenants.otp import check_code, device_of
from tenants.services.account_mail import tell
from tenants.services.signins import end_other_sessions

RECOVERY_CODES: Final = 10
FEW_CODES: Final = 3
"""From here on the person is told to make new ones."""
_CODE_OCTETS: Final = 10  # 80 bits: 16 letters and digits of base32
_NAME: Final = "authenticator"
_BY_AN_OPERATOR: Final = (
    "This account belongs to staff: an operator makes its second factor (`manage.py staff otp`)."
)


def enrol(*, user: User, actor: Actor | str) -> TOTPDevice:
    """A factor at once, in place of those before: for staff, who get it from an operator.

    `config_url` shows the secret.
    """
    with transaction.atomic():
        old, _ = TOTPDevice.objects.filter(user=user).delete()
        device = TOTPDevice.objects.create(user=user, name=_NAME, confirmed=True)
        RecoveryCode.objects.filter(user=user).delete()
        record_platform("staff.otp", user.email, actor=actor, new={"replaced": bool(old)})
    return device


def begin_factor(*, user: User) -> TOTPDevice:
    """A new secret that counts from its first code on; until then the old factor stays.

    Raises `AccountRefused` for staff without a factor.
    """
    with transaction.atomic():
        _refuse_staff_without_factor(User.objects.select_for_update().get(pk=user.pk))
        TOTPDevice.objects.filter(user=user, confirmed=False).delete()
        return TOTPDevice.objects.create(user=user, name=_NAME, confirmed=False)


def confirm_factor(*, user: User, code: str, actor: Actor, kept_session: str) -> tuple[str, ...]:
    """Make the waiting secret the person's factor; gives new recovery codes.

    Raises `WrongCode`; `AccountRefused` for staff without a factor.
    """
    _refuse_staff_without_factor(user)
    device = check_code(user, code, confirmed=False)
    if device is None:
        raise WrongCode(
            "This code is not right. Type the six digits that the authenticator shows now; check "
            "that the clock of its device is right."
        )
    with transaction.atomic():
        replaced, _ = TOTPDevice.objects.filter(user=user).exclude(pk=device.pk).delete()
        device.confirmed = True
        device.save(update_fields=["confirmed"])
        codes = _new_codes(user)
        end_other_sessions(user=user, kept_session=kept_session)
        record_platform("account.factor", user.email, actor=actor, new={"replaced": bool(replaced)})
        tell(
            user.email,
            "Your second factor was set up",
            "From now on signing in asks for a code of the authenticator that was set up just now. "
            "An authenticator from before does not work any more.",
        )
    return codes


def remove_factor(*, user: User, actor: Actor, kept_session: str) -> None:
    """Take factor and recovery codes away; the password alone signs in from now on.

    Raises `AccountRefused` for staff.
    """
    if user.is_staff:
        raise AccountRefused(_BY_AN_OPERATOR)
    with transaction.atomic():
        removed, _ = TOTPDevice.objects.filter(user=user).delete()
        if not removed:
            return
        RecoveryCode.objects.filter(user=user).delete()
        end_other_sessions(user=user, kept_session=kept_session)
        record_platform("account.factor_removed", user.email, actor=actor)
        tell(
            user.email,
            "Your second factor was removed",
            "From now on signing in asks for the password alone.",
        )


def _refuse_staff_without_factor(user: User) -> None:
    if user.is_staff and device_of(user) is None:
        raise AccountRefused(_BY_AN_OPERATOR)


def renew_recovery_codes(*, user: User, actor: Actor) -> tuple[str, ...]:
    """New codes in place of all before, to be shown once."""
    with transaction.atomic():
        codes = _new_codes(user)
        record_platform("account.recovery_codes", user.email, actor=actor)
        tell(
            user.email,
            "New recovery codes were made",
            "The recovery codes from before do not work any more.",
        )
    return codes


def use_recovery_code(*, user: User, code: str, actor: Actor) -> bool:
    """Whether this is a code of the person's that was not used yet; it is used now."""
    with transaction.atomic():
        unused = RecoveryCode.objects.filter(user=user, used_at=None)
        if not unused.filter(digest=_digest(user, code)).update(used_at=timezone.now()):
            return False
        left = unused.count()
        record_platform("account.recovery_code_used", user.email, actor=actor, new={"left": left})
        tell(
            user.email,
            "A recovery code was used",
            f"One of your recovery codes was used in place of a code of your authenticator. "
            f"{left} of them {'is' if left == 1 else 'are'} left.",
        )
    return True


def recovery_codes_left(user: User) -> int:
    """How many can still be used."""
    return RecoveryCode.objects.filter(user=user, used_at=None).count()


def _new_codes(user: User) -> tuple[str, ...]:
    codes = tuple(_printed(secrets.token_bytes(_CODE_OCTETS)) for _ in range(RECOVERY_CODES))
    RecoveryCode.objects.filter(user=user).delete()
    now = timezone.now()
    RecoveryCode.objects.bulk_create(
        RecoveryCode(user=user, digest=_digest(user, code), created_at=now) for code in codes
    )
    return codes


def _printed(octets: bytes) -> str:
    text = base64.b32encode(octets).decode("ascii").lower()
    return "-".join(text[at : at + 4] for at in range(0, len(text), 4))


def _digest(user: User, code: str) -> bytes:
    # Codes are random and long: a keyed digest is enough, and a copy of the table is not.
    plain = "".join(code.split()).replace("-", "").casefold()
    text = f"{user.pk} {plain}".encode(errors="surrogatepass")
    return hmac.digest(lasting_key("recovery codes"), text, hashlib.sha256)
