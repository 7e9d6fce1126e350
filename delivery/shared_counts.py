"""Counts that all edges share: each pushes what it counted, and learns what the others did.

| called by | with | gives |
|---|---|---|
| the edge's counting thread, twice a second | `Counted` of each active key | the totals of these keys, and of all that have reached a limit |

One statement does both. A key that has reached its limit comes back to every edge, whether it has met
the key or not: a client that was stopped at one door does not get in by the next.
"""  # noqa: E501

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import connection, transaction

_EXCHANGE = """
    WITH given AS (
        SELECT * FROM unnest(%s::bytea[], %s::timestamptz[], %s::timestamptz[], %s::int[], %s::int[])
            AS one (key, starts_at, ends_at, count, most)
    ), added AS (
        INSERT INTO public.delivery_sharedcount AS known (key, starts_at, ends_at, count, is_over)
        SELECT key, starts_at, ends_at, count, count >= most FROM given ORDER BY key, starts_at
        ON CONFLICT (key, starts_at) DO UPDATE
        SET count = known.count + excluded.count,
            is_over = known.count + excluded.count >= (
                SELECT most FROM given
                WHERE given.key = excluded.key AND given.starts_at = excluded.starts_at)
        RETURNING key, starts_at, count
    )
    SELECT key, starts_at, count FROM added
    UNION ALL (
        SELECT key, starts_at, count FROM public.delivery_sharedcount
        WHERE is_over AND starts_at > clock_timestamp() - interval '2 hours'
          AND ends_at > clock_timestamp()
        ORDER BY starts_at DESC LIMIT %s
    )
"""  # noqa: E501
_MOST_OVER = 10_000


@dataclass(frozen=True, slots=True)
class Counted:
    """What happened since the last time. Times are seconds of the epoch; `most` is the limit."""

    key: bytes
    starts_at: int
    ends_at: int
    count: int
    most: int


@dataclass(frozen=True, slots=True)
class Total:
    key: bytes
    starts_at: int
    count: int


def exchange(counted: Sequence[Counted]) -> list[Total]:
    """Add the counts; gives the totals, those at their limits first.

    Every key of a window once. Raises what the database raises; nothing was added then.
    """
    ordered = sorted(counted, key=lambda one: (one.key, one.starts_at))  # or two could deadlock
    values: list[Any] = [
        [one.key for one in ordered],
        [_time(one.starts_at) for one in ordered],
        [_time(one.ends_at) for one in ordered],
        [one.count for one in ordered],
        [one.most for one in ordered],
        _MOST_OVER,
    ]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_EXCHANGE, values)
        totals = [
            Total(bytes(key), int(at.timestamp()), count) for key, at, count in cursor.fetchall()
        ]
    # Those just added came first and know more than what the statement saw before it began.
    return totals[::-1]


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
