"""Circles of routes: found now and for the time after the end of a route, in little time."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from routing.cycles import MOST_ENDS, RoutePlace, find_cycle, find_cycle_ever
from tests.timing import within_cpu

BEGINS = datetime(2027, 1, 1, tzinfo=UTC)


def place(pattern, *destinations, day=None):
    ends = None if day is None else BEGINS + timedelta(days=day)
    there = tuple(f"{one}@ada.example" for one in destinations)
    return RoutePlace(f"{pattern}@ada.example", "ada.example", pattern, there, ends)


def one_end_after_the_other(routes):
    """What `find_cycle_ever` promises, without any thought of time."""
    ends = sorted({one.expires_at for one in routes if one.expires_at})
    left = [[one for one in routes if not one.expires_at or one.expires_at > end] for end in ends]
    return next(filter(None, map(find_cycle, [routes, *left])), ())


patterns = st.sampled_from(["a", "b", "a+b", "a*", "*b", "*"])
places = st.builds(
    lambda pattern, ends, day: place(pattern, *ends, day=day),
    patterns,
    st.lists(st.sampled_from(["a", "b", "a+b", "ab", "c"]), max_size=2),
    st.none() | st.integers(1, 5),
)


@given(st.lists(places, max_size=6, unique_by=lambda one: one.pattern))
def test_a_circle_is_found_exactly_where_one_will_be(routes):
    assert find_cycle_ever(routes) == one_end_after_the_other(routes)


def test_a_catch_all_inherits_and_closes_the_circle():
    routes = [place("a", "b"), place("b", day=3), place("*", "a")]

    assert find_cycle(routes) == ()
    assert find_cycle_ever(routes) == ("a@ada.example", "*@ada.example", "a@ada.example")


def test_five_thousand_routes_that_end_on_days_of_their_own_are_looked_through_at_once():
    chain = [place(f"r{n}", f"r{n + 1}", day=n % 3600) for n in range(5000)]

    assert within_cpu(lambda: find_cycle_ever([*chain, place("*")]), seconds=5) == ()


def test_where_too_many_ends_could_close_a_circle_one_that_might_be_counts():
    chain = [place(f"r{n}", f"r{n + 1}", day=9000 - n) for n in range(MOST_ENDS + 20)]

    assert within_cpu(lambda: find_cycle_ever([*chain, place("*", "r0")]), seconds=5)
