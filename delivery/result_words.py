"""What became of a message, in sentences: one for each delivery."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC

from delivery.rule_words import question_of
from delivery.story import Story, StoryEvent, Waiting
from delivery.story_text import duration_text
from mail.events import Event, EventKind
from mail.plan import Hold
from mail.trace import printable

MOST_LINES = 20
_LONGEST = 320
_ENDED = {
    EventKind.DELIVERED: ("good", "Delivered to {where}."),
    EventKind.FAILED: ("bad", "Could not be delivered to {where}."),
    EventKind.DELETED: ("bad", "Cancelled before it reached {where}."),
    EventKind.HELD: ("warn", "Held for {where} until somebody releases it."),
    EventKind.DROPPED: ("warn", "Taken and dropped: the route of {whom} is paused that way."),
    EventKind.RETURNED: ("bad", "Delivered, and then came back for {whom}."),
}


@dataclass(frozen=True, slots=True)
class ResultLine:
    """A sentence, and how it is meant."""

    tone: str
    text: str


def result_lines(story: Story) -> list[ResultLine]:
    """The last word on each delivery, in words; the first twenty of them."""
    last: dict[tuple[str, str], ResultLine] = {}
    for one in story.events:
        for key, line in _said(one):
            last[key] = line
    for row in story.queue:
        last[row.recipient, row.destination] = _waits(row)
    return list(last.values())[:MOST_LINES]


def _said(one: StoryEvent) -> Iterator[tuple[tuple[str, str], ResultLine]]:
    event = one.event
    key = (event.recipient, event.destination)
    if event.kind is EventKind.ACCEPTED:
        for whom, where in event.recipients:
            yield (whom, where), ResultLine("good", f"Taken for {_shown(where)}.")
    elif event.kind is EventKind.REFUSED:
        yield key, _refused(event)
    elif event.kind is EventKind.ATTEMPTED:
        yield key, _attempted(event)
    elif event.kind in _ENDED:
        tone, text = _ENDED[event.kind]
        whom, where = _shown(event.recipient), _shown(event.destination or event.recipient)
        yield key, ResultLine(tone, text.format(whom=whom, where=where))


def _refused(event: Event) -> ResultLine:
    """Why mail was not taken: the question that decided."""
    whom = _shown(event.recipient) if event.recipient else "This mail"
    why = f" “{question_of(event.rule)}” Yes." if event.rule else ""
    return ResultLine("bad", f"{whom} was refused.{why}")


def _attempted(event: Event) -> ResultLine:
    where = _shown(event.destination)
    if event.outcome == "delivered":
        after = f" after {duration_text(event.queued_seconds)}" if event.queued_seconds else ""
        return ResultLine("good", f"Delivered to {where}{after}.")
    if event.outcome == "failed":
        return ResultLine("bad", f"Could not be delivered to {where}, and is not tried again.")
    return ResultLine("warn", f"Not yet delivered to {where}; tried {_times(event.attempt)}.")


def _waits(row: Waiting) -> ResultLine:
    where = _shown(row.destination)
    if row.state == "in flight":
        return ResultLine("warn", f"Being sent to {where} now.")
    if row.state == "held":
        return ResultLine("warn", _held(row, where))
    if row.state == "failed":
        return ResultLine("bad", f"Could not be delivered to {where}, and is not tried again.")
    due = f"{row.next_attempt_at.astimezone(UTC):%-d %b, %H:%M} UTC"
    if row.attempts:
        return ResultLine(
            "warn", f"Waits for {where}: tried {_times(row.attempts)}, next try {due}."
        )
    return ResultLine("warn", f"Waits for {where}, first try {due}.")


def _held(row: Waiting, where: str) -> str:
    """Who keeps it, until when."""
    until = f"{row.held_until.astimezone(UTC):%-d %b, %H:%M} UTC" if row.held_until else ""
    if row.hold is Hold.QUARANTINE:
        end = f" Deleted on {until}, unless somebody releases it." if until else ""
        return f"In quarantine, for {where}: {_shown(row.hold_reason)}.{end}"
    if row.hold is Hold.ROUTE:
        end = f", at most until {until}" if until else ""
        return f"Kept for {where} until its route is on again{end}."
    if row.hold is Hold.TENANT:
        return f"Held for {where} until a member releases it."
    return f"Held for {where} until the operator releases it."


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _shown(address: str) -> str:
    return printable(address, _LONGEST)
