"""The octets of DATA in any cut: what comes out does not depend on how they arrived."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtp_edge.dotted import DottedOctets

LINES = st.lists(
    st.sampled_from([b"", b".", b"..", b".x", b"x", b"a longer line", b"y" * 40]), max_size=30
)


def stuffed(lines):
    """What a client sends for these lines (RFC 5321, 4.5.2)."""
    return b"".join((b"." + line if line.startswith(b".") else line) + b"\r\n" for line in lines)


@given(lines=LINES, cuts=st.lists(st.integers(1, 30), max_size=40), piece=st.integers(8, 60))
def test_pieces_make_up_what_the_author_wrote(lines, cuts, piece):
    wire = stuffed(lines) + b".\r\nNEXT"
    dotted = DottedOctets()
    clear, rest = b"", b""

    for size in [*cuts, len(wire)]:
        if dotted.ended:
            rest += wire[:size]
        else:
            rest += dotted.feed(wire[:size])
        wire = wire[size:]
        while not dotted.ended and dotted.waiting_octets >= piece + 8:
            clear += dotted.take(piece)
    while dotted.waiting_octets > 0:
        clear += dotted.take(piece)

    assert clear == b"".join(line + b"\r\n" for line in lines)
    assert rest == b"NEXT"
    assert not dotted.broken
    assert dotted.taken_octets == len(clear)


@given(octets=st.binary(max_size=200), cuts=st.lists(st.integers(1, 9), max_size=60))
def test_whatever_is_not_clean_is_known_to_be_broken(octets, cuts):
    wire = octets.replace(b"\r\n.\r\n", b"") + b"\r\n.\r\n"
    dotted = DottedOctets()
    for size in [*cuts, len(wire)]:
        if not dotted.ended:
            dotted.feed(wire[:size])
            wire = wire[size:]

    clear = dotted.take(1000)

    assert dotted.ended
    stray = clear.replace(b"\r\n", b"")
    is_clean = not any(octet in stray for octet in (b"\r", b"\n", b"\0"))
    assert dotted.broken != is_clean


@pytest.mark.parametrize("before", [b"", b"x" * 5000], ids=["short", "long"])
def test_every_row_of_line_ends_is_seen_for_what_it_is(before):
    for length in range(8):
        for some in itertools.product((b"\r", b"\n", b"x"), repeat=length):
            octets = before + b"".join(some) + b"x"
            dotted = DottedOctets()
            dotted.feed(octets + b"\r\n.\r\n")
            dotted.take(10_000)

            assert dotted.broken == bool(re.search(rb"\r(?!\n)|(?<!\r)\n", octets)), octets


@given(cuts=st.lists(st.integers(1, 9), max_size=60))
def test_the_end_is_found_in_what_is_thrown_away(cuts):
    wire = b"some\r\nlines\r\nof\n.\nit\r\n.\r\nNEXT"
    dotted = DottedOctets()
    dotted.discard()

    rest = b""
    for size in [*cuts, len(wire)]:
        if dotted.ended:
            rest += wire[:size]
        else:
            rest += dotted.feed(wire[:size])
        wire = wire[size:]

    assert dotted.ended
    assert rest == b"NEXT"
