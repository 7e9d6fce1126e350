"""Routes as CSV: reading what people upload, naming each bad line, and writing what they take home.

    address,destinations,mode,note,until
    hi@example.org,friend@away.example other@away.example,on,for friends,2027-01-31

`address` and `destinations` (apart by spaces) are needed, the others may be left out, in any order.
`mode` is on, refuse, defer, hold or drop; `until` the last day of the route. Commas, semicolons and
tabs separate; a byte order mark is passed over. A cell that a spreadsheet would take for a formula
is written with an apostrophe before it, which reading takes away again.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from mail.facts import RouteMode

MOST_LINES: Final = 5000
MOST_OCTETS: Final = 1_000_000

COLUMNS: Final = ("address", "destinations", "mode", "note", "until")
_NEEDED: Final = ("address", "destinations")
_SEPARATORS: Final = ",;\t"
_FORMULA: Final = frozenset("=+-@\t\r")
# Where a comma is in numbers, a spreadsheet begins a cell behind each semicolon.
_INNER: Final = re.compile(r"([;\t] *)(?='*[=+\-@\t\r])")
_INNER_GUARDED: Final = re.compile(r"([;\t] *)'(?='*[=+\-@\t\r])")
# A destination may have spaces inside quotes, and nowhere else. A quote that nobody closes goes on
# to the end: looking for its end again from each quote after it would take minutes.
_WORD: Final = re.compile(r'(?:"(?:[^"\\]|\\.|\\\Z)*(?:"|\Z)|[^\s"])+', re.DOTALL)


class UnreadableCsv(ValueError):
    """Not a line of it can be read; the text says why, for people."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a line, and in which column ("": with the line as a whole)."""

    line: int
    column: str
    reason: str
    text: str = ""
    """What stands there."""


@dataclass(frozen=True, slots=True)
class CsvLine:
    """One line as it was read; None for a column that the file does not have."""

    number: int
    address: str
    destinations: str
    mode: str | None = None
    note: str | None = None
    until: str | None = None


def read_csv(text: str) -> tuple[list[CsvLine], list[Fault]]:
    """The lines, and what cannot be one. Raises `UnreadableCsv`."""
    text = text.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")
    if len(text.encode("utf-8", "replace")) > MOST_OCTETS:
        raise UnreadableCsv("This is more than 1 MB: divide it into several files.")
    first_line = text.lstrip("\r\n").partition("\n")[0]
    rows = _rows(text, _separator(first_line))
    try:
        columns = _columns(next(rows)[1])
    except StopIteration:
        raise UnreadableCsv("There is nothing in it: the first line names the columns.") from None
    lines: list[CsvLine] = []
    faults: list[Fault] = []
    for number, cells in rows:
        if len(lines) + len(faults) >= MOST_LINES:
            raise UnreadableCsv(f"These are more than {MOST_LINES:,} lines: divide the file.")
        read = _line(number, cells, columns)
        if isinstance(read, Fault):
            faults.append(read)
        else:
            lines.append(read)
    return lines, faults


def _rows(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not empty, with the number of their first line in the file."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    began = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield began, [plain(cell.strip()).strip() for cell in cells]
            began = reader.line_num + 1
    except csv.Error as error:
        raise UnreadableCsv(f"Line {began} cannot be read as CSV: {error}.") from None


def _separator(first_line: str) -> str:
    return max(_SEPARATORS, key=first_line.count)


def _columns(cells: Sequence[str]) -> list[str]:
    columns = [cell.lower() for cell in cells]
    while columns and not columns[-1]:
        columns.pop()
    missing = [name for name in _NEEDED if name not in columns]
    if missing:
        raise UnreadableCsv(
            f"The first line names the columns, and {' and '.join(missing)} must be among them: "
            f"{','.join(COLUMNS)}."
        )
    strange = [name for name in columns if name not in COLUMNS]
    if strange or len(set(columns)) < len(columns):
        raise UnreadableCsv(f"The columns can be {', '.join(COLUMNS)}, each once.")
    return columns


def _line(number: int, cells: list[str], columns: list[str]) -> CsvLine | Fault:
    if any(cells[len(columns) :]):
        return Fault(number, "", f"has {len(cells)} columns, the first line has {len(columns)}")
    values = dict(zip(columns, cells, strict=False))
    return CsvLine(number, **{name: values.get(name, "") for name in columns})


def separate(cell: str) -> list[str]:
    """The destinations of a cell: apart by spaces, line ends, commas or semicolons after spaces."""
    return [word.strip(",;") for word in _WORD.findall(cell) if word.strip(",;")]


def mode_of(text: str) -> RouteMode:
    """Raises ValueError with words for people."""
    try:
        return RouteMode(text.strip().lower() or "on")
    except ValueError:
        raise ValueError("the mode is on, refuse, defer, hold or drop") from None


def end_of(text: str) -> datetime | None:
    """The moment after the last day, None for none. Raises ValueError with words for people."""
    if not text:
        return None
    try:
        return end_of_day(date.fromisoformat(text))
    except (ValueError, OverflowError):
        raise ValueError("the last day is written like 2027-01-31") from None


def end_of_day(day: date) -> datetime:
    """The moment after a day, in UTC."""
    return datetime.combine(day, time(), UTC) + timedelta(days=1)


def last_day(expires_at: datetime | None) -> date | None:
    """The last day on which a route takes mail, all or part of it."""
    if expires_at is None:
        return None
    return (expires_at.astimezone(UTC) - timedelta(microseconds=1)).date()


def write_csv(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a file, the header first; rows have the order of `COLUMNS`."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    for row in (COLUMNS, *rows):
        writer.writerow([harmless(cell) for cell in row])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def harmless(cell: str) -> str:
    """A cell in which no spreadsheet sees a formula; `plain` undoes it."""
    guarded = _INNER.sub(r"\1'", cell)
    return f"'{guarded}" if cell[:1] == "'" or cell[:1] in _FORMULA else guarded


def plain(cell: str) -> str:
    """What `harmless` was made from."""
    is_guarded = cell[:1] == "'" and (cell[1:2] == "'" or cell[1:2] in _FORMULA)
    return _INNER_GUARDED.sub(r"\1", cell[1:] if is_guarded else cell)
