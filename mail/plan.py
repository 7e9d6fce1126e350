"""What is to be kept and sent: the plan that acceptance fixes, before anything is stored.

One SMTP transaction with recipients of n tenants becomes n messages with n contents, so that
encryption, erasure and Bcc privacy stay simple. Where the mail goes is fixed here; signatures are
made at the attempt.
"""

from dataclasses import dataclass
from enum import Enum
from uuid import UUID

from mail.facts import LogLevel
from mail.opaque import OpaqueRow


class Direction(Enum):
    FORWARD = "forward"
    RETURN = "return"
    SEND = "send"
    NOTICE = "notice"


@dataclass(frozen=True, slots=True)
class PlannedDelivery:
    """One destination: `recipient` is what the author wrote, `destination` where it goes."""

    recipient: str
    destination: str
    route_id: int | None = None


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
    """SPF passed for the reverse-path: its owner may be told when delivery fails."""
