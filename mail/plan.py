"""What is to be kept and sent: the plan that acceptance fixes, before anything is stored.

One SMTP transaction with recipients of n tenants becomes n messages with n contents, so that
encryption, erasure and Bcc privacy stay simple. Where the mail goes is fixed here; signatures are
made at the attempt.
"""

from dataclasses import dataclass
from enum import Enum, IntEnum
from uuid import UUID

from mail.authentication.values import ArcResult
from mail.facts import LogLevel
from mail.opaque import OpaqueRow


class Direction(Enum):
    FORWARD = "forward"
    RETURN = "return"
    SEND = "send"
    NOTICE = "notice"


class Hold(IntEnum):
    """Who keeps a delivery back, and so may let it go."""

    NONE = 0
    OPERATOR = 1
    TENANT = 2
    SUSPECT = 3
    """Attempts at it killed their workers: an operator looks at it."""
    ROUTE = 4
    """Its route is paused and holds; goes when the route is on again."""
    QUARANTINE = 5
    """A policy of the tenant does not trust it: a member releases or deletes it."""


@dataclass(frozen=True, slots=True)
class PlannedDelivery:
    """One destination: `recipient` is what the author wrote, `destination` where it goes.

    A `hold` keeps it back from the first moment; `hold_days` later it is deleted.
    """

    recipient: str
    destination: str
    route_id: int | None = None
    hold: Hold = Hold.NONE
    hold_reason: str = ""
    hold_days: int = 0


@dataclass(frozen=True, slots=True)
class PlannedMessage:
    """One message of one tenant, ready to be kept; `tenant_id` None is mail of the service itself.

    `outgoing_path` is the reverse-path going out (SRS is made); `opaque` the row that it needs.
    `header_octets` is the length of the stored header block, the blank line excluded.
    """

    trace_id: UUID
    tenant_id: int | None
    direction: Direction
    reverse_path: str
    outgoing_path: str
    client_ip: str
    helo: str
    protocol: str
    tls: str
    size_octets: int
    header_octets: int
    smtputf8: bool
    eight_bit: bool
    log_level: LogLevel
    deliveries: tuple[PlannedDelivery, ...]
    opaque: OpaqueRow | None = None
    subject: str = ""
    author: str = ""
    trail: tuple[str, ...] = ()
    keeps_attempts: bool = True
    """Whether attempts may be written down."""
    authenticated: bool = False
    """The reverse-path is authentic: its owner may be told when delivery fails."""
    our_fields: str = ""
    """Header fields to be put before the octets at each attempt, CRLF-ended, ASCII."""
    found: tuple[tuple[str, str], ...] = ()
    """What was found of who wrote it, for the tenant's log (mail/policy/trust_findings.py)."""
    chain: ArcResult | None = None
    """How the chain of seals stood when it came in; None: not looked at, and not to be sealed."""
