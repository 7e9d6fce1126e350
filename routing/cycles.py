"""Routes that would send mail round in a circle within one tenant: pure, over plain values.

An edge goes from a route to the route that takes one of its destinations. Paused routes count: they
may be switched on again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from mail.address import split_path
from mail.routes import RouteTable

MOST_ENDS: Final = 10
"""Moments that are looked at one by one: each costs 0.1 s where there are 5,000 routes."""

# By address of a route: for each of its destinations the routes that take its mail.
_Targets = Mapping[str, Sequence[Sequence[str]]]


@dataclass(frozen=True, slots=True)
class RoutePlace:
    """A route as the search for circles sees it; destinations in wire form."""

    address: str
    """`pattern@domain`, for the message."""
    domain: str
    pattern: str
    destinations: tuple[str, ...]
    expires_at: datetime | None = None


def find_cycle_ever(routes: Sequence[RoutePlace]) -> tuple[str, ...]:
    """The first circle that these routes form now, or after the end of any of them; () if none.

    When a route ends, another takes its mail: nobody saves anything then, so it is looked at now.
    Where more than ten such moments could close a circle, one that may never be whole counts too.
    """
    cycle = find_cycle(routes)
    if cycle:
        return cycle
    heirs = _heirs(routes)
    possible = _first_cycle(routes, heirs)
    if not possible:
        return ()
    ends = _ends_that_matter(routes, heirs)
    if len(ends) > MOST_ENDS:
        return possible
    left = ([one for one in routes if not one.expires_at or one.expires_at > end] for end in ends)
    return next(filter(None, map(find_cycle, left)), ())


def find_cycle(routes: Sequence[RoutePlace]) -> tuple[str, ...]:
    """Addresses of routes that lead into each other, the first one again at the end; () if none."""
    tables = _tables(routes)
    targets = {route.address: [_hosted(route.destinations, tables)] for route in routes}
    return _first_cycle(routes, targets)


def _first_cycle(routes: Sequence[RoutePlace], targets: _Targets) -> tuple[str, ...]:
    done: set[str] = set()
    circles = (_cycle_from(route.address, targets, done) for route in routes)
    return next(filter(None, circles), ())


def _heirs(routes: Sequence[RoutePlace]) -> _Targets:
    """For each route and destination all that take its mail, now or after those before ended."""
    tables = _tables(routes)
    lasting = {route.address for route in routes if route.expires_at is None}
    known: dict[str, tuple[str, ...]] = {}

    def heirs_of(destination: str) -> tuple[str, ...]:
        if destination not in known:
            local_part, domain = split_path(destination)
            found = []
            for match in tables[domain].matches(local_part) if domain in tables else ():
                found.append(match.route)
                if match.route in lasting:
                    break
            known[destination] = tuple(found)
        return known[destination]

    return {route.address: [heirs_of(one) for one in route.destinations] for route in routes}


def _ends_that_matter(routes: Sequence[RoutePlace], heirs: _Targets) -> list[datetime]:
    """Moments at which mail of one of the routes begins to go to another one."""
    inherited = {address for lines in heirs.values() for line in lines for address in line[:-1]}
    return sorted({one.expires_at for one in routes if one.expires_at and one.address in inherited})


def _tables(routes: Sequence[RoutePlace]) -> dict[str, RouteTable[str]]:
    by_domain: dict[str, list[tuple[str, str]]] = {}
    for route in routes:
        by_domain.setdefault(route.domain, []).append((route.pattern, route.address))
    return {domain: RouteTable.build(entries) for domain, entries in by_domain.items()}


def _hosted(destinations: Iterable[str], tables: Mapping[str, RouteTable[str]]) -> tuple[str, ...]:
    """Addresses of the routes that take these destinations now."""
    split = (split_path(destination) for destination in destinations)
    found = (tables[domain].match(local) for local, domain in split if domain in tables)
    return tuple(match.route for match in found if match)


def _cycle_from(start: str, targets: _Targets, done: set[str]) -> tuple[str, ...]:
    """Depth first without recursion: a chain may be as long as there are routes."""
    path: list[str] = []
    on_path: set[str] = set()
    todo = [(start, False)]
    while todo:
        address, leaving = todo.pop()
        if leaving:
            on_path.discard(path.pop())
            done.add(address)
        elif address in on_path:
            return (*path[path.index(address) :], address)
        elif address not in done:
            path.append(address)
            on_path.add(address)
            todo.append((address, True))
            todo += [(target, False) for line in targets[address] for target in line]
    return ()
