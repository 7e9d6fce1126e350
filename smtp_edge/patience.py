"""How long we wait for a client: pure arithmetic, asked by the sweeper once a second."""

from mail.reply import Reply
from smtp_edge import replies
from smtp_edge.limits import Limits


class Patience:
    """Times are the loop's. A whole command counts as a sign of life, a piece of one does not;
    inside DATA every octet does, but a transaction as a whole must not crawl.
    """

    __slots__ = ("_alive_at", "_began_at", "_limits", "_octets", "waiting")

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        self._alive_at = now
        self._began_at: float | None = None
        self._octets = 0
        self.waiting = True
        """Whether the next move is the client's."""

    def moved(self, now: float) -> None:
        self._alive_at = now

    def transaction_began(self, now: float) -> None:
        self._began_at, self._octets = now, 0

    def transaction_ended(self) -> None:
        self._began_at = None

    def received(self, octets: int, now: float) -> None:
        """Octets of DATA came."""
        self._alive_at = now
        self._octets += octets

    def is_over(self, now: float) -> Reply | None:
        """The farewell, when it is time for it."""
        if not self.waiting:
            return None
        if now - self._alive_at > self._limits.idle_seconds:
            return replies.IDLE
        if self._began_at is None or now - self._began_at < self._limits.transaction_seconds:
            return None
        rate = self._octets / (now - self._began_at)
        return replies.TOO_SLOW if rate < self._limits.slowest_octets_per_second else None
