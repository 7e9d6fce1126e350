"""What is known when a policy decides: frozen facts, read by selectors, judged by pure rules.

| value | made by | read by |
|---|---|---|
| `DomainSnapshot` | routing.selectors, cached by the edge | recipient rules, plan |
| `RecipientFacts` | smtp_edge, one a RCPT | mail.policy.recipient |
| `MessageFacts` | smtp_edge, one a DATA | mail.policy.message |
"""

from dataclasses import dataclass
from enum import Enum, Flag, IntEnum, auto
from typing import Final

from mail.address import Address
from mail.policy.trust import DEFAULT_TRUST, TrustPolicy
from mail.routes import Match, RouteTable


class DomainStanding(Enum):
    """Where a domain stands with us (DESIGN: claims and loss of proof)."""

    SERVED = "served"
    PENDING = "pending"
    """Claimed, the DNS proof not seen yet: 450."""
    FADING = "fading"
    """Proof lost for more than 72 hours: 450 for five days, then unknown."""


class TenantStanding(Enum):
    ACTIVE = "active"
    SUSPENDED = "suspended"
    """For other reasons than abuse: 450."""
    ABUSIVE = "abusive"
    """Suspended for abuse: 550."""


HELD_DAYS: Final = 7
"""A paused route that holds keeps its mail so long."""


class RouteMode(Enum):
    """What a route does with mail; the paused forms say how the client is answered."""

    ON = "on"
    REFUSE = "refuse"
    DEFER = "defer"
    DROP = "drop"
    HOLD = "hold"
    """Taken and kept until the route is on again, `HELD_DAYS` at most."""


class LogLevel(IntEnum):
    """How much of a message the tenant lets us write down; each level includes those before."""

    NOTHING = 0
    COUNTS = 1
    HASHED = 2
    """Metadata with addresses hashed."""
    METADATA = 3
    HEADERS = 4
    CONTENT = 5
    """Content is kept for mail that failed."""


class NeverKept(Flag):
    """What the tenant keeps for 0 days: it is not written down in the first place."""

    MESSAGES = auto()
    """Nothing of a message that was accepted; its refusals have days of their own."""
    REFUSALS = auto()
    ATTEMPTS = auto()
    """What became of a delivery is still said, but not how."""


ALL_KEPT: Final = NeverKept(0)


@dataclass(frozen=True, slots=True)
class RouteTarget:
    """One route as the edge needs it; `destinations` are the confirmed ones, wire form."""

    route_id: int
    pattern: str
    mode: RouteMode
    destinations: tuple[str, ...]
    unconfirmed: int = 0


@dataclass(frozen=True, slots=True)
class DomainSnapshot:
    """A hosted domain with all its routes at one moment."""

    name: str
    standing: DomainStanding
    tenant_id: int
    tenant_standing: TenantStanding
    owner_addresses: tuple[str, ...]
    """Where postmaster@ and abuse@ go when no route names them (RFC 5321, 4.5.1)."""
    routes: RouteTable[RouteTarget]
    forward_cap: int
    """Deliveries accepted in 24 hours before 450 4.7.1."""
    log_level: LogLevel = LogLevel.METADATA
    good_for_seconds: float | None = None
    """From the reading on: then the first of its routes comes to its end. None: none will."""
    never_kept: NeverKept = ALL_KEPT
    trust: TrustPolicy = DEFAULT_TRUST
    """Entries for other domains are left out."""

    @property
    def message_level(self) -> LogLevel:
        """How much of accepted mail may be written down."""
        return _less(self.log_level, LogLevel.COUNTS, NeverKept.MESSAGES in self.never_kept)

    @property
    def refusal_level(self) -> LogLevel:
        """How much of refused mail may be written down."""
        return _less(self.log_level, LogLevel.NOTHING, NeverKept.REFUSALS in self.never_kept)

    @property
    def keeps_attempts(self) -> bool:
        return NeverKept.ATTEMPTS not in self.never_kept


def _less(level: LogLevel, at_most: LogLevel, is_less: bool) -> LogLevel:
    return min(level, at_most) if is_less else level


class OwnName(Enum):
    """A recipient domain that is one of our own names."""

    SERVICE = "service"
    FORWARD = "forward"


@dataclass(frozen=True, slots=True)
class ReturnPath:
    """A recipient that is an address of ours in SRS form, decoded: where the return belongs."""

    reverse_path: str


class ReturnFault(Enum):
    """Why a recipient in SRS form is not one of ours."""

    FORGED = "forged"
    EXPIRED = "expired"
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True)
class RecipientFacts:
    """Everything the recipient rules may look at.

    `address` is None for a source route, an address literal or another form that is never relayed.
    `own_name` is set for our own names; then `snapshot` and `match` are None.
    """

    text: str
    reverse_path: str
    address: Address | None
    snapshot: DomainSnapshot | None = None
    match: Match[RouteTarget] | None = None
    own_name: OwnName | None = None
    operator_address: str = ""
    returned: ReturnPath | ReturnFault | None = None
    accepted_today: int = 0

    @classmethod
    def at_hosted(
        cls,
        text: str,
        reverse_path: str,
        address: Address,
        snapshot: DomainSnapshot,
        accepted_today: int,
    ) -> "RecipientFacts":
        """Those of a recipient at a domain that is hosted here."""
        return cls(
            text,
            reverse_path,
            address,
            snapshot=snapshot,
            match=snapshot.routes.match(address.local_part),
            accepted_today=accepted_today,
        )


@dataclass(frozen=True, slots=True)
class MessageFacts:
    """Everything the message rules may look at: read from the header block, never from the body."""

    reverse_path: str
    author_domains: tuple[str, ...] | None
    """Domains of every From, Sender and Resent-From address, as lower-case A-labels.

    None where there are more than anyone would read."""
    own_domains: tuple[str, ...]
    """Service and forward domain, and the domains above them where one is hosted here."""
    received_count: int
    header_octets: int
    size_octets: int
    carries_our_marker: bool
    has_return_recipient: bool
    is_automatic: bool
    """Auto-Submitted other than `no`, or multipart/report (RFC 3834; RFC 6522)."""
    from_count: int = 1
    begins_folded: bool = False
    """The first line begins with white space, as only the rest of a field does."""
