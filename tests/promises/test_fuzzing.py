"""B17, B21: sessions and messages of all kinds of nonsense; `make fuzz` does it for ten minutes."""

from __future__ import annotations

import pytest

from tests.fuzzing import dialogue, parsers
from tests.fuzzing.budget import keep_trying, seconds

pytestmark = pytest.mark.slow


def test_no_session_breaks_the_listener_or_its_word():
    with dialogue.arena() as arena:
        tried = keep_trying(dialogue.talks(), arena.check, seconds() / 2)

    codes = ", ".join(f"{code} {count:,}" for code, count in sorted(arena.codes.items()))
    print(f"{tried:,} sessions, {arena.accepted:,} messages accepted; replies: {codes}")
    assert arena.accepted > tried / 50, "hardly any message came through: it tests nothing"
    assert {"220", "250", "354", "500", "550"} <= set(arena.codes)


def test_no_message_and_no_record_makes_a_reader_raise_or_think_long():
    tried = keep_trying(parsers.inputs, parsers.check, seconds() / 2)

    print(f"{tried:,} messages were read")
    assert tried
