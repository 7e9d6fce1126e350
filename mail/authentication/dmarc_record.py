"""The DMARC record of a domain, read (RFC 9989, 4.7 and 4.8).

Only what begins with `v=DMARC1` is one. In what follows nothing is an error: a tag that cannot be
read counts as absent, one that nobody knows (`pct`, `rf` and `ri` of RFC 7489 too) is ignored, and
of a tag that comes twice the first is taken.
"""

import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final

from mail.authentication.values import DmarcPolicy

_MAX_CACHED_OCTETS: Final = 512
_WHITE: Final = b" \t"
_VERSION = re.compile(rb"[ \t]*+v[ \t]*+=[ \t]*+DMARC1[ \t]*+(?:;|\Z)", re.IGNORECASE)
_URI = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*+:[!-~]++")
_POLICIES: Final = {policy.value.encode(): policy for policy in DmarcPolicy}
_LOWER: Final = {
    DmarcPolicy.REJECT: DmarcPolicy.QUARANTINE,
    DmarcPolicy.QUARANTINE: DmarcPolicy.NONE,
    DmarcPolicy.NONE: DmarcPolicy.NONE,
}


class SuffixFlag(Enum):
    """psd=: what the name is at which the record stands."""

    PUBLIC_SUFFIX = "y"
    ORGANIZATIONAL = "n"
    UNSAID = "u"


@dataclass(frozen=True, slots=True)
class DmarcRecord:
    """What a record asks for. A policy of None is a tag that is absent or cannot be read."""

    policy: DmarcPolicy | None = None
    subdomain_policy: DmarcPolicy | None = None
    missing_policy: DmarcPolicy | None = None
    """np=: for sub-domains that do not exist."""
    has_broken_policy: bool = False
    """p= is absent or wrong, or sp= or np= is wrong (4.10.1)."""
    wants_reports: bool = False
    """rua= has an address that can be read."""
    suffix: SuffixFlag = SuffixFlag.UNSAID
    is_testing: bool = False
    strict_dkim: bool = False
    strict_spf: bool = False

    @property
    def applies(self) -> bool:
        """Whether it says what to do: a broken one does only if it wants reports (4.10.1)."""
        return not self.has_broken_policy or self.wants_reports

    @property
    def asks_for_missing_names(self) -> bool:
        """Whether it matters if a sub-domain exists."""
        return (
            not self.has_broken_policy
            and self.missing_policy is not None
            and self.missing_policy is not (self.subdomain_policy or self.policy)
        )

    def policy_for(self, *, is_subdomain: bool, exists: bool = True) -> DmarcPolicy:
        """What to do with mail of this name that fails, one step lower where t=y (4.7)."""
        asked: DmarcPolicy | None = self.policy
        if is_subdomain:
            asked = self.subdomain_policy or self.policy
            if not exists:
                asked = self.missing_policy or asked
        if asked is None or self.has_broken_policy:
            return DmarcPolicy.NONE
        return _LOWER[asked] if self.is_testing else asked


def read_record(octets: bytes) -> DmarcRecord | None:
    """The record in the joined strings of a TXT record, or None where it is something else."""
    version = _VERSION.match(octets)
    if version is None or b"DMARC1" not in version[0]:  # only the name of the tag is in any case
        return None
    return _cached(octets) if len(octets) <= _MAX_CACHED_OCTETS else _read(octets)


def _read(octets: bytes) -> DmarcRecord:
    tags: dict[bytes, bytes] = {}
    for tag in octets.split(b";")[1:]:
        name, equals, value = tag.partition(b"=")
        if equals:
            tags.setdefault(name.strip(_WHITE).lower(), value.strip(_WHITE).lower())
    policy, subdomain, missing = (_POLICIES.get(tags.get(name, b"")) for name in _POLICY_TAGS)
    broken = policy is None or any(
        found is None and name in tags for name, found in ((b"sp", subdomain), (b"np", missing))
    )
    return DmarcRecord(
        policy,
        subdomain,
        missing,
        has_broken_policy=broken,
        wants_reports=any(_URI.fullmatch(uri.strip(_WHITE)) for uri in _uris(tags)),
        suffix=_SUFFIXES.get(tags.get(b"psd", b""), SuffixFlag.UNSAID),
        is_testing=tags.get(b"t") == b"y",
        strict_dkim=tags.get(b"adkim") == b"s",
        strict_spf=tags.get(b"aspf") == b"s",
    )


_POLICY_TAGS: Final = (b"p", b"sp", b"np")
_SUFFIXES: Final = {flag.value.encode(): flag for flag in SuffixFlag}
_cached = lru_cache(maxsize=1024)(_read)  # the same records for all mail of a domain


def _uris(tags: dict[bytes, bytes]) -> list[bytes]:
    return tags.get(b"rua", b"").split(b",")
