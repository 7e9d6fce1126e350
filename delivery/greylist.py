"""Greylisting's memory (RFC 6647): who was asked to come back, and who did.

| called by the edge | with | gives |
|---|---|---|
| `ask` | keys of a triplet and of its senders | `Standing` |
| `delivered` | the keys of its senders, after 250 | nothing |

A triplet is a client network, a reverse-path and a recipient. It is known from five minutes after
its first try on; one that does not come back within two days is forgotten. A sender (a network with
a domain, or a domain that SPF passes) that came back and delivered three times is learned: he is
not asked again. What came back is remembered for 36 days after the last time, so that a monthly
letter passes. Keys are keyed digests made by the edge.
"""

from collections.abc import Sequence
from datetime import timedelta
from enum import Enum
from typing import Any, Final

from django.db import connection, transaction

WAIT: Final = timedelta(minutes=5)
COME_BACK_WITHIN: Final = timedelta(days=2)
REMEMBERED: Final = timedelta(days=36)
LEARNED_AFTER: Final = 3

_ASK: Final = """
    WITH learned AS (
        UPDATE public.delivery_greylisting SET expires_at = clock_timestamp() + %(remembered)s
        WHERE key = ANY(%(senders)s) AND passes >= %(learned_after)s
          AND expires_at > clock_timestamp()
        RETURNING 1
    ), tried AS (
        INSERT INTO public.delivery_greylisting AS known (key, first_at, passes, expires_at)
        SELECT %(triplet)s, clock_timestamp(), 0, clock_timestamp() + %(within)s
        WHERE NOT EXISTS (SELECT FROM learned)
        ON CONFLICT (key) DO UPDATE SET
            first_at = CASE WHEN known.expires_at < clock_timestamp()
                THEN clock_timestamp() ELSE known.first_at END,
            passes = CASE WHEN known.expires_at < clock_timestamp() THEN 0
                WHEN known.first_at + %(wait)s <= clock_timestamp() THEN 1
                ELSE known.passes END,
            expires_at = CASE
                WHEN known.expires_at < clock_timestamp() THEN clock_timestamp() + %(within)s
                WHEN known.first_at + %(wait)s <= clock_timestamp()
                THEN clock_timestamp() + %(remembered)s
                ELSE known.expires_at END
        RETURNING passes
    )
    SELECT EXISTS (SELECT FROM learned), coalesce((SELECT passes FROM tried), 0)
"""
_DELIVERED: Final = """
    INSERT INTO public.delivery_greylisting AS known (key, first_at, passes, expires_at)
    SELECT key, clock_timestamp(), 1, clock_timestamp() + %(remembered)s
    FROM unnest(%(senders)s::bytea[]) AS one (key)
    ON CONFLICT (key) DO UPDATE SET
        passes = CASE WHEN known.expires_at < clock_timestamp() THEN 1
            ELSE least(known.passes + 1, 1000000) END,
        expires_at = excluded.expires_at
"""


class Standing(Enum):
    """What is known of who wants to send."""

    LEARNED = "learned"
    CAME_BACK = "came back"
    TOO_EARLY = "too early"
    """New, or back before the time was over."""


def ask(*, triplet: bytes, senders: Sequence[bytes], wait: timedelta = WAIT) -> Standing:
    """Note the try and say where it stands; one statement."""
    values: dict[str, Any] = {
        "triplet": triplet,
        "senders": sorted(senders),
        "wait": wait,
        "within": COME_BACK_WITHIN,
        "remembered": REMEMBERED,
        "learned_after": LEARNED_AFTER,
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_ASK, values)
        learned, passes = cursor.fetchone()
    if learned:
        return Standing.LEARNED
    return Standing.CAME_BACK if passes else Standing.TOO_EARLY


def delivered(*, senders: Sequence[bytes]) -> None:
    """Count a delivery of senders that came back."""
    with transaction.atomic(), connection.cursor() as cursor:
        values: dict[str, Any] = {"senders": sorted(senders), "remembered": REMEMBERED}
        cursor.execute(_DELIVERED, values)
