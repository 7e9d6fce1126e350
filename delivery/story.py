"""The story of a message, as values: what happened, in order, and where it stands in the queue.

Made by `delivery.selectors`, shown by `manage.py trace`, the start page and the message page.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from mail.events import Event, EventKind
from mail.plan import Hold

_EVENT_FIELDS = frozenset(field.name for field in fields(Event)) - {"kind", "trace_id", "tenant_id"}


@dataclass(frozen=True, slots=True)
class StoryEvent:
    """One event with its number in the outbox (which orders and identifies it) and its time."""

    id: int
    at: datetime
    event: Event


@dataclass(frozen=True, slots=True)
class Waiting:
    """A delivery that is still in the queue."""

    recipient: str
    destination: str
    state: str
    """queued, deferred, in flight, held or failed."""
    attempts: int
    next_attempt_at: datetime
    last_reply: str
    hold: Hold = Hold.NONE
    hold_reason: str = ""
    held_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Story:
    """All that is known of one trace id. `events` may be empty where the policy logs nothing."""

    trace_id: UUID
    tenant_id: int | None
    tenant: str
    """The slug; "" for mail of the service itself and for domains not hosted here."""
    events: tuple[StoryEvent, ...]
    queue: tuple[Waiting, ...] = ()
    logged_state: str = ""
    """Where it stands by the tenant's log, which outlives the events of its attempts."""
    left_out: bool = False
    """There are more events than anybody reads: those in the middle are not here."""

    @property
    def started_at(self) -> datetime | None:
        return self.events[0].at if self.events else None

    @property
    def accepted(self) -> Event | None:
        """The event of acceptance, which tells of client, envelope and size."""
        return self.first(EventKind.ACCEPTED)

    def first(self, kind: EventKind) -> Event | None:
        return next((one.event for one in self.events if one.event.kind is kind), None)

    @property
    def result(self) -> str:
        """How it stands in one word or a few: `delivered`, `1 delivered, 1 failed`, `refused`."""
        words = list(_last_words(self).values())
        if "accepted" in words and not self.queue and self.logged_state:
            return self.logged_state
        if len(set(words)) <= 1:
            return words[0] if words else "not logged"
        counted = {word: words.count(word) for word in sorted(set(words))}
        return ", ".join(f"{count} {word}" for word, count in counted.items())


@dataclass(frozen=True, slots=True)
class MoreRefusals:
    """Refusals that were only counted, of one client and domain in one hour."""

    hour: datetime
    client_ip: str
    domain: str
    count: int


@dataclass(frozen=True, slots=True)
class Stories:
    """What is known of one recipient: newest story first."""

    recipient: str
    stories: tuple[Story, ...]
    more_refusals: tuple[MoreRefusals, ...]


def read_event(kind: str, trace_id: UUID, tenant_id: int | None, data: Mapping[str, Any]) -> Event:
    """The event of a stored row; fields of a later version are passed over."""
    known: dict[str, Any] = {name: data[name] for name in data if name in _EVENT_FIELDS}
    for name in ("trail", "signed_by"):
        known[name] = tuple(known.get(name, ()))
    for name in ("recipients", "found"):
        known[name] = tuple((pair[0], pair[1]) for pair in known.get(name, ()))
    return Event(kind=EventKind(kind), trace_id=trace_id, tenant_id=tenant_id, **known)


def _last_words(story: Story) -> dict[tuple[str, str], str]:
    """The last word on each (recipient, destination); a refused recipient has no destination."""
    words: dict[tuple[str, str], str] = {}
    for one in story.events:
        event = one.event
        if event.kind is EventKind.ACCEPTED:
            words.update(dict.fromkeys(event.recipients, "accepted"))
            continue
        if event.kind is EventKind.NOTICED:
            continue  # of the author, not of the mail
        if event.kind is EventKind.RETURNED and not event.destination:
            words.update((pair, "returned") for pair in list(words) if pair[0] == event.recipient)
            continue
        word = event.outcome if event.kind is EventKind.ATTEMPTED else event.kind.value
        words[event.recipient, event.destination] = "queued" if word == "released" else word
    for row in story.queue:
        if row.state in ("held", "in flight", "failed"):
            words[row.recipient, row.destination] = row.state
    return words
