"""A long story in parts, each a page of a size that every browser and line takes.

A message for a hundred recipients that is tried for five days has thousands of attempts. None is
left out: the parts follow each other from the connection to the last reply.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from django.utils.html import escape

MOST_STEPS: Final = 50
MOST_OCTETS: Final = 24_000
MOST_LINES: Final = 60
OCTETS_OF_QUEUE: Final = 10_000
"""For what waits, which stands beside a part of what happened."""
_OF_MARKUP, _OF_A_LINE = 180, 8


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened, as parts/step.html shows it."""

    at: datetime | None
    word: str
    tone: str
    lines: tuple[str, ...]

    @property
    def clock(self) -> str:
        """Day and time with milliseconds."""
        return f"{self.at:%-d %b %H:%M:%S.%f}"[:-3] if self.at else ""


@dataclass(frozen=True, slots=True)
class Part:
    """Some of the steps, and where they stand among all."""

    steps: tuple[Step, ...]
    number: int
    count: int

    @property
    def earlier(self) -> int:
        return self.number - 1

    @property
    def later(self) -> int:
        return self.number + 1 if self.number < self.count else 0


def part_of(steps: Sequence[Step], wanted: str | None) -> Part:
    """The part that is asked for by its number, the first where that is none."""
    parts = _divided([_cut(step) for step in steps])
    is_number = wanted is not None and wanted.isascii() and wanted.isdigit() and len(wanted) < 9
    number = min(max(int(wanted or 1), 1), len(parts)) if is_number else 1
    return Part(tuple(parts[number - 1]), number, len(parts))


def first_of(steps: Sequence[Step], octets: int) -> tuple[tuple[Step, ...], int]:
    """As many from the first as fit, and how many are left."""
    found: list[Step] = []
    for step in map(_cut, steps):
        octets -= _octets(step)
        if octets < 0 and found:
            break
        found.append(step)
    return tuple(found), len(steps) - len(found)


def _divided(steps: Sequence[Step]) -> list[list[Step]]:
    parts: list[list[Step]] = [[]]
    room = MOST_OCTETS
    for step in steps:
        needs = _octets(step)
        if parts[-1] and (needs > room or len(parts[-1]) >= MOST_STEPS):
            parts.append([])
            room = MOST_OCTETS
        parts[-1].append(step)
        room -= needs
    return parts


def _cut(step: Step) -> Step:
    """A step of so many lines: two thousand recipients stand in the queue and the attempts, too."""
    left = len(step.lines) - MOST_LINES
    if left <= 0:
        return step
    return replace(step, lines=(*step.lines[:MOST_LINES], f"and {left} more"))


def _octets(step: Step) -> int:
    return _OF_MARKUP + sum(_OF_A_LINE + len(escape(line).encode()) for line in step.lines)
