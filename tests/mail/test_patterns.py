"""Regular expressions mean the same on every Python that we support."""

import re
from pathlib import Path

MAIL = Path(__file__).resolve().parents[2] / "mail"

POSSESSIVE_GROUP = re.compile(r"\)(?:[*+?]|\{\d*,?\d*\})\+")


def test_no_group_is_repeated_possessively():
    """Before 3.11.5 what its failed round had read stays read: a forged author lost a letter."""
    found = {
        f"{path.name}: {line.strip()}"
        for path in MAIL.rglob("*.py")
        for line in path.read_text().splitlines()
        if POSSESSIVE_GROUP.search(line)
    }

    assert found == set()


def test_such_a_group_would_be_found():
    assert POSSESSIVE_GROUP.search(r"(?:(?!x)[^@])*+")
    assert POSSESSIVE_GROUP.search(r"(?:ab){0,9}+")
    assert not POSSESSIVE_GROUP.search(r"(?>(?:ab)*)[cd]*+")
