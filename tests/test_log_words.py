"""One name for one thing in the process logs, whichever process writes the line."""

import re
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID

import pytest

PROJECT = Path(__file__).resolve().parent.parent
PARTS = ("delivery", "smtp_edge", "routing", "tenants", "panel", "ops", "mxax")
LINE = re.compile(r"\blog\.(?:debug|info|warning|error|exception)\((?:[^()]|\([^()]*\))*\)")
FILES = [file for part in PARTS for file in (PROJECT / part).rglob("*.py")]


@pytest.mark.parametrize("word", ["trace", "tenant"])
def test_ids_are_called_ids(word):
    lines = [(file, line) for file in FILES for line in LINE.findall(file.read_text())]

    assert len(lines) > 50
    assert [one for one in lines if re.search(rf"\b{word}=", one[1])] == []


def test_the_fields_of_an_attempt_are_called_like_the_edge_calls_them():
    from delivery.attempts import _names

    delivery = SimpleNamespace(id=1, message=SimpleNamespace(id=UUID(int=1), tenant_id=7))

    assert set(_names(delivery)) == {"trace_id", "tenant_id", "delivery"}
