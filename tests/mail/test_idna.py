"""Unicode's IdnaTestV2.txt, all of it: nothing raises, and every name has one A-label form.

UTS #46 is wider than IDNA 2008 and than the names that take mail, and the file is as old as the
oldest Unicode that we run with. So where our verdict is not the file's, one of four reasons must
explain it; they are tested as well, on the code points of the line itself.
"""

import contextlib
import gzip
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pytest

from mail.address import canonical_domain, parse_address, unicode_domain
from mail.errors import BadAddress, BadDomain

FILE = Path(__file__).parents[1] / "fixtures" / "idna" / "IdnaTestV2.txt.gz"
LINES = 6225
LDH_NAME = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")  # fmt: skip
ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})|\\x\{([0-9a-fA-F]+)\}")
# RFC 5892, 2.1: letters, marks and digits make names; what else may stand is hyphen, dot, joiners.
NAME_CATEGORIES = {"Ll", "Lo", "Lm", "Mn", "Mc", "Nd"}
ALSO_IN_NAMES = set("-.\u200c\u200d")
# Disallowed when the file was made, mapped since: Georgian capitals, palochka, the Hangul filler.
MAPPED_SINCE = {*map(chr, range(0x10A0, 0x10C6)), "\u04c0", "\u115f"}


@dataclass(frozen=True)
class Line:
    """`a_label`: what toASCII gives (non-transitional), without the trailing dot."""

    number: int
    source: str
    a_label: str
    errors: str

    @property
    def is_valid(self) -> bool:
        return self.errors == "[]"


@lru_cache(maxsize=1)
def lines() -> tuple[Line, ...]:
    text = gzip.decompress(FILE.read_bytes()).decode("utf-8")
    rows = ((number, row.split("#", 1)[0]) for number, row in enumerate(text.split("\n"), 1))
    return tuple(read(number, row) for number, row in rows if row.strip())


def read(number: int, row: str) -> Line:
    fields = [ESCAPED.sub(meant, field.strip(" \t")) for field in row.split(";")]
    source, to_unicode, unicode_errors, to_ascii, ascii_errors = fields[:5]
    a_label = to_ascii or to_unicode or source
    errors = ascii_errors or unicode_errors or "[]"
    return Line(number, source, a_label.removesuffix("."), errors)


def meant(escape: re.Match[str]) -> str:
    return chr(int(escape[1] or escape[2], 16))


def ours(text: str) -> str | None:
    try:
        return canonical_domain(text)
    except BadDomain:
        return None


def reason(line: Line, found: str | None) -> str | None:
    """Why our verdict is not the file's; None where nothing explains it."""
    if found is None:
        shown = decoded(line.a_label)
        if shown.rpartition(".")[2].isascii() and shown.rpartition(".")[2].isdigit():
            return "ends in a number"
        if any(not may_stand_in_names(character) for character in shown):
            return "no letter, mark or digit: IDNA 2008 has no symbols"
        return None
    if line.errors == "[V2]" and any(label[2:4] == "--" for label in found.split(".")):
        return "hyphens in third and fourth place of a label that is not encoded"
    if line.errors == "[P1, V6]" and MAPPED_SINCE & {*line.source, *decoded(line.a_label)}:
        return "mapped in a later Unicode"
    return None


def decoded(a_label: str) -> str:
    """U-labels by the plain codec, which asks no questions."""
    labels = a_label.split(".")
    return ".".join(
        label[4:].encode().decode("punycode") if label.startswith("xn--") else label
        for label in labels
    )


def may_stand_in_names(character: str) -> bool:
    return character in ALSO_IN_NAMES or unicodedata.category(character) in NAME_CATEGORIES


def test_the_file_is_whole():
    assert len(lines()) == LINES
    assert sum(line.is_valid for line in lines()) > 400


def test_no_line_raises_what_is_not_expected():
    for line in lines():
        for text in (line.source, line.a_label, line.source.upper(), f"mail.{line.source}"):
            ours(text)
            unicode_domain(text)
            with contextlib.suppress(BadAddress):
                parse_address(f"hi@{text}")


def test_every_line_is_judged_as_the_file_says_or_for_a_reason():
    agreed, explained, unexplained = 0, dict[str, int](), []
    for line in lines():
        found = ours(line.source)
        if found == (line.a_label if line.is_valid else None):
            agreed += 1
            continue
        why = reason(line, found)
        if why is None or (line.is_valid and found is not None):
            unexplained.append((line, found))
        else:
            explained[why] = explained.get(why, 0) + 1

    assert unexplained == []
    assert agreed + sum(explained.values()) == LINES
    assert len(explained) == 4
    assert sum(explained.values()) <= 120, explained


def test_a_name_has_one_form_however_it_is_written():
    for line in lines():
        found = ours(line.source)
        if found is None:
            continue
        assert LDH_NAME.fullmatch(found), line
        shown = unicode_domain(found)
        for text in (found, found.upper(), f"{found}.", shown, unicodedata.normalize("NFD", shown)):
            assert ours(text) == found, (line, text)


def test_lines_that_mean_one_name_get_one_form():
    forms: dict[str, set[str]] = {}
    for line in lines():
        found = ours(line.source)
        if line.is_valid and found is not None:
            forms.setdefault(line.a_label, set()).add(found)

    assert forms
    assert all(found == {a_label} for a_label, found in forms.items())


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("faß.de", "xn--fa-hia.de"),
        ("FASS.de", "fass.de"),
        ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
        ("例え．テスト", "xn--r8jz45g.xn--zckzah"),
        ("Bücher.Example.", "xn--bcher-kva.example"),
        ("بی\u200cبی.example", "xn--ngba50cb2343a.example"),
        ("a\u200db.example", None),
        ("xn--a.example", None),
        ("xn--a-ä.example", None),
        ("☕.example", None),
    ],
)
def test_what_people_type_has_the_form_that_is_stored(text, form):
    assert ours(text) == form
