"""Counts what authors were told, over all loops of the installation: rows of NoticeTally.

| about | key of | counted | limit |
|---|---|---|---|
| a recipient of a message | trace id, recipient, kind | for good (45 days) | 1 |
| a reverse-path | its lower-case form | over the last 60 minutes | 1 an hour |
| a route, or a mailbox without one | tenant, route | by UTC day | 20 a day |

Keys are hashed under a key of their own: the table tells nobody who was told.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import psycopg

from mail.dsn_policy import Told
from tenants.vault import derived_key

if TYPE_CHECKING:
    from delivery.dsns import News

_HOUR: Final = timedelta(hours=1)
_LOCK = """
SELECT pg_advisory_xact_lock(number), clock_timestamp()
FROM (SELECT unnest(%s::bigint[]) AS number ORDER BY 1) AS locks
"""
_READ = """
SELECT key, period, count, at FROM public.delivery_noticetally
WHERE key = ANY(%s::bytea[])
"""
_STORE = """
INSERT INTO public.delivery_noticetally (key, period, count, at)
SELECT * FROM unnest(%s::bytea[], %s::timestamptz[], %s::int[], %s::timestamptz[])
ON CONFLICT (key, period) DO UPDATE
SET count = delivery_noticetally.count + excluded.count, at = excluded.at
"""
_Row = tuple[bytes, datetime]


@dataclass(slots=True)
class Tallies:
    """The rows that some news depend on, locked until the transaction ends, and what is added."""

    now: datetime
    _counts: dict[_Row, int] = field(default_factory=dict)
    _last: dict[_Row, datetime] = field(default_factory=dict)
    _added: dict[_Row, int] = field(default_factory=dict)

    @classmethod
    def locked(cls, cursor: "psycopg.Cursor[Any]", news: Sequence["News"]) -> "Tallies":
        """Read under lock; the locks are taken in one order, so that two loops never cross."""
        keys = {key for one in news for key in (_about(one), _path(one), _route(one))}
        numbers = [int.from_bytes(key[:8], "big", signed=True) for key in keys]
        cursor.execute(_LOCK, (sorted(numbers),))
        now = max(row[1] for row in cursor.fetchall())
        tallies = cls(now)
        cursor.execute(_READ, (sorted(keys),))
        for key, period, count, at in cursor.fetchall():
            tallies._counts[bytes(key), period] = count
            tallies._last[bytes(key), period] = at
        return tallies

    def told(self, one: "News") -> Told:
        """What was told before, as the rules want to know it."""
        path = _path(one)
        recent = (
            count
            for row, count in self._counts.items()
            if row[0] == path and self._last[row] > self.now - _HOUR
        )
        return Told(
            about_recipient=any(row[0] == _about(one) for row in self._counts),
            reverse_path_last_hour=sum(recent),
            route_last_day=self._counts.get((_route(one), _day(self.now)), 0),
        )

    def count_recipient(self, one: "News") -> None:
        """Nothing more of this kind about this recipient of this message."""
        self._add(_about(one), _day(one.dsn.arrived_at))

    def count_dsn(self, told: Iterable["News"]) -> None:
        """One DSN went to the author of these."""
        told = list(told)
        for route in {_route(one) for one in told}:
            self._add(route, _day(self.now))
        self._add(_path(told[0]), self.now.replace(minute=0, second=0, microsecond=0))

    def _add(self, key: bytes, period: datetime) -> None:
        row = key, period
        self._counts[row] = self._counts.get(row, 0) + 1
        self._added[row] = self._added.get(row, 0) + 1
        self._last[row] = self.now

    def store(self, cursor: "psycopg.Cursor[Any]") -> None:
        """Write what was added."""
        rows = sorted(self._added)
        if not rows:
            return
        keys, periods = [key for key, _ in rows], [period for _, period in rows]
        counts = [self._added[row] for row in rows]
        cursor.execute(_STORE, (keys, periods, counts, [self.now] * len(rows)))


def _day(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _about(one: "News") -> bytes:
    trace, recipient = one.dsn.trace_id.hex, one.about.recipient.lower()
    return _key("recipient", trace, recipient, one.kind.value)


def _path(one: "News") -> bytes:
    return _key("path", one.dsn.reverse_path.lower())


def _route(one: "News") -> bytes:
    if one.route_id:
        return _key("route", str(one.tenant_id), str(one.route_id))
    return _key("mailbox", str(one.tenant_id), one.about.recipient.lower())


def _key(*parts: str) -> bytes:
    text = "\0".join(parts).encode()
    return hashlib.blake2b(text, key=_secret(), digest_size=16).digest()


@lru_cache(maxsize=1)
def _secret() -> bytes:
    return derived_key("notice tally")
