"""The settings of verification, scanning and connection hygiene; part of `Environment`."""

from __future__ import annotations

from dataclasses import dataclass

from mxax import setting_values as values
from mxax.declarations import setting


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
