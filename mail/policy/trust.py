"""What one tenant does with mail by what is known of who wrote it: the values.

`TrustPolicy` is the tenant's choice, part of his domains' snapshots; `TrustFacts` is one message
for one recipient; `TrustJudgement` what follows, with the trail of rules asked.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from types import MappingProxyType

from mail.authentication.values import Authentication
from mail.reply import Reply
from mail.scanning import ScanResult


class Action(Enum):
    """What becomes of the message for one recipient."""

    ACCEPT = "accept"
    QUARANTINE = "quarantine"
    """Kept back for people to look at, encrypted; its author is told nothing."""
    REFUSE = "refuse"
    """Answered 5yz, where that is right for all recipients; else it becomes QUARANTINE."""
    DEFER = "defer"
    """Answered 4yz: what is needed to judge it cannot be asked now."""


class OnQuarantine(Enum):
    """What to do where the author domain asks for quarantine."""

    FORWARD = "forward"
    HOLD = "hold"


class ListKind(Enum):
    ALLOW = "allow"
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class ListEntry:
    """An address, domain (`.example.org`: and all below it) or network that is let in or kept out.

    Of the tenant; of one domain where `domain` is set; of one route where `route_id` is.
    """

    entry_id: int
    kind: ListKind
    subject: str
    domain: str = ""
    route_id: int | None = None
    expires_at: datetime | None = None


class OnScannerAway(Enum):
    ACCEPT = "accept"
    DEFER = "defer"


@dataclass(frozen=True, slots=True)
class ScoreLimits:
    """What follows from which score of one scanner on, in its own units. None: never."""

    add_fields_from: float | None = None
    quarantine_from: float | None = None
    refuse_from: float | None = None


RSPAMD_LIMITS = ScoreLimits(add_fields_from=6, refuse_from=15)
"""Its own actions "add header" and "reject", as delivered."""
SPAMD_LIMITS = ScoreLimits(add_fields_from=5, refuse_from=15)
"""Its required_score as delivered, and where its users let their servers refuse."""
NO_LIMITS = ScoreLimits()


@dataclass(frozen=True, slots=True)
class ScanPolicy:
    """What follows from scanners; their scales have nothing to do with each other."""

    rspamd: ScoreLimits = RSPAMD_LIMITS
    spamd: ScoreLimits = SPAMD_LIMITS
    refuses_viruses: bool = True
    when_away: OnScannerAway = OnScannerAway.ACCEPT

    def limits_of(self, scanner: str) -> ScoreLimits:
        """Those for the scanner that a result names; none for one without scores."""
        return {"rspamd": self.rspamd, "spamd": self.spamd}.get(scanner, NO_LIMITS)


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """One tenant's choice; the defaults are everybody's who chose nothing."""

    refuses_dmarc_reject: bool = True
    on_dmarc_quarantine: OnQuarantine = OnQuarantine.FORWARD
    trusted_sealers: tuple[str, ...] = ()
    """The tenant's and the operator's: A-labels in lower case."""
    entries: tuple[ListEntry, ...] = ()
    greylists: bool = False
    scanning: ScanPolicy = field(default_factory=ScanPolicy)
    quarantine_days: int = 14
    """How long mail is kept back for people to look at."""
    by_subject: Mapping[str, tuple[ListEntry, ...]] = field(init=False, repr=False, compare=False)
    """The entries again, found without going through a thousand of them for each message."""
    of_networks: tuple[ListEntry, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        found: dict[str, tuple[ListEntry, ...]] = {}
        for one in self.entries:
            found[one.subject] = (*found.get(one.subject, ()), one)
        networks = tuple(one for one in self.entries if "/" in one.subject)
        object.__setattr__(self, "by_subject", MappingProxyType(found))
        object.__setattr__(self, "of_networks", networks)


DEFAULT_TRUST = TrustPolicy()


@dataclass(frozen=True, slots=True)
class TrustFacts:
    """One message for one recipient: all that the rules may look at.

    `authentication` is None where verification is switched off. `author_domains` is what
    `MessageFacts` has; `author_addresses` the addr-specs of the From fields as far as they read.
    """

    policy: TrustPolicy
    authentication: Authentication | None
    client_ip: str
    reverse_path: str
    author_addresses: tuple[str, ...]
    author_domains: tuple[str, ...]
    from_count: int
    recipient_domain: str
    route_id: int | None
    now: datetime
    author_is_hosted: bool = False
    """An author domain belongs to one of our tenants."""
    scans: tuple[ScanResult, ...] = ()


@dataclass(frozen=True, slots=True)
class TrustJudgement:
    """What follows for one recipient. `reason` is exact and for the tenant, `reply` is public."""

    action: Action
    rule: str
    reason: str
    trail: tuple[str, ...]
    reply: Reply | None = None
    """Set for REFUSE and DEFER."""
    adds_fields: bool = False
    """The scanners' scores are said in the header."""
