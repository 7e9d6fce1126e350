"""The verdicts on one message, each with the reason that a person may read.

Results are the words of RFC 8601, 2.7. A reason is ours, plain text in one line: octets of a
stranger in it are printable ASCII and cut.
"""

from dataclasses import dataclass
from enum import Enum


class SpfResult(Enum):
    """RFC 7208, 2.6."""

    NONE = "none"
    NEUTRAL = "neutral"
    PASS = "pass"  # noqa: S105 - a result, no password
    FAIL = "fail"
    SOFTFAIL = "softfail"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


@dataclass(frozen=True, slots=True)
class SpfCheck:
    """One identity checked. `explanation` is the domain owner's text: never shown unescaped.

    `by_local_part` tells that a record looked at the local part, so that the result holds for this
    mailbox only and not for its whole domain.
    """

    result: SpfResult
    domain: str
    reason: str = ""
    explanation: str = ""
    by_local_part: bool = False


@dataclass(frozen=True, slots=True)
class SpfVerdict:
    """Both identities; for the null reverse-path `mail_from` is that of the HELO name (2.4)."""

    helo: SpfCheck
    mail_from: SpfCheck

    @property
    def passed(self) -> bool:
        """Whether the reverse-path was shown to be the client's to use."""
        return self.mail_from.result is SpfResult.PASS


class DkimResult(Enum):
    """RFC 8601, 2.7.1."""

    NONE = "none"
    NEUTRAL = "neutral"
    """Signed, but it says nothing that we can use: cannot be read, or `l=` leaves octets out."""
    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    POLICY = "policy"
    """Not acceptable to us, valid or not: SHA-1, an RSA key below 1024 bits (RFC 8301)."""
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


@dataclass(frozen=True, slots=True)
class DkimSignature:
    """One DKIM-Signature field. `domain` is d=, an A-label in lower case; "" where unreadable."""

    result: DkimResult
    domain: str
    selector: str = ""
    identity: str = ""
    """i=, or "@" and d= where there is none."""
    algorithm: str = ""
    signature_start: str = ""
    """The first eight characters of b=, which tell signatures apart (RFC 6008)."""
    reason: str = ""
    is_testing: bool = False
    """The key says t=y: to be treated like no signature (RFC 6376, 3.6.1), but shown."""

    @property
    def passed(self) -> bool:
        return self.result is DkimResult.PASS


class ArcResult(Enum):
    """The chain validation status (RFC 8617, 4.4), and what DNS that fails makes of it."""

    NONE = "none"
    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    TEMPERROR = "temperror"
    """A key could not be fetched: nothing is known, and we add no seal."""


@dataclass(frozen=True, slots=True)
class ArcSet:
    """One hop of a chain: who sealed it, and what he says he saw."""

    instance: int
    sealer: str
    """d= of the ARC-Seal, an A-label in lower case."""
    selector: str
    results: str
    """The ARC-Authentication-Results after its instance, unfolded, as the sealer wrote it."""


@dataclass(frozen=True, slots=True)
class ArcVerdict:
    """A whole chain. `sets` are in order of instance, empty where they cannot be told apart."""

    result: ArcResult
    sets: tuple[ArcSet, ...] = ()
    reason: str = ""
    highest_instance: int = 0

    @property
    def sealers(self) -> tuple[str, ...]:
        return tuple(one.sealer for one in self.sets)


class DmarcResult(Enum):
    """RFC 8601, 2.7 and RFC 9989."""

    NONE = "none"
    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


class DmarcPolicy(Enum):
    """What the owner of the author domain asks for (p=, sp=, np=; one lower where t=y)."""

    NONE = "none"
    QUARANTINE = "quarantine"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class DmarcVerdict:
    """The author domain's verdict. `policy` is the one that applies to this message."""

    result: DmarcResult
    author_domain: str = ""
    policy: DmarcPolicy = DmarcPolicy.NONE
    policy_domain: str = ""
    """Where the record was found."""
    organizational_domain: str = ""
    aligned_by: tuple[str, ...] = ()
    """`spf`, `dkim`: what passed and was aligned."""
    is_testing: bool = False
    """t=y: the owner only tries it out; `policy` is already the lower one."""
    reason: str = ""


class ClientNameResult(Enum):
    """Whether the client's address has a name that leads back to it (RFC 8601, 2.7.3: iprev)."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"
    """The address has no name at all."""


@dataclass(frozen=True, slots=True)
class ClientName:
    result: ClientNameResult
    name: str = ""


@dataclass(frozen=True, slots=True)
class Authentication:
    """Everything found about who sent and wrote one message.

    `dkim` has one entry for each signature that was looked at, the topmost first; it is empty where
    there is none.
    """

    client_ip: str
    helo: str
    reverse_path: str
    client_name: ClientName
    spf: SpfVerdict
    dkim: tuple[DkimSignature, ...]
    arc: ArcVerdict
    dmarc: DmarcVerdict
    skipped_signatures: int = 0
    """More than we look at."""
