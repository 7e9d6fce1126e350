"""What a look at the DNS said about a proof: a closed set, so that nobody guesses."""

from dataclasses import dataclass
from enum import Enum


class ProofSeen(Enum):
    FOUND = "found"
    MISSING = "missing"
    """The name servers agree that the record is not there."""
    UNKNOWN = "unknown"
    """Timeout, SERVFAIL, or answers that differ: changes nothing."""


@dataclass(frozen=True, slots=True)
class ProofCheck:
    """One look; `detail` is a sentence for the owner."""

    seen: ProofSeen
    detail: str
