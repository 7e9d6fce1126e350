"""Which route takes an address, and which routes cannot live side by side."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mail.errors import BadRoutePattern, DuplicateRoute
from mail.routes import How, RoutePattern, RouteTable, conflicts, have_common_match, parse_pattern
from tests.timing import within_cpu

EXACT, PLUS, GLOB, CATCH_ALL = How.EXACT, How.PLUS, How.GLOB, How.CATCH_ALL

EXAMPLES = [
    # routes                         local part        taken by       how
    (["hi"],                         "hi",             "hi",          EXACT),
    (["hi"],                         "HI",             "hi",          EXACT),
    (["Hi"],                         "hI",             "Hi",          EXACT),
    (["hi"],                         "hi2",            None,          None),
    (["hi"],                         "hi+news",        "hi",          PLUS),
    (["hi"],                         "HI+News",        "hi",          PLUS),
    (["hi"],                         "hi+",            "hi",          PLUS),
    (["hi"],                         "hi+a+b",         "hi",          PLUS),
    (["hi", "hi+news"],              "hi+news",        "hi+news",     EXACT),
    (["hi", "hi+news"],              "hi+newsletter",  "hi",          PLUS),
    (["hi+a", "hi"],                 "hi+a+b",         "hi",          PLUS),
    (["hi+news"],                    "hi",             None,          None),
    (["hi"],                         "+hi",            None,          None),
    (["hi", "h*"],                   "hi",             "hi",          EXACT),
    (["hi", "hi+*"],                 "hi+news",        "hi",          PLUS),
    (["hi+*"],                       "hi+news",        "hi+*",        GLOB),
    (["sales-*"],                    "sales-eu",       "sales-*",     GLOB),
    (["sales-*"],                    "sales-",         "sales-*",     GLOB),
    (["sales-*"],                    "sales",          None,          None),
    (["sales-*"],                    "presales-eu",    None,          None),
    (["*-bounce"],                   "list-bounce",    "*-bounce",    GLOB),
    (["*-bounce"],                   "-bounce",        "*-bounce",    GLOB),
    (['"*@*"', "*"],                 "a@b",            '"*@*"',       GLOB),
    (["a*b*c*d"],                    "aXbYcZd",        "a*b*c*d",     GLOB),
    (["a*b*c*d"],                    "abcd",           "a*b*c*d",     GLOB),
    (["a*b*c*d"],                    "acbd",           None,          None),
    (["ab*ba"],                      "aba",            None,          None),
    (["ab*ba"],                      "abba",           "ab*ba",       GLOB),
    (["*ab*ab"],                     "abab",           "*ab*ab",      GLOB),
    (["*ab*ab"],                     "ab",             None,          None),
    (["s*", "sales*", "sa*"],        "sales-eu",       "sales*",      GLOB),
    (["s*", "sales*", "sa*"],        "sam",            "sa*",         GLOB),
    (["*", "s*"],                    "sam",            "s*",          GLOB),
    (["*", "hi"],                    "anyone",         "*",           CATCH_ALL),
    (["*", "hi"],                    "hi+x",           "hi",          PLUS),
    (["**"],                         "anyone",         "**",          CATCH_ALL),
    (["a.c"],                        "abc",            None,          None),
    (["{a|b}*"],                     "b",              None,          None),
    (["a?"],                         "ab",             None,          None),
    (["GRÜSSE"],                     "gru\u0308ße",    "GRÜSSE",      EXACT),
    (["ü-*"],                        "U\u0308-eins",   "ü-*",         GLOB),
    (['"a b"'],                      "A B",            '"a b"',       EXACT),
    ([],                             "hi",             None,          None),
]  # fmt: skip


@pytest.mark.parametrize(("routes", "local_part", "taken_by", "how"), EXAMPLES)
def test_route_that_takes_an_address(routes, local_part, taken_by, how):
    written_both_ways = [routes, routes[::-1]]

    for texts in written_both_ways:
        match = RouteTable.build((text, text) for text in texts).match(local_part)

        assert (match.route, match.how) == (taken_by, how) if match else taken_by is None


@pytest.mark.parametrize(
    "text",
    ["", "a*b*c*d*e", "****", "a b", "a@b", "a..b", ".a", "*.", "a\n*", "a\u2028", "*%0d%0a", "a" * 65, "ü" * 33, "a\u202eb"],
)  # fmt: skip
def test_what_is_no_pattern_is_refused(text):
    with pytest.raises(BadRoutePattern):
        parse_pattern(text)


def test_neighbouring_stars_are_one_star():
    assert parse_pattern("a**b") == parse_pattern("A*b")
    assert parse_pattern("***").is_catch_all


def test_the_same_pattern_twice_is_refused_when_a_table_is_built():
    for pair in (("hi", "HI"), ("a*", "A**"), ("*", "**"), ("ü", "u\u0308"), ('"hi"', "hi")):
        with pytest.raises(DuplicateRoute):
            RouteTable.build((text, None) for text in pair)


@pytest.mark.parametrize(
    ("pattern", "other", "tie"),
    [
        ("hi", "HI", True),
        ("*", "**", True),
        ("a*", "*b", True),
        ("a*", "b*", False),
        ("*a", "*b", False),
        ("ab*", "a*c", True),
        ("a*", "ab*", False),
        ("a*c*", "*b*d", True),
        ("a*b", "a*c", False),
        ("ab*cd", "a*bcd", True),
        ("x*a", "x*b", False),
        ("hi", "h*", False),
        ("*", "a*", False),
        ("*a*b*", "*b*a*", True),
    ],
)
def test_ties_are_refused_when_a_route_is_saved(pattern, other, tie):
    saved, new = parse_pattern(pattern), parse_pattern(other)

    assert conflicts(new, [saved]) == ((saved,) if tie else ())
    assert conflicts(saved, [new]) == ((new,) if tie else ())


small_pattern = st.text("ab*", min_size=1, max_size=5).filter(lambda text: text.count("*") <= 3)


@given(small_pattern, st.text("ab", max_size=10))
def test_matching_is_what_the_definition_says(text, local_part):
    def fits(pattern: str, rest: str) -> bool:
        if not pattern:
            return not rest
        if pattern[0] == "*":
            return any(fits(pattern[1:], rest[i:]) for i in range(len(rest) + 1))
        return rest[:1] == pattern[0] and fits(pattern[1:], rest[1:])

    assert parse_pattern(text).matches(local_part) == fits(text, local_part)


EVERY_WORD = ["".join(letters) for n in range(9) for letters in product("ab", repeat=n)]


@given(small_pattern, small_pattern)
def test_two_patterns_meet_exactly_when_some_word_fits_both(one, two):
    # The shortest common word is never longer than both patterns' letters together.
    a, b = parse_pattern(one), parse_pattern(two)

    assert have_common_match(a, b) == any(a.matches(w) and b.matches(w) for w in EVERY_WORD)


@given(st.text(max_size=20))
def test_what_is_stored_reads_back_as_the_same_pattern(text):
    try:
        pattern = parse_pattern(text)
    except BadRoutePattern:
        return

    assert parse_pattern(str(pattern)) == pattern


def test_a_hostile_address_costs_no_time():
    # Quadratic or worse would take minutes here.
    pattern = RoutePattern(("a" * 20, "a" * 20 + "b", "a" * 20, "c"))

    assert not within_cpu(lambda: pattern.matches("a" * 100_000), seconds=1)
