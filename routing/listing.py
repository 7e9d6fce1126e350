"""Lists of routes for people: what state each is in, found by what people look for.

One query for the routes of a page and one for their destinations, however many routes there are.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Final

from django.db.models import Exists, F, OuterRef, Prefetch, Q, QuerySet, TextField, Value
from django.db.models.functions import Concat, Now

from mail.address import unicode_domain
from mail.facts import RouteMode
from mail.routes import RouteTable
from routing.models import KEPT_IN_TRASH, Destination, Domain, Route, RouteDestination


class RouteState(Enum):
    """How a route stands; the text is what people read."""

    ON = "on"
    PAUSED = "paused"
    FAILING = "paused: its mail failed 12 times"
    UNCONFIRMED = "not confirmed"
    EXPIRED = "expired"
    TRASH = "in the trash"

    @property
    def tone(self) -> str:
        """For a badge: what works is good, what somebody wished is neither."""
        return _TONES[self]


_TONES: Final = {
    RouteState.ON: "good",
    RouteState.PAUSED: "warn",
    RouteState.FAILING: "bad",
    RouteState.UNCONFIRMED: "warn",
    RouteState.EXPIRED: "warn",
    RouteState.TRASH: "",
}


class Wanted(Enum):
    """What the list may be narrowed to; the value stands in the URL."""

    ON = "on"
    PAUSED = "paused"
    UNCONFIRMED = "unconfirmed"
    EXPIRED = "expired"
    TRASH = "trash"


@dataclass(frozen=True, slots=True)
class End:
    """One destination of a route, as a list shows it."""

    address: str
    is_confirmed: bool


@dataclass(frozen=True, slots=True)
class RouteRow:
    """One route with its destinations and its state."""

    route: Route
    ends: tuple[End, ...]
    state: RouteState

    @property
    def address(self) -> str:
        return str(self.route)


def state_of(route: Route, *, has_confirmed: bool, now: datetime) -> RouteState:
    """What counts most comes first: a paused route that has expired takes no mail anyhow."""
    if route.removed_at is not None:
        return RouteState.TRASH
    if route.expires_at is not None and route.expires_at <= now:
        return RouteState.EXPIRED
    if route.mode != RouteMode.ON.value:
        failing = route.paused_because == Route.Cause.FAILURES
        return RouteState.FAILING if failing else RouteState.PAUSED
    return RouteState.ON if has_confirmed else RouteState.UNCONFIRMED


def routes_where(
    *, search: str = "", domain: str = "", state: Wanted | None = None
) -> QuerySet[Any]:
    """Routes of the open tenant; `search` is in an address, a destination or a note.

    Pages show U-labels: what is typed so is looked for among domains in its A-labels, too.
    """
    routes = _shown(_in_state(state))
    if domain:
        routes = routes.filter(domain__name=domain)
    if search:
        to = RouteDestination.objects.filter(
            route=OuterRef("pk"), destination__address__icontains=search
        )
        routes = routes.annotate(
            whole=Concat("pattern", Value("@"), F("domain__name"), output_field=TextField())
        ).filter(
            _of_domains(search)
            | Q(whole__icontains=search)
            | Q(note__icontains=search)
            | Exists(to)
        )
    return routes


def _of_domains(search: str) -> Q:
    """What is typed with U-labels: their domains, and the end of the mailbox before an @."""
    mailbox, _, domain = search.rpartition("@")
    if domain.isascii():
        return Q(pk__in=())
    wanted = domain.casefold()
    names = Domain.objects.filter(name__contains="xn--").values_list("name", flat=True)
    found = [name for name in names if wanted in unicode_domain(name)]
    return Q(domain__name__in=found, pattern__iendswith=mailbox)


def route_rows(routes: Any) -> list[RouteRow]:
    """The routes of a page (of `routes_where`) with their states."""
    return [_row(route) for route in routes]


def route_row(route_id: int) -> RouteRow | None:
    """One route of the open tenant, in the trash or out of it."""
    route = _shown(Route.with_trash.all()).filter(pk=route_id).first()
    return None if route is None else _row(route)


def heir_of(route: Route) -> str:
    """The address of the route that gets the mail once this one is away; "" where none does."""
    key = route.pattern_key
    near = Q(pattern_key__contains="*") | Q(pattern_key=key.partition("+")[0])
    others = Route.objects.in_force().filter(near, domain=route.domain_id).exclude(pk=route.pk)
    table = RouteTable.build((p, p) for p in others.values_list("pattern", flat=True))
    match = table.match(key.replace("*", "any"))
    return f"{match.route}@{route.domain.name}" if match else ""


def _shown(routes: QuerySet[Route]) -> QuerySet[Any]:
    """With all that a row needs, and the moment at which it was read."""
    ends: Any = Prefetch("destinations", Destination.objects.order_by("id"), to_attr="ends")
    return routes.select_related("domain").prefetch_related(ends).annotate(read_at=Now())


def _row(route: Any) -> RouteRow:
    ends = tuple(End(one.address, one.confirmed_at is not None) for one in route.ends)
    confirmed = any(end.is_confirmed for end in ends)
    return RouteRow(route, ends, state_of(route, has_confirmed=confirmed, now=route.read_at))


def _in_state(state: Wanted | None) -> QuerySet[Route]:
    if state is Wanted.TRASH:
        return Route.with_trash.filter(removed_at__isnull=False)
    if state is Wanted.EXPIRED:
        return Route.objects.filter(expires_at__lte=Now())
    if state is None:
        return Route.objects.all()
    on = Q(mode=RouteMode.ON.value)
    if state is Wanted.PAUSED:
        return Route.objects.in_force().exclude(on)
    confirmed = RouteDestination.objects.filter(
        route=OuterRef("pk"), destination__confirmed_at__isnull=False
    )
    works = Exists(confirmed)
    return Route.objects.in_force().filter(on, works if state is Wanted.ON else ~works)


@dataclass(frozen=True, slots=True)
class TrashLine:
    """One line of `route list --trash`."""

    address: str
    removed_at: datetime
    gone_at: datetime
    note: str


def trash_lines(domain: str | None = None) -> list[TrashLine]:
    """The trash of the open tenant, what was removed last first."""
    routes = routes_where(domain=domain or "", state=Wanted.TRASH).order_by("-removed_at", "id")
    return [
        TrashLine(str(one), one.removed_at, one.removed_at + KEPT_IN_TRASH, one.note)
        for one in routes
        if one.removed_at is not None
    ]
