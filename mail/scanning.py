"""What scanners say of a message: values that the policy judges and the log shows.

A scanner gets the octets piece by piece while they come in and gives one `ScanResult`. `ScanFacts`
are those of all scanners that were asked.
"""

from dataclasses import dataclass
from enum import Enum


class ScanOutcome(Enum):
    CLEAN = "clean"
    SPAM = "spam"
    """Above the scanner's own threshold; what follows is by score, and the tenant's choice."""
    VIRUS = "virus"
    FAILED = "failed"
    """No scanner of the kind answered in time: fail open or defer, as the tenant chose."""
    SKIPPED = "skipped"
    """Not asked: the message is larger than the scanner is given."""


@dataclass(frozen=True, slots=True)
class ScanResult:
    """One scanner's word. `score` and `threshold` are its own units; `names` what it found."""

    scanner: str
    """rspamd, spamd, clamd, or the name of an installation's own."""
    outcome: ScanOutcome
    score: float = 0.0
    threshold: float = 0.0
    names: tuple[str, ...] = ()
    """Symbols, rules or signatures: printable ASCII, at most fifty."""
    reason: str = ""
    seconds: float = 0.0
