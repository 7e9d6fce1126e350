"""Asynchronous DNS look-ups: cached, bounded, with outcomes as values.

`Resolver` asks, `Answer` is what comes back. One resolver belongs to one event loop.
"""

from delivery.lookups.answers import Answer, Lookup, MxRecord, Outcome
from delivery.lookups.resolver import Limits, Resolver, resolver_from_settings

__all__ = [
    "Answer",
    "Limits",
    "Lookup",
    "MxRecord",
    "Outcome",
    "Resolver",
    "resolver_from_settings",
]
