"""Second factors: TOTP secrets sealed at rest, and codes that count once.

django-otp keeps the secret of a TOTP device in clear in its column `key`. Here that column holds
the sealed secret in base64 (53 octets, 72 of its 80 characters), bound to the person: `bin_key`,
through which django-otp reads it, opens it, and saving a device seals what is not sealed yet. A
copy of the table is worth nothing without the data key.

A person has one device that counts, and at most one more that waits for its first code.
"""

import base64
import binascii
from typing import Any, Final

from django.db import transaction
from django.db.models.signals import pre_save
from django_otp.plugins.otp_totp.models import TOTPDevice

from tenants.models import User
from tenants.vault import VaultError, vault

DIGITS: Final = 6
HEX_DIGITS: Final = frozenset("0123456789abcdef")


def install() -> None:
    """Make every TOTP device of this process a sealed one, whoever makes it."""
    TOTPDevice.bin_key = property(secret_of)
    pre_save.connect(_seal_before_saving, sender=TOTPDevice, dispatch_uid="mxax.sealed_totp")


def device_of(user: User, *, confirmed: bool = True) -> TOTPDevice | None:
    """The person's second factor, or the one that still waits for its first code."""
    found: TOTPDevice | None = TOTPDevice.objects.filter(user=user, confirmed=confirmed).first()
    return found


def check_code(user: User, code: str, *, confirmed: bool = True) -> TOTPDevice | None:
    """The device whose code this is: each counts once, and after wrong ones none for a while.

    Committed by itself, so that a wrong code is remembered whatever the caller does next.
    """
    if not (code.isascii() and code.isdigit() and len(code) == DIGITS):
        return None
    with transaction.atomic():
        # Locked: of two that come with the same code at the same time one is late.
        device = (
            TOTPDevice.objects.select_for_update().filter(user=user, confirmed=confirmed).first()
        )
        return device if device is not None and device.verify_token(code) else None


def secret_of(device: TOTPDevice) -> bytes:
    """The clear secret. Raises VaultError where no data key opens it."""
    if _is_clear(device.key):
        return bytes.fromhex(device.key)
    try:
        sealed = base64.b64decode(device.key, validate=True)
    except binascii.Error:
        raise VaultError("A TOTP secret is neither sealed nor in clear.") from None
    return vault().unseal(sealed, context=seal_context(device.user_id))


def printed_secret(device: TOTPDevice) -> str:
    """The secret as a person types it: base32."""
    return base64.b32encode(secret_of(device)).decode("ascii").rstrip("=")


def _seal_before_saving(instance: TOTPDevice, **_: Any) -> None:
    # django-otp gives a new device a clear key by a field default: there is no other place to
    # catch it than before its own save.
    if _is_clear(instance.key):
        sealed = vault().seal(bytes.fromhex(instance.key), context=seal_context(instance.user_id))
        instance.key = base64.b64encode(sealed).decode("ascii")


def _is_clear(key: str) -> bool:
    """Whether django-otp put it there: a sealed one ends with the `=` of base64."""
    return len(key) % 2 == 0 and set(key.lower()) <= HEX_DIGITS


def seal_context(user_id: int) -> bytes:
    """What a person's secret is bound to."""
    return b"totp of user %d" % user_id
