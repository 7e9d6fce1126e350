"""A story as lines of 80 columns, and as JSON. The words are `delivery.story_text`'s."""

import textwrap
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from delivery.story import MoreRefusals, Story
from delivery.story_text import TONES, more_refusals_text, paragraphs, size_text, waiting_text
from mail.trace import format_trace_id, printable

WIDTH = 80
INDENT = " " * 24
_COLOURS = {"good": "32", "warn": "33", "bad": "31", "dim": "2", "bold": "1"}


@dataclass(frozen=True, slots=True)
class Pen:
    """Colours words on a terminal, or leaves them alone."""

    colour: bool = False

    def paint(self, tone: str, text: str) -> str:
        code = _COLOURS.get(tone)
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and code else text

    def word(self, word: str) -> str:
        return self.paint(TONES.get(word.strip(), ""), word)


def story_lines(story: Story, pen: Pen) -> list[str]:
    """The timeline of one story: a head, then each event with its time and what it says."""
    lines = [*_head(story, pen), ""]
    day = ""
    for one in story.events:
        if (today := f"{one.at.astimezone(UTC):%Y-%m-%d}") != day:
            day = today
            lines.append(pen.paint("dim", f"{day} (UTC)"))
        for word, text in paragraphs(one.event):
            lines += _entry(f"{one.at.astimezone(UTC):%H:%M:%S.%f}"[:12], word, text, pen)
    if not story.events:
        lines.append("No events are kept: the tenant's logging policy says so.")
    return lines + _queue(story, pen)


def _head(story: Story, pen: Pen) -> list[str]:
    event = story.accepted or (story.events[0].event if story.events else None)
    facts = [f"tenant {printable(story.tenant, 40)}" if story.tenant else "the service itself"]
    if event and event.direction:
        facts.append(event.direction)
    if event and event.size_octets:
        facts.append(size_text(event.size_octets))
    result = " · ".join(facts)
    return [
        f"Trace {pen.paint('bold', format_trace_id(story.trace_id))}",
        f"{result} · {pen.word(story.result)}",
    ]


def _entry(time: str, word: str, text: str, pen: Pen) -> list[str]:
    margin = f"{time}  {word:<10}"
    lines: list[str] = []
    for line in text.split("\n"):
        lines += textwrap.wrap(
            line, WIDTH - len(INDENT), subsequent_indent="  ", break_on_hyphens=False
        ) or [""]
    first = f"{pen.paint('dim', time)}  {pen.word(f'{word:<10}')}" if pen.colour else margin
    return [f"{first}{lines[0]}", *(f"{INDENT}{line}" for line in lines[1:])]


def _queue(story: Story, pen: Pen) -> list[str]:
    if not story.queue:
        return []
    lines = ["", "In the queue now"]
    for row in story.queue:
        lines += _entry(" " * 12, row.state, waiting_text(row), pen)
    return lines


def more_refusals_line(more: MoreRefusals, pen: Pen) -> str:
    return pen.paint("dim", textwrap.fill(more_refusals_text(more), WIDTH))


def story_json(story: Story) -> list[dict[str, Any]]:
    """The events in order, each with its time, trace id and tenant."""
    return [
        {
            "at": one.at.astimezone(UTC).isoformat(),
            "trace_id": format_trace_id(story.trace_id),
            "tenant": story.tenant or None,
            "kind": one.event.kind.value,
            **one.event.to_json(),
        }
        for one in story.events
    ]
