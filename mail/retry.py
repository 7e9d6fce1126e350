"""What follows an attempt: delivered, tried again at a time, or failed; and when a next hop rests.

    delay before attempt   2      3       4       5    6    then
                           5 min  15 min  30 min  1 h  2 h  4 h each      all ±10 %

A delivery lives five days, one of our own DSNs one day. When the next attempt would come after the
end of life, one last attempt is made at the end, and then it has failed with 5.4.7.

Clocks. `now` and `accepted_at` come from the database's clock, which may be stepped. Age is taken
with a tolerance: life ends 59 minutes late, so a clock that is up to 59 minutes fast ends nothing
early, and a failure is still told within an hour of the five days. A message from the future has
age zero, and no delay is ever counted from anything but `now`, so that a step never stores a time
further away than one delay.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

CLOCK_TOLERANCE: Final = timedelta(minutes=59)
_JITTER: Final = 0.1
_DELAYS: Final = tuple(timedelta(minutes=minutes) for minutes in (5, 15, 30, 60, 120))
_LONGEST_DELAY: Final = timedelta(hours=4)
_SHORTEST_DELAY: Final = timedelta(minutes=1)
# RFC 3463: 3.4 and 2.3 (too large), all of 6 (content) and of 7 (security and policy).
_ABOUT_MESSAGE: Final = ("2.3", "3.4", "6.", "7.")
_PAUSES: Final = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15))


class Lifetime(Enum):
    """How long a delivery is tried."""

    MAIL = timedelta(days=5)
    OWN_DSN = timedelta(days=1)


class OutcomeClass(Enum):
    """What an attempt came to, whoever said it (RFC 5321, 4.2.1)."""

    SUCCESS = 2
    TRANSIENT = 4
    PERMANENT = 5


class DeliveryState(Enum):
    """Where a delivery stands after an attempt."""

    DELIVERED = "delivered"
    DEFERRED = "deferred"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class NextStep:
    """The decision; `next_attempt_at` only when deferred, `reason` an enhanced code or ""."""

    state: DeliveryState
    next_attempt_at: datetime | None = None
    reason: str = ""


def next_step(
    outcome: OutcomeClass,
    *,
    accepted_at: datetime,
    attempts: int,
    now: datetime,
    jitter: float,
    lifetime: Lifetime = Lifetime.MAIL,
    reason: str = "",
) -> NextStep:
    """What follows the attempt that just ended, the `attempts`-th (from 1).

    `jitter` is a random number in [-1, 1]; `reason` the enhanced code of the attempt, kept when it
    decides. Raises ValueError for another jitter or no attempt.
    """
    if outcome is OutcomeClass.SUCCESS:
        return NextStep(DeliveryState.DELIVERED, reason=reason)
    if outcome is OutcomeClass.PERMANENT:
        return NextStep(DeliveryState.FAILED, reason=reason)
    end = end_of_life(accepted_at, lifetime)
    if now >= end:
        return NextStep(DeliveryState.FAILED, reason="5.4.7")  # RFC 3463, 3.5: time expired
    return NextStep(DeliveryState.DEFERRED, _next_attempt(now, end, attempts, jitter), reason)


def end_of_life(accepted_at: datetime, lifetime: Lifetime = Lifetime.MAIL) -> datetime:
    """When the last attempt is made."""
    return accepted_at + lifetime.value + CLOCK_TOLERANCE


def delay_after(attempts: int, jitter: float) -> timedelta:
    """The time to wait after the `attempts`-th attempt (from 1)."""
    if attempts < 1 or not -1 <= jitter <= 1:
        raise ValueError("attempts count from 1, jitter lies in [-1, 1]")
    delay = _DELAYS[attempts - 1] if attempts <= len(_DELAYS) else _LONGEST_DELAY
    return delay * (1 + _JITTER * jitter)


def _next_attempt(now: datetime, end: datetime, attempts: int, jitter: float) -> datetime:
    regular = now + delay_after(attempts, jitter)
    # Seconds before its end a delivery still waits a minute, lest the last attempt be the same one.
    return regular if regular <= end else max(end, now + _SHORTEST_DELAY)


@dataclass(frozen=True, slots=True)
class NextHopPause:
    """A breaker for one next hop: rests 1, 5, 15 minutes after connect failures and 421.

    Twenty connections that fail together count once: a failure during a pause changes nothing.
    After a pause one failure is enough for the next, longer one; a success forgets all.
    """

    failures: int = 0
    closed_until: datetime | None = None

    def is_closed(self, now: datetime) -> bool:
        """Whether nothing may be sent there now."""
        # A pause that ends later than a pause can last was set by a clock that has gone back.
        until = self.closed_until
        return until is not None and now < until <= now + _PAUSES[-1]

    def failed(self, now: datetime) -> "NextHopPause":
        """After a connection that could not be made, or 421 to anything."""
        if self.is_closed(now):
            return self
        pause = _PAUSES[min(self.failures, len(_PAUSES) - 1)]
        return NextHopPause(self.failures + 1, now + pause)

    def succeeded(self) -> "NextHopPause":
        """After any session that came to an ordinary reply."""
        return NextHopPause()


def is_about_message(enhanced: str) -> bool:
    """Whether a status speaks of what the message is, not of the mailbox it was for (RFC 3463).

    A stranger can cause such refusals at will, so they say nothing of a route.
    """
    return enhanced[2:].startswith(_ABOUT_MESSAGE)
