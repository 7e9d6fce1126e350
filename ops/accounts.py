"""What support sees of a person's account, and the three things it may do to one.

| call | for whom |
|---|---|
| `sign_out_everywhere` | who lost a browser and cannot sign in to end its session |
| `take_factor_away` | who lost authenticator and recovery codes |
| `let_try_again` | who waits because of too many attempts, his own or a stranger's |

Each wants a reason, which is written to the platform's audit with who did it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX as UNUSABLE
from django.db import transaction
from django.utils import timezone

from tenants.audit import Actor, record_platform
from tenants.context import public_schema
from tenants.errors import AccountRefused
from tenants.limits import Kind, account_wait_seconds, forget_attempts
from tenants.models import User, WebSession
from tenants.otp import device_of
from tenants.services.factors import recovery_codes_left, remove_factor
from tenants.services.signins import end_other_sessions

LIMITED: Final = {
    Kind.SIGN_IN: "signing in",
    Kind.SECOND_FACTOR: "typing a code",
    Kind.CONFIRM: "proving again who he is",
    Kind.ACCOUNT_MAIL: "asking for mail about the account",
}
"""What a person does, by the kind under which it is counted."""
LONGEST_REASON: Final = 200


@dataclass(frozen=True, slots=True)
class Wait:
    """Something that browsers the account does not know may not do for some seconds."""

    what: str
    seconds: int

    @property
    def minutes(self) -> int:
        return max(1, round(self.seconds / 60))


@dataclass(frozen=True, slots=True)
class AccountState:
    """How an account stands; nothing in it lets anybody in."""

    has_password: bool
    has_factor: bool
    recovery_codes: int
    sessions: int
    last_seen_at: datetime | None
    waits: tuple[Wait, ...]


def account_state(user: User) -> AccountState:
    """How a person's account stands now."""
    with public_schema():
        seen = list(
            WebSession.objects.filter(user=user)
            .order_by("-last_seen_at")
            .values_list("last_seen_at", flat=True)
        )
        return AccountState(
            has_password=_has_password(user),
            has_factor=device_of(user) is not None,
            recovery_codes=recovery_codes_left(user),
            sessions=len(seen),
            last_seen_at=seen[0] if seen else None,
            waits=_waits(user),
        )


def _has_password(user: User) -> bool:
    """The database says it: the hash is not read."""
    return User.objects.filter(pk=user.pk).exclude(password__startswith=UNUSABLE).exists()


def _waits(user: User) -> tuple[Wait, ...]:
    seconds = {kind: account_wait_seconds(kind, account=user.email) for kind in LIMITED}
    seconds[Kind.SECOND_FACTOR] = max(seconds[Kind.SECOND_FACTOR], _factor_wait_seconds(user))
    return tuple(Wait(LIMITED[kind], wait) for kind, wait in seconds.items() if wait)


def _factor_wait_seconds(user: User) -> int:
    """After wrong codes a factor itself takes none for a while (tenants/otp.py)."""
    device = device_of(user)
    if device is None:
        return 0
    is_open, why = device.verify_is_allowed()
    if is_open or not why or "locked_until" not in why:
        return 0
    return max(1, round((why["locked_until"] - timezone.now()).total_seconds()))


def sign_out_everywhere(*, user: User, reason: str, actor: Actor) -> int:
    """End every session of a person; gives how many there were. Raises `AccountRefused`."""
    why = _reason(reason)
    with transaction.atomic(), public_schema():
        ended = end_other_sessions(user=user)
        _record("support.signed_out", user, actor, why, sessions=ended)
    return ended


def take_factor_away(*, user: User, reason: str, actor: Actor) -> None:
    """Remove a person's second factor and recovery codes; he is told by mail and signed out.

    Raises `AccountRefused` where there is none, and for staff, whose factor an operator replaces.
    """
    why = _reason(reason)
    with transaction.atomic(), public_schema():
        if user.is_staff:
            raise AccountRefused(
                "A member of staff gets a new second factor by `manage.py staff otp`, not here."
            )
        if device_of(user) is None:
            raise AccountRefused(f"{user.email} has no second factor.")
        remove_factor(user=user, actor=actor, kept_session="")
        _record("support.factor_removed", user, actor, why)


def let_try_again(*, user: User, reason: str, actor: Actor) -> None:
    """Forget the attempts counted for an account. Raises `AccountRefused`.

    What is counted for a client or a network stays: it is not the account's.
    """
    why = _reason(reason)
    with transaction.atomic(), public_schema():
        waits = {wait.what: wait.seconds for wait in _waits(user)}
        for kind in LIMITED:
            forget_attempts(kind, account=user.email)
        device = device_of(user)
        if device is not None:
            device.throttle_reset()
        _record("support.attempts_forgotten", user, actor, why, waited_seconds=waits)


def _reason(text: str) -> str:
    reason = " ".join(text.split())[:LONGEST_REASON]
    if not reason:
        raise AccountRefused("Say why: it is written to the audit.")
    return reason


def _record(action: str, user: User, actor: Actor, reason: str, **new: object) -> None:
    record_platform(action, user.email, actor=actor, new={"reason": reason, **new})
