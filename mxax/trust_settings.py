"""The settings of verification, scanning and connection hygiene; part of `Environment`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mxax import setting_values as values
from mxax.declarations import setting
from mxax.setting_values import HostPort


@dataclass(frozen=True, kw_only=True, slots=True)
class TrustSettings:
    """How far mail is trusted; docs/trust.md, docs/edge.md and docs/scanning.md say more."""

    verify: bool = setting(
        "MXAX_VERIFY",
        values.parse_bool,
        "SPF, DKIM, ARC and DMARC of incoming mail are verified before it is taken",
        default="on",
    )
    arc: bool = setting(
        "MXAX_ARC",
        values.parse_bool,
        "forwarded mail is sealed (ARC), so that receivers may keep the author's verdict",
        default="on",
    )
    trusted_sealers: tuple[str, ...] = setting(
        "MXAX_TRUSTED_SEALERS",
        values.parse_domains,
        "domains whose ARC seals may override a DMARC failure, for all tenants",
        shown="none",
        unset=(),
    )
    rspamd: tuple[HostPort | Path, ...] = setting(
        "MXAX_RSPAMD",
        values.parse_scanners,
        "rspamd: `host:port` or the path of a socket, several after commas",
        shown="none",
        unset=(),
    )
    rspamd_password: str = setting(
        "MXAX_RSPAMD_PASSWORD",
        str,
        "what rspamd's worker asks for",
        shown="none",
        unset="",
        secret=True,
    )
    spamd: tuple[HostPort | Path, ...] = setting(
        "MXAX_SPAMD",
        values.parse_scanners,
        "SpamAssassin's spamd, likewise",
        shown="none",
        unset=(),
    )
    clamd: tuple[HostPort | Path, ...] = setting(
        "MXAX_CLAMD",
        values.parse_scanners,
        "ClamAV's clamd, likewise",
        shown="none",
        unset=(),
    )
    scan_seconds: int = setting(
        "MXAX_SCAN_SECONDS",
        values.parse_positive,
        "how long scanners may take for one message",
        default="10",
    )
    scan_max_octets: int = setting(
        "MXAX_SCAN_MAX_OCTETS",
        values.parse_positive,
        "larger messages are not scanned",
        default="10000000",
    )
    checks: tuple[str, ...] = setting(
        "MXAX_CHECKS",
        values.parse_dotted_paths,
        "dotted paths of checks of your own (docs/extending.md)",
        shown="none",
        unset=(),
    )
    rules: tuple[str, ...] = setting(
        "MXAX_RULES",
        values.parse_dotted_paths,
        "dotted paths of rules of your own",
        shown="none",
        unset=(),
    )
