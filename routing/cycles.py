"""Routes that would send mail round in a circle within one tenant: pure, over plain values.

An edge goes from a route to the route that takes one of its destinations. Paused routes count: they
may be switched on again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from mail.address import split_path
from mail.routes import RouteTable


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
    """
    ends = sorted({route.expires_at for route in routes if route.expires_at})
    cycle = find_cycle(routes)
    for end in ends:
        if cycle:
            break
        cycle = find_cycle([one for one in routes if not one.expires_at or one.expires_at > end])
    return cycle


def find_cycle(routes: Sequence[RoutePlace]) -> tuple[str, ...]:
    """Addresses of routes that lead into each other, the first one again at the end; () if none."""
    targets = _targets(routes)
    done: set[str] = set()
    for route in routes:
        cycle = _cycle_from(route.address, targets, done)
        if cycle:
            return cycle
    return ()


def _targets(routes: Sequence[RoutePlace]) -> dict[str, tuple[str, ...]]:
    tables = _tables(routes)
    return {route.address: tuple(_hosted(route.destinations, tables)) for route in routes}


def _tables(routes: Sequence[RoutePlace]) -> dict[str, RouteTable[str]]:
    by_domain: dict[str, list[tuple[str, str]]] = {}
    for route in routes:
        by_domain.setdefault(route.domain, []).append((route.pattern, route.address))
    return {domain: RouteTable.build(entries) for domain, entries in by_domain.items()}


def _hosted(destinations: Iterable[str], tables: Mapping[str, RouteTable[str]]) -> Iterable[str]:
    """Addresses of the routes that take these destinations."""
    for destination in destinations:
        local_part, domain = split_path(destination)
        match = tables[domain].match(local_part) if domain in tables else None
        if match:
            yield match.route


def _cycle_from(
    start: str, targets: Mapping[str, tuple[str, ...]], done: set[str]
) -> tuple[str, ...]:
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
            todo += [(target, False) for target in targets[address]]
    return ()
