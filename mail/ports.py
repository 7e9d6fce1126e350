"""What packages need of each other without importing each other; bound in mxax/wiring.py.

delivery and routing are siblings: neither imports the other. A Protocol here names what one needs
of the other, in words of the mail domain.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

FAILURES_THAT_PAUSE: Final = 12
"""So many failed deliveries of a route's mail within a day, and the route is paused."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Mail of our own making: account mail, confirmation mail, later DSNs.

    `octets` is a whole RFC 5322 message; Date, Message-ID and signature are added by delivery;
    `reverse_path` "" for all that is made by a program (RFC 3834, 3.3; RFC 3464 for a DSN).
    """

    recipient: str
    octets: bytes
    reverse_path: str = ""


class NoticeSender(Protocol):
    """Queues mail of our own making; the caller's transaction decides whether it goes."""

    def send_notice(self, notice: Notice, *, tenant_id: int | None) -> UUID:
        """Gives the trace id."""
        ...


@dataclass(frozen=True, slots=True)
class FailingRoute:
    """A route whose mail failed `FAILURES_THAT_PAUSE` times within a day, `began_at` the first."""

    route_id: int
    began_at: datetime


class RouteGuard(Protocol):
    """Pauses routes whose mail fails again and again; calling twice does no harm."""

    def pause_failing(self, failing: Sequence[FailingRoute], *, tenant_id: int) -> None: ...


class HeldMail(Protocol):
    """Mail that waits because its route is paused; the caller's transaction decides."""

    def release_routes(self, route_ids: Collection[int], *, tenant_id: int) -> int:
        """Let go what waits for these routes, which are on again; gives how many deliveries."""
        ...

    def drop_destination(self, address: str, *, tenant_id: int) -> int:
        """Delete what is held for an address whose owner wants no more mail; gives how many."""
        ...


@dataclass(frozen=True, slots=True)
class EndingMail:
    """So many messages that wait for a route are deleted within a day, the first `first_at`."""

    route_id: int
    messages: int
    first_at: datetime


class RouteStates(Protocol):
    """Says how routes stand, to who keeps mail for them, and hears what becomes of it."""

    def routes_on(self, route_ids: Collection[int], *, tenant_id: int) -> frozenset[int]:
        """Those of these routes that are on; one in the trash is not."""
        ...

    def mail_ends(self, ending: Sequence[EndingMail], *, tenant_id: int) -> int:
        """Tell the owners who do not know yet; gives of how many routes. Calling twice is once."""
        ...


class QuarantineWishes(Protocol):
    """What a tenant chose for his quarantine."""

    def wants_digest(self, *, tenant_id: int) -> bool: ...
