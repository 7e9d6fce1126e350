"""Whether a person proved lately who he is: asked before factors, keys, roles and deletions."""

import time
from typing import Final

from django.http import HttpRequest

SESSION_KEY: Final = "confirmed_at"
RECENT_SECONDS: Final = 15 * 60


def is_recent(request: HttpRequest) -> bool:
    """Whether the password or a code was typed in this session within 15 minutes."""
    at = request.session.get(SESSION_KEY)
    return isinstance(at, int | float) and 0 <= time.time() - at < RECENT_SECONDS


def mark_recent(request: HttpRequest) -> None:
    """The person has just proved who he is."""
    request.session[SESSION_KEY] = int(time.time())
