"""The fast search says what the plain one says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mail.search import holds

WANTED = (b"  ", b" \r\n", b"\n.", b"\r\n.\r\n")
LONG = b"x" * 5000


@given(
    octets=st.lists(st.sampled_from([b" ", b"\r", b"\n", b".", b"x", b"\0", b"\xff"])).map(b"".join)
)
@pytest.mark.parametrize("wanted", WANTED)
@pytest.mark.parametrize("before", [b"", LONG])
@pytest.mark.parametrize("after", [b"", LONG])
def test_it_agrees_with_the_plain_search(octets, wanted, before, after):
    text = before + octets + after

    assert holds(text, wanted) == (wanted in text)


@pytest.mark.parametrize("wanted", WANTED)
def test_it_looks_behind_a_nul(wanted):
    assert holds(LONG + b"\0" + LONG + wanted, wanted)
    assert not holds(LONG + b"\0" + LONG, wanted)
