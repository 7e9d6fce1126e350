"""The doorkeeper of a process and its limits, as the installation's settings make them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

import structlog
from dns.exception import DNSException

from delivery.lookups import resolver_from_settings
from mail.envelope import Envelope
from mail.lookups import Lookup
from mxax.env import Environment
from smtp_edge.clients import Network
from smtp_edge.database_threads import DatabaseThreads
from smtp_edge.dns_lists import DnsLists
from smtp_edge.doorkeeper import Doorkeeper
from smtp_edge.greylist import Greylist
from smtp_edge.limits import Limits
from smtp_edge.ports import Reporter
from smtp_edge.shared_counts import Counts, SharedCounts
from smtp_edge.verification import DnsVerifier, Verifier
from tenants.vault import derived_key

log = structlog.get_logger()

_SPF_SECONDS: Final = 1.0

# Settings that are limits, by the same name in both.
_NUMBERS = (
    "greeting_seconds",
    "refused_before_delay",
    "refused_delay_seconds",
    "connections_per_minute",
    "messages_per_minute",
    "refused_per_minute",
    "route_messages_per_minute",
    "route_messages_per_hour",
    "tenant_messages_per_minute",
    "tenant_messages_per_hour",
)


def hygienic(limits: Limits, env: Environment) -> Limits:
    """The limits with what the operator set of rates, delays and the greeting."""
    return replace(limits, **{name: getattr(env, name) for name in _NUMBERS})


def shared_counts() -> SharedCounts:
    """The counts of this process; their thread begins at once."""
    return SharedCounts(derived_key("edge counts"))


def doorkeeper(
    env: Environment,
    limits: Limits,
    *,
    counts: Counts,
    threads: DatabaseThreads,
    reporter: Reporter,
    verifier: Verifier,
) -> Doorkeeper:
    """The doorkeeper of one event loop. Lists are asked also where nothing is verified."""
    blocks, allows = env.dns_block_lists, env.dns_allow_lists
    asks = bool(blocks or allows or limits.greeting_seconds)
    lookup = _lookup(verifier) if asks else None
    return Doorkeeper(
        limits,
        counts=counts,
        lists=DnsLists(lookup, blocks=blocks, allows=allows) if lookup is not None else None,
        lookup=lookup,
        greylist=Greylist(threads, derived_key("greylist"), _spf_of(verifier)),
        reporter=reporter,
        unlimited=(*env.unlimited_clients, *env.trusted_proxies),
        list_weight=env.dns_block_weight,
    )


def _lookup(verifier: Verifier) -> Lookup | None:
    if isinstance(verifier, DnsVerifier):
        return verifier.lookup
    try:
        return resolver_from_settings()
    except (DNSException, OSError) as error:
        log.warning("edge.no_resolver", error=str(error))
        return None


def _spf_of(verifier: Verifier) -> Callable[[Envelope], Awaitable[bool]] | None:
    if not isinstance(verifier, DnsVerifier):
        return None

    async def passed(envelope: Envelope) -> bool:
        try:
            async with asyncio.timeout(_SPF_SECONDS):
                return (await verifier.senders.verdict(envelope)).spf.passed
        except TimeoutError:
            return False

    return passed


def proxies(env: Environment) -> Sequence[Network]:
    """Peers whose connections begin with a PROXY header."""
    return env.trusted_proxies if env.smtp_proxies is None else env.smtp_proxies
