"""The doorkeeper of a process and its limits, as the installation's settings make them."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from mail.dns_lists import parse_list_zones
from mail.envelope import Envelope
from mail.lookups import Lookup
from mxax.env import Environment
from smtp_edge.clients import LOOPBACK, Network
from smtp_edge.database_threads import DatabaseThreads
from smtp_edge.dns_lists import DnsLists
from smtp_edge.doorkeeper import Doorkeeper
from smtp_edge.greylist import Greylist
from smtp_edge.limits import Limits
from smtp_edge.ports import Reporter
from smtp_edge.shared_counts import Counts
from tenants.vault import derived_key

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
    return replace(limits, **{name: _given(env, name, getattr(limits, name)) for name in _NUMBERS})


def pepper(purpose: str) -> bytes:
    """What keys of counts and triplets are made with: they tell nothing without the data key."""
    return derived_key(purpose)


def doorkeeper(
    env: Environment,
    limits: Limits,
    *,
    counts: Counts,
    lookup: Lookup | None,
    threads: DatabaseThreads,
    reporter: Reporter,
    spf_passed: Callable[[Envelope], Awaitable[bool]] | None = None,
) -> Doorkeeper:
    """The doorkeeper of one event loop; without `lookup` no list is asked."""
    blocks = _given(env, "dns_block_lists", parse_list_zones(""))
    allows = _given(env, "dns_allow_lists", parse_list_zones(""))
    trusted: Sequence[Network] = _given(env, "unlimited_clients", LOOPBACK)
    return Doorkeeper(
        limits,
        counts=counts,
        lists=DnsLists(lookup, blocks=blocks, allows=allows) if lookup is not None else None,
        lookup=lookup,
        greylist=Greylist(threads, pepper("greylist"), spf_passed),
        reporter=reporter,
        unlimited=(*trusted, *env.trusted_proxies),
        list_weight=_given(env, "dns_block_weight", 1),
    )


def proxies(env: Environment) -> Sequence[Network]:
    """Peers whose connections begin with a PROXY header."""
    chosen: Sequence[Network] | None = _given(env, "smtp_proxies", None)
    return env.trusted_proxies if chosen is None else chosen


def _given(env: Environment, name: str, default: Any) -> Any:
    return getattr(env, name, default)
