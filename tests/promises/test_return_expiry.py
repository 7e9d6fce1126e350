"""Return addresses of the opaque form end on their day, and no almost right one is right."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mail.errors import SrsForged
from mail.opaque import rewrite_reverse_path
from mail.srs import decode_srs, encode_srs
from tests.smtp_edge.conftest import LETTER, mx, world
from tests.smtp_edge.listening import SRS_SECRET

__all__ = ["mx", "world"]

LONG_PATH = "b" * 80 + "@sender.example"


@pytest.mark.parametrize(
    ("days_left", "expected"), [(1, "250"), (0, "550 5.1.1"), (-1, "550 5.1.1")]
)
def test_an_opaque_return_address_is_refused_from_its_last_day_on(mx, days_left, expected):
    today = datetime.now(UTC).date()
    rewritten = rewrite_reverse_path(
        LONG_PATH, secrets=(SRS_SECRET,), today=today, domain="fwd.mxax.test"
    )
    row = replace(rewritten.opaque, expires_on=today + timedelta(days=days_left))
    mx.world.opaque[row.row_id] = row
    client = mx.connect()

    assert client.mail("", rewritten.path).startswith(expected)

    if expected == "250":
        assert client.data(LETTER).startswith("250")
        assert mx.world.kept[0].plan.deliveries[0].destination == LONG_PATH


def test_an_opaque_return_address_nobody_made_is_refused(mx):
    client = mx.connect()

    reply = client.mail("", f"SRS0=o={'a' * 32}@fwd.mxax.test")

    assert reply.startswith("550 5.1.1")


def test_a_hash_that_is_wrong_in_one_character_is_forged():
    today = datetime.now(UTC).date()
    made = {"secrets": (SRS_SECRET,), "today": today, "domain": "fwd.mxax.test"}
    path = encode_srs("bob@sender.example", **made)
    prefix, hash_, rest = path.split("=", 2)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
    taken = []

    for place, right in enumerate(hash_):
        for wrong in set(alphabet) - {right.upper()}:
            near = hash_[:place] + wrong + hash_[place + 1 :]
            try:
                decode_srs(f"{prefix}={near}={rest}", **made)
            except SrsForged:
                continue
            taken.append(near)

    assert decode_srs(path, **made) == "bob@sender.example"
    assert len(hash_) == 10
    assert taken == []
