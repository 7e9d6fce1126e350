"""Many routes at once, from CSV: a plan that names each bad line, then one transaction.

    text  ->  read_csv  ->  plan_lines (against what is there)  ->  apply_import

A line adds a route, or changes the one that has its address; nothing is ever removed. The plan is
made anew under the lock when it is applied, so what the preview promised is checked once more.
"""

from collections.abc import Sequence
from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from mail.address import split_path
from routing.models import Destination, Domain, Route, RouteDestination
from routing.route_csv import CsvLine, read_csv, separate
from routing.services import saving
from routing.services.confirmations import MOST_ASKED_A_DAY, ask_owners
from routing.services.held_mail import release_mail_of
from routing.services.import_plan import ImportPlan, PlannedRoute, plan_lines
from routing.services.routes import told
from tenants.audit import Actor, record_in_tenant
from tenants.changes import lock_routes, routes_changed
from tenants.context import tenant_schema
from tenants.errors import RouteRefused, TenancyError
from tenants.models import Tenant

MOST_DOMAINS_ASKED: Final = 500
_A_BATCH: Final = 100


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
        return plan_lines(lines, faults, refused)


def apply_import(
    *, tenant: Tenant, text: str, actor: Actor | str, skip_bad: bool = False
) -> ImportPlan:
    """Do it, in one transaction. Raises `UnreadableCsv`; `ImportRefused` while a line is bad."""
    lines, faults = read_csv(text)
    refused = _words_of_dns(lines)
    with transaction.atomic(), tenant_schema(tenant.pk):
        lock_routes(tenant.schema_name)
        plan = plan_lines(lines, faults, refused)
        if plan.faults and not skip_bad:
            raise ImportRefused(plan)
        planned = plan.added + plan.changed
        old = {one.line: _told_of(one) for one in plan.changed}
        changed = _write(plan)
        release_mail_of(changed, tenant_id=tenant.pk)
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


def _told_of(one: PlannedRoute) -> dict[str, Any]:
    assert one.there is not None
    return told(one.there.route, [end.address for end in one.there.ends])


def _write(plan: ImportPlan) -> list[Route]:
    """All rows of the plan in a handful of statements; gives the routes that were there before."""
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
    return changed


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
