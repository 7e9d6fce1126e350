"""What people may write on a list, and the one form of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mail.errors import BadAddress
from mail.policy.trust_lists import canonical_subject


@pytest.mark.parametrize(
    ("typed", "subject"),
    [
        ("Carol@Author.Example", "carol@author.example"),
        ("carol@bücher.example", "carol@xn--bcher-kva.example"),
        ("author.example", "author.example"),
        ("@author.example", "author.example"),
        (".Author.Example.", ".author.example"),
        ("*.author.example", ".author.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("192.0.2.7/24", "192.0.2.0/24"),
        ("2001:DB8::1/32", "2001:db8::/32"),
        (" author.example ", "author.example"),
    ],
)
def test_what_is_typed_has_one_form(typed, subject):
    assert canonical_subject(typed) == subject
    assert canonical_subject(subject) == subject


@pytest.mark.parametrize(
    "typed",
    [
        *("", ".", "@", "*", "a@", "carol@192.0.2.7", "0.0.0.0/0", "10.0.0.0/7", "::/0", "1.2.3"),
        *("a b.example", "carol@author.example\r\nx", "192.0.2.7/33", "a@b@c", "x" * 2000),
    ],
)
def test_what_names_nobody_or_everybody_is_refused(typed):
    with pytest.raises(BadAddress):
        canonical_subject(typed)


@given(st.text(max_size=300))
def test_any_text_is_refused_or_has_a_form_that_stays(text):
    try:
        subject = canonical_subject(text)
    except BadAddress:
        return
    assert canonical_subject(subject) == subject
