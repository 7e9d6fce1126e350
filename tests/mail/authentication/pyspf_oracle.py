"""pyspf over a DNS in memory: another reading of RFC 7208 to compare ours with."""

from __future__ import annotations

import spf

from tests.mail.authentication.spf_world import MemoryDns


class _Query(spf.query):
    """pyspf's evaluation; only its look-ups are ours."""

    def __init__(self, dns: MemoryDns, **identity: str) -> None:
        super().__init__(strict=True, **identity)
        self._memory = dns

    def dns(self, name, qtype, cnames=None, ignore_void=False):
        """The records in pyspf's shape; counts void look-ups (RFC 7208, 4.6.4)."""
        answer = self._memory.ask(name, qtype)
        if answer.failed:
            raise spf.TempError("DNS does not answer")
        if not answer.records and not ignore_void:
            self.void_lookups += 1
            if self.void_lookups > spf.MAX_VOID_LOOKUPS:
                raise spf.PermError("too many void look-ups")
        if qtype == "MX":
            return [(one.preference, one.exchange) for one in answer.records]
        return [(one,) if qtype == "TXT" else one for one in answer.records]


def pyspf_result(dns: MemoryDns, *, client_ip: str, helo: str, reverse_path: str) -> str:
    """The word of its result."""
    query = _Query(dns, i=client_ip, s=reverse_path, h=helo)
    try:
        return query.check()[0]
    except (AssertionError, ValueError, LookupError, UnicodeError):
        return "permerror"  # where it stumbles over a record
