"""What an import of routes would do: each line read against what is there and the lines before."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from mail.address import split_path
from mail.facts import RouteMode
from mail.routes import RoutePattern, conflicts, parse_pattern
from routing.cycles import RoutePlace, find_cycle_ever
from routing.listing import RouteRow, route_rows, routes_where
from routing.models import Domain, Route
from routing.names import RouteAddress, parse_route_address
from routing.route_csv import CsvLine, Fault, end_of, mode_of, separate
from routing.selectors import route_places
from routing.services import saving
from tenants.errors import RouteRefused, TenancyError
from tenants.names import one_line

MOST_CIRCLES: Final = 20
_MOST_NOTE: Final = 500

_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class PlannedRoute:
    """A route as its line wants it; `there` is the one to change, None for a new one."""

    line: int
    where: RouteAddress
    destinations: tuple[str, ...]
    mode: RouteMode
    note: str
    expires_at: datetime | None
    there: RouteRow | None = None

    @property
    def key(self) -> _Key:
        return self.where.domain, self.where.pattern_key

    @property
    def is_same(self) -> bool:
        """Whether the route is like this already."""
        if self.there is None:
            return False
        route, ends = self.there.route, {end.address for end in self.there.ends}
        is_like = (route.mode, route.note, route.expires_at)
        return is_like == (self.mode.value, self.note, self.expires_at) and ends == set(
            self.destinations
        )


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """What would be done, by line; nothing at all while there are faults, unless one skips them."""

    added: tuple[PlannedRoute, ...]
    changed: tuple[PlannedRoute, ...]
    unchanged: int
    faults: tuple[Fault, ...]


def plan_lines(
    lines: Sequence[CsvLine], faults: list[Fault], refused: dict[str, str]
) -> ImportPlan:
    """The plan against the routes of the open tenant; `refused` are destinations, with words."""
    planner = _Planner(list(faults), refused)
    for line in lines:
        planner.read(line)
    planner.leave_circles_out()
    wanted = planner.wanted.values()
    return ImportPlan(
        added=tuple(one for one in wanted if one.there is None),
        changed=tuple(one for one in wanted if one.there is not None and not one.is_same),
        unchanged=sum(one.is_same for one in wanted),
        faults=tuple(sorted(planner.faults, key=lambda fault: fault.line)),
    )


class _Wrong(Exception):
    """A line that cannot be one: the column and the reason."""

    def __init__(self, column: str, reason: object) -> None:
        super().__init__(str(reason))
        self.column = column


@dataclass(slots=True)
class _Planner:
    """Reads one line after the other against what is there and the lines before."""

    faults: list[Fault]
    refused: dict[str, str]
    wanted: dict[_Key, PlannedRoute] = field(default_factory=dict)
    there: dict[_Key, RouteRow] = field(default_factory=dict)
    globs: dict[str, list[RoutePattern]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = Domain.objects.values_list("name", flat=True)
        self.globs = {name: [] for name in names}
        for row in route_rows(routes_where().order_by("id")):
            name = row.route.domain.name
            self.there[name, row.route.pattern_key] = row
            if "*" in row.route.pattern_key:
                self.globs[name].append(parse_pattern(row.route.pattern))

    def read(self, line: CsvLine) -> None:
        try:
            planned = self._planned(line)
        except _Wrong as wrong:
            text = str(getattr(line, wrong.column, "") or "")
            self.faults.append(Fault(line.number, wrong.column, str(wrong), text))
            return
        self.wanted[planned.key] = planned
        if planned.there is None and not planned.where.parsed.is_exact:
            self.globs[planned.where.domain].append(planned.where.parsed)

    def _planned(self, line: CsvLine) -> PlannedRoute:
        where = self._where(line)
        there = self.there.get((where.domain, where.pattern_key))
        destinations = self._destinations(line)
        route = there.route if there else None
        try:
            mode = mode_of(line.mode or "") if line.mode is not None or not route else None
        except ValueError as error:
            raise _Wrong("mode", error) from None
        return PlannedRoute(
            line=line.number,
            where=where,
            destinations=destinations,
            mode=RouteMode(route.mode) if mode is None and route else mode or RouteMode.ON,
            note=route.note if route and line.note is None else self._note(line),
            expires_at=self._end(line, route),
            there=there,
        )

    def _where(self, line: CsvLine) -> RouteAddress:
        try:
            where = parse_route_address(line.address)
        except RouteRefused as error:
            raise _Wrong("address", error) from None
        key = where.domain, where.pattern_key
        if where.domain not in self.globs:
            raise _Wrong("address", f"{where.domain} is not among your domains: add it first.")
        if key in self.wanted:
            raise _Wrong("address", f"The same route as in line {self.wanted[key].line}.")
        if key not in self.there:
            self._refuse_ties(where)
        return where

    def _refuse_ties(self, where: RouteAddress) -> None:
        if where.parsed.is_exact:
            return
        globs = self.globs[where.domain]
        if len(globs) >= saving.MOST_GLOBS:
            most = f"A domain has {saving.MOST_GLOBS} routes with a star at most."
            raise _Wrong("address", most)
        tied = conflicts(where.parsed, globs)
        if tied:
            other = f"{tied[0]}@{where.domain}"
            raise _Wrong("address", f"Ties with {other}: some addresses fit both equally well.")

    def _destinations(self, line: CsvLine) -> tuple[str, ...]:
        try:
            wanted = saving.typed_destinations(separate(line.destinations))
        except RouteRefused as error:
            raise _Wrong("destinations", error) from None
        for address in wanted:
            if address in self.refused:
                raise _Wrong("destinations", self.refused[address])
        return wanted

    def _note(self, line: CsvLine) -> str:
        try:
            note = one_line(line.note or "", "note")
        except TenancyError as error:
            raise _Wrong("note", error) from None
        if len(note) > _MOST_NOTE:
            raise _Wrong("note", f"A note has at most {_MOST_NOTE} characters.")
        return note

    def _end(self, line: CsvLine, route: Route | None) -> datetime | None:
        if line.until is None:
            return route.expires_at if route else None
        try:
            end = end_of(line.until)
            if route is None or end != route.expires_at:
                saving.refuse_past(end)
        except (ValueError, RouteRefused) as error:
            raise _Wrong("until", error) from None
        return end

    def leave_circles_out(self) -> None:
        """Lines whose routes would lead mail round, one circle after the other."""
        if not self._some_stay_inside():
            return
        there = {(place.domain, place.address): place for place in route_places()}
        for _ in range(MOST_CIRCLES):
            circle = find_cycle_ever(list(self._places(there)))
            guilty = next((one for one in self.wanted.values() if one.where.text in circle), None)
            if guilty is None:
                return
            del self.wanted[guilty.key]
            text = f"Mail would go in a circle: {' to '.join(circle)}."
            self.faults.append(Fault(guilty.line, "destinations", text, guilty.where.text))
        raise RouteRefused("Mail would go in circles: too many lines lead to your own routes.")

    def _some_stay_inside(self) -> bool:
        ends = (end for one in self.wanted.values() for end in one.destinations)
        return any(split_path(end)[1] in self.globs for end in ends)

    def _places(self, there: dict[_Key, RoutePlace]) -> Iterable[RoutePlace]:
        ours = {(one.where.domain, one.where.text): one for one in self.wanted.values()}
        yield from (place for key, place in there.items() if key not in ours)
        for one in ours.values():
            where = one.where
            yield RoutePlace(
                where.text, where.domain, where.pattern, one.destinations, one.expires_at
            )
