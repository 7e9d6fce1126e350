"""What a policy would have made of the mail of the last days: the log, judged again.

| who calls | with | what comes back |
|---|---|---|
| the panel's dry-run page, `manage.py trust try` | a policy, days, bounds | `Trial` |

Read in order of the trace ids, newest first, a page at a time: neither a long statement nor a long
transaction, and no more than a page in memory. Only mail is judged of which the log says what was
found (`Event.found`); what the rules before trust refused stays refused.

Nearly the same as the real thing, but not quite. Entries for single addresses meet nothing where
the log hashes addresses, and of several From addresses only one is known whole. Where mail had
several recipients, the strictest verdict of them is shown.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, product
from typing import Any, Final
from uuid import UUID

from django.db.models import Q

from delivery.messagelog.models import LoggedEvent
from mail.events import EventKind
from mail.policy.trust import Action, TrustJudgement, TrustPolicy
from mail.policy.trust_findings import Logged, LoggedVerdict, facts_of, verdict_of
from mail.policy.trust_rules import judge_trust

MOST_MESSAGES: Final = 100_000
MOST_CHANGES: Final = 200
PAGE_ROWS: Final = 1000
_MOST_PLACES: Final = 20
_KINDS: Final = (EventKind.ACCEPTED.value, EventKind.REFUSED.value)
_STRICTNESS: Final = (Action.ACCEPT, Action.DEFER, Action.QUARANTINE, Action.REFUSE)
_LAST: Final = UUID(int=2**128 - 1)


@dataclass(frozen=True, slots=True)
class Changed:
    """One message that would have gone another way."""

    trace_id: UUID
    at: datetime
    author: str
    recipient: str
    before: Action
    before_rule: str
    after: Action
    after_rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class Turn:
    """How many messages would have gone from one verdict to another."""

    before: Action
    after: Action
    count: int


@dataclass(frozen=True, slots=True)
class Trial:
    """The outcome. `changes` are the newest 200; `turns` counts all of them, the most first.

    `looked_back_to` is where it stopped for its bounds; None: it saw all of the days.
    """

    judged: int
    turns: tuple[Turn, ...]
    changes: tuple[Changed, ...]
    looked_back_to: datetime | None = None

    @property
    def changed(self) -> int:
        return sum(turn.count for turn in self.turns)


@dataclass(frozen=True, slots=True)
class _Row:
    trace_id: UUID
    event_id: int
    at: datetime
    kind: str
    recipient: str
    data: dict[str, Any]


def try_policy(
    policy: TrustPolicy, *, now: datetime, days: int, most: int = MOST_MESSAGES, seconds: float
) -> Trial:
    """Judge the open tenant's log again, at most so many messages and about so many seconds."""
    turns: Counter[tuple[Action, Action]] = Counter()
    changes: list[Changed] = []
    judged, stop_at = 0, time.monotonic() + seconds
    for page in _pages(_first_of(now - timedelta(days=days))):
        for row in page:
            if judged >= most:
                return _trial(judged, turns, changes, row.at)
            changed = _judge_again(row, policy)
            judged += 1
            if changed is not None:
                turns[changed.before, changed.after] += 1
                changes += [changed] if len(changes) < MOST_CHANGES else []
        if time.monotonic() > stop_at:
            return _trial(judged, turns, changes, page[-1].at)
    return _trial(judged, turns, changes, None)


def _trial(
    judged: int, turns: Counter[tuple[Action, Action]], changes: list[Changed], at: datetime | None
) -> Trial:
    counted = tuple(Turn(before, after, n) for (before, after), n in turns.most_common())
    return Trial(judged, counted, tuple(changes), at)


def _pages(since: UUID) -> Iterator[list[_Row]]:
    """Rows with findings, from the newest on, as one index gives them."""
    found = LoggedEvent.objects.filter(
        trace_id__gte=since, kind__in=_KINDS, data__has_key="found"
    ).order_by("-trace_id", "-id")
    last = (_LAST, 0)
    while True:
        behind = Q(trace_id__lt=last[0]) | Q(trace_id=last[0], id__lt=last[1])
        values = found.filter(behind, trace_id__lte=last[0]).values_list(
            "trace_id", "id", "at", "kind", "recipient", "data"
        )
        page = [_Row(*row) for row in values[:PAGE_ROWS]]
        if not page:
            return
        yield page
        if len(page) < PAGE_ROWS:
            return
        last = (page[-1].trace_id, page[-1].event_id)


def _first_of(moment: datetime) -> UUID:
    """The lowest trace id of a moment."""
    return UUID(int=max(int(moment.timestamp() * 1000), 0) << 80)


def _judge_again(row: _Row, policy: TrustPolicy) -> Changed | None:
    before = _verdict(row)
    after = _strictest(row, policy)
    if before.action is after.action or _is_the_same(before, after):
        return None
    recipients = _recipients(row)
    return Changed(
        trace_id=row.trace_id,
        at=row.at,
        author=row.data.get("author", "") or row.data.get("reverse_path", ""),
        recipient=recipients[0] if recipients else "",
        before=before.action,
        before_rule=before.rule,
        after=after.action,
        after_rule=after.rule,
        reason=after.reason,
    )


def _verdict(row: _Row) -> LoggedVerdict:
    known = verdict_of(row.data["found"])
    if known is not None:
        return known
    is_refused = row.kind == EventKind.REFUSED.value
    return LoggedVerdict(Action.REFUSE if is_refused else Action.ACCEPT, "", "")


def _is_the_same(before: LoggedVerdict, after: TrustJudgement) -> bool:
    """A refusal that was kept back instead, because others in the same transaction wanted it."""
    kept_back = before.action is Action.QUARANTINE and after.action is Action.REFUSE
    return kept_back and before.rule == after.rule


def _strictest(row: _Row, policy: TrustPolicy) -> TrustJudgement:
    domains = dict.fromkeys(one.rpartition("@")[2] for one in _recipients(row)) or {"": None}
    routes: Sequence[int | None] = row.data.get("routes") or [None]
    judged = [
        judge_trust(facts_of(row.data["found"], _logged(row, domain, route), policy))
        for domain, route in islice(product(domains, routes), _MOST_PLACES)
    ]
    return max(judged, key=lambda one: _STRICTNESS.index(one.action))


def _recipients(row: _Row) -> list[str]:
    named = [pair[0] for pair in row.data.get("recipients", ()) if pair]
    return named or [one for one in (row.recipient, row.data.get("recipient", "")) if one][:1]


def _logged(row: _Row, domain: str, route_id: int | None) -> Logged:
    return Logged(
        at=row.at,
        client_ip=row.data.get("client_ip", ""),
        reverse_path=row.data.get("reverse_path", ""),
        author=row.data.get("author", ""),
        recipient_domain=domain,
        route_id=route_id,
    )
