"""Finding mail in a tenant's log: what was typed, read as names; pages of what it matches.

| typed | finds |
|---|---|
| `hi@example.org` | exactly this address, hashed or not |
| `@example.org`, `example.org` | every address of this domain |
| `sal`, `sal*`, `hi@exam*`, `@exam*` | what begins like this |
| a trace id | this message |

A search looks at so many rows and no more, however large the log is. Where few of those match, the
page is short and says how far back it has looked; its link to older mail goes on from there.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import connection

from delivery import logsearch_sql as sql
from delivery.messagelog.models import LoggedMessage
from delivery.outbox import address_pepper
from mail.address import canonical_domain
from mail.errors import MailError
from mail.events import hash_address
from mail.trace import format_trace_id, parse_trace_id

PAGE_ROWS: Final = 50
MOST_NAMES: Final = 100
"""Names that begin as typed and are each asked for their newest mail; more are walked through."""
FEW_NAMES: Final = 8
MOST_OF_NAMES: Final = 1000
MOST_WALKED: Final = 2500
LONGEST_TYPED: Final = 320
SIDES: Final = ("to", "from")
STATES: Final = (
    *("accepted", "deferred", "delivered", "dropped", "failed", "held", "refused", "returned"),
    "deleted",
)
DIRECTIONS: Final = ("forward", "return", "send", "notice")
_COMMON_STATES: Final = ("", "delivered")
_RARE_DIRECTIONS: Final = ("return", "notice")
_FIRST, _LAST = UUID(int=0), UUID(int=(1 << 128) - 1)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was typed into the box: at most one of its fields is filled."""

    trace_id: UUID | None = None
    names: tuple[str, ...] = ()
    """Without their side: `hi@example.org`, `@example.org`, and the hashed form of an address."""
    beginnings: tuple[str, ...] = ()

    @property
    def is_domain(self) -> bool:
        return any(name.startswith("@") for name in self.names)


@dataclass(frozen=True, slots=True)
class LogQuery:
    """What is asked of the log; empty fields ask nothing. Days are UTC, both included."""

    typed: str = ""
    side: str = ""
    state: str = ""
    direction: str = ""
    reason: str = ""
    since: date | None = None
    until: date | None = None

    @property
    def narrows(self) -> bool:
        """Whether anything but the box and the days is asked."""
        return bool(self.state or self.direction or self.reason)


@dataclass(frozen=True, slots=True)
class LogPage:
    """A page, newest first; `after` and `before` are printed trace ids, "" at the ends.

    `looked_back_to` is set where the search stopped before the page was full.
    """

    rows: tuple[LoggedMessage, ...]
    after: str = ""
    before: str = ""
    looked_back_to: datetime | None = None


def read_typed(typed: str) -> Wanted:
    """What the text in the box means."""
    text = typed.strip()[:LONGEST_TYPED].strip("<>").lower()
    with contextlib.suppress(MailError):
        if len(text) == len(format_trace_id(_FIRST)):
            return Wanted(trace_id=parse_trace_id(text))
    if text.endswith("*"):
        return _beginning(text.rstrip("*"))
    local_part, at, domain = text.rpartition("@")
    try:
        stored = canonical_domain(domain)
    except (MailError, ValueError):
        return _beginning(text)
    if local_part:
        return _address(text, f"{local_part}@{stored}")
    return Wanted(names=(f"@{stored}",)) if at or "." in domain else _beginning(text)


def _address(*spellings: str) -> Wanted:
    """As typed and as stored, and as the level "addresses hashed" writes them."""
    plain = dict.fromkeys(spellings)
    hashed = (hash_address(one, address_pepper()) for one in plain)
    return Wanted(names=tuple(dict.fromkeys((*plain, *hashed))))


def _beginning(text: str) -> Wanted:
    if not text or text == "@":
        return Wanted()
    return Wanted(beginnings=(text,) if "@" in text else (text, f"@{text}"))


def find(query: LogQuery, *, after: str = "", before: str = "") -> LogPage:
    """One page of the open tenant's log."""
    wanted = read_typed(query.typed)
    if wanted.trace_id is not None:
        return LogPage(tuple(LoggedMessage.objects.filter(pk=wanted.trace_id)))
    backwards = bool(before)
    key = _key(before or after)
    bounds = _Bounds.of(query).narrowed(key, backwards=backwards)
    source = _source(query, wanted)
    count, last, rows = _run(source, query, bounds, backwards=backwards)
    return _page(rows, key, last if count >= source.most else None, backwards=backwards)


def _key(text: str) -> UUID | None:
    with contextlib.suppress(MailError):
        return parse_trace_id(text) if text else None
    return None


@dataclass(frozen=True, slots=True)
class _Bounds:
    """Trace ids between which the mail lies, both left out."""

    low: UUID = _FIRST
    high: UUID = _LAST

    @classmethod
    def of(cls, query: LogQuery) -> "_Bounds":
        low = _first_of(query.since) if query.since else _FIRST
        high = _LAST
        if query.until and query.until < date.max:
            high = _first_of(query.until + timedelta(days=1))
        return cls(low, high)

    def narrowed(self, key: UUID | None, *, backwards: bool) -> "_Bounds":
        if key is None:
            return self
        if backwards:
            return replace(self, low=max(self.low, key))
        return replace(self, high=min(self.high, key))


def _first_of(day: date) -> UUID:
    """The lowest trace id of a day (UTC)."""
    ms = int(datetime.combine(day, time(), UTC).timestamp() * 1000)
    return UUID(int=max(ms, 0) << 80)


@dataclass(frozen=True, slots=True)
class _Source:
    """Where candidates come from, in order of time, and how many are looked at."""

    statement: str
    most: int
    values: dict[str, Any] = field(default_factory=dict)
    conditions: tuple[str, ...] = ()
    """What candidates must fulfil beside the filters of the query."""


def _source(query: LogQuery, wanted: Wanted) -> _Source:
    """The narrowest source of what is asked."""
    sides = (query.side,) if query.side in SIDES else SIDES
    if wanted.names:
        names = [f"{side}:{name}" for side in sides for name in wanted.names]
        rare = query.state not in _COMMON_STATES or query.direction in _RARE_DIRECTIONS
        if wanted.is_domain and rare:
            return _walk(query, sql.HAS_NAME, {"names": names})
        return _of_names(query, names)
    if wanted.beginnings:
        beginnings = [f"{side}:{text}" for side in sides for text in wanted.beginnings]
        names = _names_like(beginnings)
        if len(names) <= (FEW_NAMES if query.narrows else MOST_NAMES):
            return _of_names(query, names)
        return _walk(query, sql.HAS_BEGINNING, {"beginnings": beginnings})
    return _walk(query)


def _of_names(query: LogQuery, names: Sequence[str]) -> _Source:
    most = MOST_OF_NAMES if query.narrows else PAGE_ROWS + 1
    return _Source(sql.OF_NAMES, most, {"names": list(names)})


def _walk(query: LogQuery, condition: str = "", values: dict[str, Any] | None = None) -> _Source:
    """Through the mail itself, along the rarest thing that is asked for."""
    along = ""
    if query.state not in _COMMON_STATES:
        along = "state"
    elif query.direction in _RARE_DIRECTIONS:
        along = "direction"
    elif query.reason:
        along = "has_reason"
    others = [name for name in ("state", "direction", "reason") if getattr(query, name)]
    all_match = not condition and others in ([], [along])
    return _Source(
        sql.WALKS[along],
        PAGE_ROWS + 1 if all_match else MOST_WALKED,
        values or {},
        (condition,) if condition else (),
    )


def _names_like(beginnings: Sequence[str]) -> list[str]:
    with connection.cursor() as cursor:
        values: dict[str, Any] = {"beginnings": list(beginnings), "most": MOST_NAMES + 1}
        cursor.execute(sql.NAMES_LIKE, values)
        return [name for (name,) in cursor.fetchall()]


def _run(
    source: _Source, query: LogQuery, bounds: _Bounds, *, backwards: bool
) -> tuple[int, UUID | None, list[LoggedMessage]]:
    """Candidates looked at, the last of them, and the messages that match."""
    conditions = [*source.conditions, *(c for name, c in sql.FILTERS if getattr(query, name))]
    statement = sql.page(source.statement, conditions, backwards=backwards)
    values: dict[str, Any] = {
        **source.values,
        "state": query.state,
        "direction": query.direction,
        "reason": f"%{sql.escaped(query.reason)}%",
        "low": bounds.low,
        "high": bounds.high,
        "most": source.most,
        "rows": PAGE_ROWS + 1,
    }
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        found = cursor.fetchall()
    rows = [LoggedMessage.from_db(None, sql.COLUMNS, row[2:]) for row in found if row[2]]
    return int(found[0][0]), found[0][1], rows


def _page(
    rows: list[LoggedMessage], key: UUID | None, stopped_at: UUID | None, *, backwards: bool
) -> LogPage:
    """`stopped_at`: the last candidate, where there are more than were looked at."""
    more, rows = len(rows) > PAGE_ROWS, rows[:PAGE_ROWS]
    onward = rows[-1].trace_id if more else stopped_at
    behind = rows[0].trace_id if rows else key
    if backwards:
        rows.reverse()
        return LogPage(tuple(rows), after=_text(behind), before=_text(onward))
    looked_back_to = None if more or stopped_at is None else _moment_of(stopped_at)
    before = _text(behind) if key is not None else ""
    return LogPage(tuple(rows), _text(onward), before, looked_back_to)


def _text(trace_id: UUID | None) -> str:
    return "" if trace_id is None else format_trace_id(trace_id)


def _moment_of(trace_id: UUID) -> datetime:
    return datetime.fromtimestamp((trace_id.int >> 80) / 1000, UTC)
