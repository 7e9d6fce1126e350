"""The settings of verification, scanning and connection hygiene; part of `Environment`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mail.dns_lists import ListZone, parse_list_zones
from mxax import setting_values as values
from mxax.declarations import setting
from mxax.setting_values import HostPort, Network


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
    held_max_octets: int = setting(
        "MXAX_HELD_MAX_OCTETS",
        values.parse_whole,
        "octets of a tenant in quarantine and for paused routes, beyond them 452 4.2.2; 0: endless",
        default="1000000000",
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
    smtp_proxies: tuple[Network, ...] | None = setting(
        "MXAX_SMTP_PROXIES",
        values.parse_networks_or_none,
        "peers that begin SMTP with the PROXY protocol; `none`",
        shown="those of MXAX_TRUSTED_PROXIES",
    )
    unlimited_clients: tuple[Network, ...] = setting(
        "MXAX_UNLIMITED_CLIENTS",
        values.parse_networks_or_none,
        "clients without rates, lists and greylisting; `none`",
        default="127.0.0.0/8,::1",
    )
    dns_block_lists: tuple[ListZone, ...] = setting(
        "MXAX_DNSBL",
        parse_list_zones,
        "`zone[=codes][*weight][,…]` lists in the DNS whose clients are refused",
        shown="none",
        unset=(),
    )
    dns_block_weight: int = setting(
        "MXAX_DNSBL_WEIGHT",
        values.parse_positive,
        "sum of weights from which on a client is refused",
        default="1",
    )
    dns_allow_lists: tuple[ListZone, ...] = setting(
        "MXAX_DNSWL",
        parse_list_zones,
        "`zone[=codes][,…]` lists whose clients skip MXAX_DNSBL and greylisting",
        shown="none",
        unset=(),
    )
    greeting_seconds: int = setting(
        "MXAX_GREETING_SECONDS",
        values.parse_whole,
        "seconds that the banner is held for clients that are listed or have no name; 0: none",
        default="0",
    )
    connections_per_minute: int = setting(
        "MXAX_CONNECTIONS_PER_MINUTE",
        values.parse_whole,
        "connections of one client in a minute, over all processes; 0: no limit",
        default="600",
    )
    messages_per_minute: int = setting(
        "MXAX_MESSAGES_PER_MINUTE",
        values.parse_whole,
        "messages of one client in a minute; 0: no limit",
        default="3000",
    )
    refused_per_minute: int = setting(
        "MXAX_REFUSED_PER_MINUTE",
        values.parse_whole,
        "recipients refused to one client in a minute; 0: no limit",
        default="100",
    )
    route_messages_per_minute: int = setting(
        "MXAX_ROUTE_MESSAGES_PER_MINUTE",
        values.parse_whole,
        "messages to one route in a minute; 0: no limit",
        default="600",
    )
    route_messages_per_hour: int = setting(
        "MXAX_ROUTE_MESSAGES_PER_HOUR",
        values.parse_whole,
        "messages to one route in an hour; 0: no limit",
        default="6000",
    )
    tenant_messages_per_minute: int = setting(
        "MXAX_TENANT_MESSAGES_PER_MINUTE",
        values.parse_whole,
        "messages to one tenant in a minute; 0: no limit",
        default="3000",
    )
    tenant_messages_per_hour: int = setting(
        "MXAX_TENANT_MESSAGES_PER_HOUR",
        values.parse_whole,
        "messages to one tenant in an hour; 0: no limit",
        default="30000",
    )
    refused_before_delay: int = setting(
        "MXAX_REFUSED_BEFORE_DELAY",
        values.parse_whole,
        "refused recipients of a session that are answered at once",
        default="5",
    )
    refused_delay_seconds: int = setting(
        "MXAX_REFUSED_DELAY_SECONDS",
        values.parse_whole,
        "seconds that each refused recipient takes from then on",
        default="1",
    )
