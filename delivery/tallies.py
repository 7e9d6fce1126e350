"""Counts what authors were told, over all loops of the installation: rows of NoticeTally.

| about | key of | counted | limit |
|---|---|---|---|
| a recipient of a message | trace id, recipient, kind | for good (45 days) | 1 |
| a message | trace id | for good (45 days) | its later failures wait for their hour |
| a reverse-path | its lower-case form | over the last 60 minutes | 1 an hour |
| a route, or a mailbox without one | tenant, route | by UTC day | 20 a day |

A DSN that is held back counts from the moment when it goes. Keys are hashed under a key of their
own: the table tells nobody who was told.
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
        kinds = (_about, _message, _path, _route)
        keys = {key_of(one) for one in news for key_of in kinds}
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
        path, keys = _path(one), {key for key, _ in self._counts}
        recent = [
            row for row in self._counts if row[0] == path and self._last[row] > self.now - _HOUR
        ]
        last = max((self._last[row] for row in recent), default=self.now - _HOUR)
        return Told(
            about_recipient=_about(one) in keys,
            about_message=_message(one) in keys,
            reverse_path_last_hour=sum(self._counts[row] for row in recent),
            reverse_path_free_in=last + _HOUR - self.now,
            route_last_day=self._counts.get((_route(one), _day(self.now)), 0),
        )

    def count_recipient(self, one: "News") -> None:
        """Nothing more of this kind about this recipient of this message."""
        self._add(_about(one), _day(one.dsn.arrived_at))

    def count_dsn(self, told: Iterable["News"], held_back: timedelta) -> None:
        """One DSN went to the author of these, or will when it was held back for so long."""
        told, at = list(told), self.now + held_back
        for route in {_route(one) for one in told}:
            self._add(route, _day(self.now))
        self._add(_message(told[0]), _day(told[0].dsn.arrived_at))
        self._add(_path(told[0]), at.replace(minute=0, second=0, microsecond=0), at)

    def _add(self, key: bytes, period: datetime, at: datetime | None = None) -> None:
        row = key, period
        self._counts[row] = self._counts.get(row, 0) + 1
        self._added[row] = self._added.get(row, 0) + 1
        self._last[row] = at or self.now

    def store(self, cursor: "psycopg.Cursor[Any]") -> None:
        """Write what was added."""
        rows = sorted(self._added)
        if not rows:
            return
        keys, periods = [key for key, _ in rows], [period for _, period in rows]
        counts = [self._added[row] for row in rows]
        cursor.execute(_STORE, (keys, periods, counts, [self._last[row] for row in rows]))


def _day(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _about(one: "News") -> bytes:
    trace, recipient = one.dsn.trace_id.hex, one.about.recipient.lower()
    return _key("recipient", trace, recipient, one.kind.value)


def _message(one: "News") -> bytes:
    return _key("message", one.dsn.trace_id.hex)


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
