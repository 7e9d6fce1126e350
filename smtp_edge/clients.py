"""What one address may do at once, and how often it may guess.

Kept per process: with n edge processes on one port a client may have n times as much. The kernel
spreads connections over the processes, so the sum is bounded, if not exact; counts shared by all
processes come with the limiter in the database.
"""

import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable

from smtp_edge.limits import Limits

_MOST_REMEMBERED = 10_000
_MINUTE = 60.0


class Clients:
    """Open connections and bad return addresses, by IP address."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._open: Counter[str] = Counter()
        self._guesses: OrderedDict[str, deque[float]] = OrderedDict()

    def enter(self, ip: str) -> bool:
        """Count a connection; False when there are too many of this address already."""
        if self._open[ip] >= self._limits.client_connections:
            return False
        self._open[ip] += 1
        return True

    def leave(self, ip: str) -> None:
        self._open[ip] -= 1
        if self._open[ip] <= 0:
            del self._open[ip]

    def guessed(self, ip: str) -> bool:
        """Note a return address that we never made; True when it was one too many."""
        now = self._clock()
        guesses = self._guesses.setdefault(ip, deque())
        self._guesses.move_to_end(ip)
        if len(self._guesses) > _MOST_REMEMBERED:
            self._guesses.popitem(last=False)
        guesses.append(now)
        while guesses[0] < now - _MINUTE:
            guesses.popleft()
        return len(guesses) > self._limits.bad_returns_per_minute

    def guesses_too_much(self, ip: str) -> bool:
        """Whether the last minute of this address was over the limit."""
        guesses = self._guesses.get(ip)
        if guesses is None:
            return False
        earliest = self._clock() - _MINUTE
        return sum(at >= earliest for at in guesses) > self._limits.bad_returns_per_minute
