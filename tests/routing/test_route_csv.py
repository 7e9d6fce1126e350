"""Routes as CSV: what is written is read again as it was, and no spreadsheet sees a formula."""

import csv
import io
import re

from hypothesis import given
from hypothesis import strategies as st

from routing.route_csv import COLUMNS, harmless, plain, read_csv, separate, write_csv

cells = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), max_size=20)
starts = st.sampled_from(["", "=", "+", "-", "@", "'", "''", "'=", "\t="])


@given(starts, cells, st.sampled_from(["", ";", "; ", ";'", "\t", ";;", "\t;"]), starts)
def test_a_cell_comes_back_and_is_no_formula(start, rest, separator, inner):
    cell = start + rest + separator + inner

    written = harmless(cell)

    assert plain(written) == cell
    for begins in re.split("[;\t]", written):  # as spreadsheets of other countries see it
        assert begins.lstrip(" ")[:1] not in ("=", "+", "-", "@", "\r")


@given(st.lists(st.tuples(*(st.builds(str.__add__, starts, cells) for _ in COLUMNS)), max_size=5))
def test_a_file_comes_back(rows):
    rows = [row for row in rows if any(cell.strip() for cell in row)]

    lines, faults = read_csv("".join(write_csv(rows)))

    assert faults == []
    read = [(one.address, one.destinations, one.mode, one.note, one.until) for one in lines]
    assert read == [tuple(cell.strip() for cell in row) for row in rows]


def test_lines_are_counted_as_an_editor_counts_them():
    text = 'address,destinations,note\n\na@b.example,c@d.example,"two\nlines"\n,,\nx,y,z,more\n'

    lines, faults = read_csv(text)

    assert [one.number for one in lines] == [3]
    assert [one.line for one in faults] == [6]


def test_a_spreadsheet_of_its_own_separator_is_read():
    text = "destinations\taddress\r\na@b.example c@d.example\thi@example.org\r\n"

    (line,), _ = read_csv(text)

    assert line.address == "hi@example.org"
    assert separate(line.destinations) == ["a@b.example", "c@d.example"]
    assert line.note is None


def test_quotes_hold_a_destination_together():
    assert separate('"a b"@c.example; d@e.example,\nf@g.example') == [
        '"a b"@c.example',
        "d@e.example",
        "f@g.example",
    ]


def test_what_is_written_is_csv():
    rows = [("hi@example.org", "a@b.example", "on", 'say "hi", twice', "")]

    assert list(csv.reader(io.StringIO("".join(write_csv(rows)))))[1] == list(rows[0])
