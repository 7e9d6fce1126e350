"""Asynchronous DNS look-ups: cached, bounded, with outcomes as values.

`Resolver` asks, `Answer` is what comes back. One resolver belongs to one event loop.
"""

from delivery.lookups.resolver import Limits, Resolver, resolver_from_settings
from mail.lookups import Answer, Lookup, MxRecord, Outcome

__all__ = [
    "Answer",
    "Limits",
    "Lookup",
    "MxRecord",
    "Outcome",
    "Resolver",
    "resolver_from_settings",
]
