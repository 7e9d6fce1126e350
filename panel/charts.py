"""Charts as SVG made here: stacked bars of days, with the same numbers as a table below.

    days, series  ->  bars_of_days  ->  Chart  ->  parts/chart.html

All geometry is whole user units; colours are classes of the style sheet (`bar`, `bar warn`, …).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

WIDTH: Final = 720
HEIGHT: Final = 170
_LEFT, _TOP, _BOTTOM = 48, 8, 22
_PLOT: Final = HEIGHT - _TOP - _BOTTOM


@dataclass(frozen=True, slots=True)
class Series:
    """What one part of each bar counts; `tone` is good, warn or bad."""

    label: str
    tone: str = "good"


@dataclass(frozen=True, slots=True)
class Part:
    """A rectangle."""

    y: int
    height: int
    tone: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A day: its rectangles from below, and its numbers for the table and for who points at it."""

    day: date
    x: int
    width: int
    parts: tuple[Part, ...]
    values: tuple[int, ...]
    series: tuple[Series, ...]
    text: str

    @property
    def named(self) -> tuple[tuple[Series, int], ...]:
        """Each number with what it counts."""
        return tuple(zip(self.series, self.values, strict=True))


@dataclass(frozen=True, slots=True)
class Line:
    """A line across, with its number at the left."""

    y: int
    value: int

    @property
    def label(self) -> str:
        """The number as it fits beside the chart: 800, 5k, 1.5M."""
        for size, letter in ((1_000_000, "M"), (1_000, "k")):
            if self.value >= size:
                return f"{self.value / size:g}{letter}"
        return str(self.value)


@dataclass(frozen=True, slots=True)
class Chart:
    """Everything the template draws."""

    id: str
    title: str
    series: tuple[Series, ...]
    bars: tuple[Bar, ...]
    lines: tuple[Line, ...]
    totals: tuple[int, ...]

    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT

    @property
    def is_empty(self) -> bool:
        return not any(self.totals)

    @property
    def ends(self) -> tuple[Bar, ...]:
        """The days whose names stand below: the first, the middle, the last."""
        return (self.bars[0], self.bars[len(self.bars) // 2], self.bars[-1]) if self.bars else ()

    @property
    def legend(self) -> tuple[tuple[Series, int], ...]:
        """What each colour means, and how much of it there is."""
        return tuple(zip(self.series, self.totals, strict=True))

    @property
    def baseline(self) -> int:
        return _TOP + _PLOT

    @property
    def summary(self) -> str:
        """The chart in one sentence."""
        counts = ", ".join(f"{total} {one.label}" for one, total in self.legend)
        return f"{self.title}: {counts}."


def bars_of_days(
    chart_id: str,
    title: str,
    series: Sequence[Series],
    days: Sequence[tuple[date, Sequence[int]]],
) -> Chart:
    """Stacked bars, a day each with one value a series; `chart_id` is unique in a page."""
    top = _round_up(max((sum(values) for _, values in days), default=0))
    step = (WIDTH - _LEFT) // max(len(days), 1)
    bars = tuple(
        _bar(day, tuple(values), _LEFT + number * step, max(step - 4, 1), series, top)
        for number, (day, values) in enumerate(days)
    )
    lines = tuple(Line(_TOP + _PLOT - _scaled(value, top), value) for value in (0, top // 2, top))
    totals = tuple(sum(values[number] for _, values in days) for number in range(len(series)))
    return Chart(chart_id, title, tuple(series), bars, lines, totals)


def _bar(
    day: date, values: tuple[int, ...], x: int, width: int, series: Sequence[Series], top: int
) -> Bar:
    parts, below = [], 0
    for one, value in zip(series, values, strict=True):
        # Heights are differences of rounded places, so that the parts of a bar meet.
        low, high = _scaled(below, top), _scaled(below + value, top)
        below += value
        if value:
            height = max(high - low, 1)
            parts.append(Part(_TOP + _PLOT - low - height, height, one.tone))
    told = ", ".join(
        f"{value} {one.label}" for one, value in zip(series, values, strict=True) if value
    )
    return Bar(
        day, x, width, tuple(parts), values, tuple(series), f"{day:%-d %b}: {told or 'nothing'}"
    )


def _scaled(value: int, top: int) -> int:
    return round(value * _PLOT / top)


def _round_up(value: int) -> int:
    """The next even 2, 4, 6, 8, 10, 20 …: a scale whose half is a whole number."""
    size = 1
    while value > 10 * size:
        size *= 10
    return max(-(-value // (2 * size)) * 2 * size, 2)
