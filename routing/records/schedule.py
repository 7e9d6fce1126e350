"""When to look at a domain again: often while somebody is at it, seldom where all is well."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)
SETTING_UP: Final = (
    *(1 * MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 30 * MINUTE),
    *(1 * HOUR, 2 * HOUR, 6 * HOUR, 12 * HOUR, 24 * HOUR),
)
WORKING: Final = (1 * HOUR, 1 * HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR, 24 * HOUR)
BROKEN: Final = (5 * MINUTE, 5 * MINUTE, 10 * MINUTE, 20 * MINUTE, 30 * MINUTE, 1 * HOUR)
SET_UP_WITHIN: Final = timedelta(days=30)
SPREAD: Final = 20
"""Of a hundred: looks that began together drift apart by so much."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a domain stands. `unchanged_looks`: how many in a row have said the same."""

    is_verified: bool
    works: bool | None
    is_broken: bool
    has_waiting_keys: bool
    unchanged_looks: int
    claimed_at: datetime


def next_look(progress: Progress, now: datetime, *, seed: int) -> datetime | None:
    """When; None: not any more unless somebody asks. `seed` spreads domains over time."""
    if not progress.is_verified and now - progress.claimed_at > SET_UP_WITHIN:
        return None
    steps = _steps(progress)
    wait = steps[min(progress.unchanged_looks, len(steps) - 1)]
    return now + wait * (1 + seed % SPREAD / 100)


def _steps(progress: Progress) -> tuple[timedelta, ...]:
    if progress.is_broken:
        return BROKEN
    if progress.is_verified and progress.works and not progress.has_waiting_keys:
        return WORKING
    return SETTING_UP
