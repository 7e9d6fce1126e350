"""Many routes at once, from CSV: a plan that names each bad line, then one transaction.

    text  ->  read_csv  ->  plan_import (against what is there)  ->  apply_import

A line adds a route, or changes the one that has its address; nothing is ever removed. The plan is
made anew under the lock when it is applied, so what the preview promised is checked once more.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from mail.address import split_path
from mail.facts import RouteMode
from mail.routes import RoutePattern, conflicts, parse_pattern
from routing.cycles import RoutePlace, find_cycle_ever
from routing.listing import RouteRow, route_rows, routes_where
from routing.models import Destination, Domain, Route, RouteDestination
from routing.names import RouteAddress, parse_route_address
from routing.route_csv import CsvLine, Fault, end_of, mode_of, read_csv, separate
from routing.selectors import route_places
from routing.services import saving
from routing.services.confirmations import MOST_ASKED_A_DAY, ask_owners
from routing.services.routes import told
from tenants.audit import Actor, record_in_tenant
from tenants.changes import lock_routes, routes_changed
from tenants.context import tenant_schema
from tenants.errors import RouteRefused, TenancyError
from tenants.models import Tenant
from tenants.names import one_line

MOST_CIRCLES: Final = 20
MOST_DOMAINS_ASKED: Final = 500
_A_BATCH: Final = 100

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


class ImportRefused(TenancyError):
    """There are bad lines, and they were not to be skipped."""

    def __init__(self, plan: ImportPlan) -> None:
        super().__init__("Some lines are not right: nothing was saved.")
        self.plan = plan


def plan_import(*, tenant: Tenant, text: str) -> ImportPlan:
    """What an import would do now. Raises `UnreadableCsv`. Asks the DNS, three seconds at most."""
    lines, faults = read_csv(text)
    refused = _words_of_dns(lines)
    with tenant_schema(tenant.pk):
        return _plan(lines, faults, refused)


def apply_import(
    *, tenant: Tenant, text: str, actor: Actor | str, skip_bad: bool = False
) -> ImportPlan:
    """Do it, in one transaction. Raises `UnreadableCsv`; `ImportRefused` while a line is bad."""
    lines, faults = read_csv(text)
    refused = _words_of_dns(lines)
    with transaction.atomic(), tenant_schema(tenant.pk):
        lock_routes(tenant.schema_name)
        plan = _plan(lines, faults, refused)
        if plan.faults and not skip_bad:
            raise ImportRefused(plan)
        planned = plan.added + plan.changed
        old = {one.line: _told_of(one) for one in plan.changed}
        _write(plan)
        _tell(planned, old, actor)
        _ask(tenant, planned, actor)
        for name in sorted({one.where.domain for one in planned}):
            routes_changed(name)
    return plan


def _words_of_dns(lines: Sequence[CsvLine]) -> dict[str, str]:
    """Destinations that cannot get mail, with words; of the first domains, where there are many."""
    by_domain: dict[str, list[str]] = {}
    for line in lines:
        for destination in _readable(line.destinations):
            by_domain.setdefault(split_path(destination)[1], []).append(destination)
    asked = list(by_domain)[:MOST_DOMAINS_ASKED]
    against = saving.words_against([by_domain[name][0] for name in asked])
    wrong = {split_path(address)[1]: words for address, words in against.items()}
    return {one: wrong[name] for name in wrong for one in by_domain[name]}


def _readable(cell: str) -> tuple[str, ...]:
    try:
        return saving.typed_destinations(separate(cell))
    except RouteRefused:
        return ()


def _plan(lines: Sequence[CsvLine], faults: list[Fault], refused: dict[str, str]) -> ImportPlan:
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


_MOST_NOTE: Final = 500


def _told_of(one: PlannedRoute) -> dict[str, Any]:
    assert one.there is not None
    return told(one.there.route, [end.address for end in one.there.ends])


def _write(plan: ImportPlan) -> None:
    """All rows of the plan in a handful of statements."""
    domains = {one.name: one for one in Domain.objects.all()}
    ends = _destination_rows(plan.added + plan.changed)
    changed = [_changed(one) for one in plan.changed]
    names = ("mode", "paused_because", "note", "expires_at", "changed_at")
    Route.objects.bulk_update(changed, names, batch_size=500)
    added = Route.objects.bulk_create(
        Route(
            domain=domains[one.where.domain],
            pattern=one.where.pattern,
            pattern_key=one.where.pattern_key,
            mode=one.mode.value,
            note=one.note,
            expires_at=one.expires_at,
        )
        for one in plan.added
    )
    pairs = list(zip([*added, *changed], plan.added + plan.changed, strict=True))
    RouteDestination.objects.filter(route__in=[route.pk for route in changed]).delete()
    RouteDestination.objects.bulk_create(
        RouteDestination(route=route, destination=ends[address])
        for route, one in pairs
        for address in one.destinations
    )


def _changed(one: PlannedRoute) -> Route:
    assert one.there is not None
    route = one.there.route
    if route.mode != one.mode.value:
        route.paused_because = Route.Cause.WISH
    route.mode, route.note, route.expires_at = one.mode.value, one.note, one.expires_at
    route.changed_at = timezone.now()
    return route


def _destination_rows(planned: Sequence[PlannedRoute]) -> dict[str, Destination]:
    wanted = dict.fromkeys(address for one in planned for address in one.destinations)
    known = {one.address: one for one in Destination.objects.filter(address__in=wanted)}
    new = Destination.objects.bulk_create(
        Destination(address=address) for address in wanted if address not in known
    )
    return known | {one.address: one for one in new}


def _tell(
    planned: Sequence[PlannedRoute], old: dict[int, dict[str, Any]], actor: Actor | str
) -> None:
    """Into the audit, a hundred routes an entry: an entry each would take minutes."""
    for start in range(0, len(planned), _A_BATCH):
        batch = planned[start : start + _A_BATCH]
        before = {one.where.text: old[one.line] for one in batch if one.line in old}
        after = {one.where.text: _new_of(one) for one in batch}
        subject = f"{len(batch)} routes"
        record_in_tenant("routes.imported", subject, actor=actor, old=before or None, new=after)


def _new_of(one: PlannedRoute) -> dict[str, Any]:
    route = Route(mode=one.mode.value, note=one.note, expires_at=one.expires_at)
    return told(route, one.destinations)


def _ask(tenant: Tenant, planned: Sequence[PlannedRoute], actor: Actor | str) -> None:
    """The owners of new destinations, as many as a tenant may ask in a day."""
    addresses = [address for one in planned for address in one.destinations]
    unasked = Destination.objects.filter(
        address__in=addresses, confirmed_at=None, asked_at=None
    ).order_by("id")
    ask_owners(tenant, unasked[:MOST_ASKED_A_DAY], actor)
