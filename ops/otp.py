"""Second factors: TOTP secrets sealed at rest, and enrolling by command.

django-otp keeps the secret of a TOTP device in clear in its column `key`. Here that column holds
the sealed secret in base64 (53 octets, 72 of its 80 characters), bound to the person: `bin_key`,
through which django-otp reads it, opens it, and saving a device seals what is not sealed yet. A
copy of the table is worth nothing without the data key.
"""

import base64
import binascii
from typing import Any, Final

from django.db import transaction
from django.db.models.signals import pre_save
from django_otp.plugins.otp_totp.models import TOTPDevice

from tenants.audit import Actor, record_platform
from tenants.models import User
from tenants.vault import VaultError, vault

HEX_DIGITS: Final = frozenset("0123456789abcdef")


def install() -> None:
    """Make every TOTP device of this process a sealed one, whoever makes it."""
    TOTPDevice.bin_key = property(secret_of)
    pre_save.connect(_seal_before_saving, sender=TOTPDevice, dispatch_uid="mxax.sealed_totp")


def enrol(*, user: User, actor: Actor | str) -> TOTPDevice:
    """A new secret for a person, in place of the ones before; `config_url` shows it once."""
    with transaction.atomic():
        old, _ = TOTPDevice.objects.filter(user=user).delete()
        device = TOTPDevice.objects.create(user=user, name="authenticator", confirmed=True)
        record_platform("staff.otp", user.email, actor=actor, new={"replaced": bool(old)})
    return device


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
