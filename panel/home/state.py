"""What the first page of a tenant shows; reads the open schema, a handful of queries."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Final

from django.db.models import Exists, OuterRef

from delivery.quarantine_selectors import in_quarantine
from delivery.route_counts import DayCounts, days_of
from mail.facts import DomainStanding
from panel.access import Place, Role
from panel.charts import Chart, Series, bars_of_days
from routing.models import Destination, Route, RouteDestination
from tenants.claims import standing_of
from tenants.clock import database_now
from tenants.models import ClaimedDomain

MOST_NAMED: Final = 3
MOST_COUNTED: Final = 1000
COUNTED: Final = ("accepted", "delivered", "failed", "refused")


@dataclass(frozen=True, slots=True)
class Matter:
    """Something that needs somebody; `names` are A-labels of the first domains it is about."""

    tone: str
    text: str
    url: str
    names: tuple[str, ...] = ()
    more: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """One of the first steps, and whether it was taken."""

    text: str
    url: str
    is_done: bool


@dataclass(frozen=True, slots=True)
class Home:
    """All of it; `figures` of the last 30 days by name."""

    matters: tuple[Matter, ...]
    steps: tuple[Step, ...]
    figures: dict[str, int]
    chart: Chart
    domains: int
    routes: int


def home_of(place: Place) -> Home:
    """What a member sees first."""
    now = database_now()
    mine = ClaimedDomain.objects.filter(tenant=place.tenant).select_related("check_seen")
    # Without the reports: of two thousand domains they are as much as a small mailbox.
    claims = list(mine.defer("check_seen__report"))
    days = days_of(today=now.astimezone(UTC).date())
    figures = {name: sum(getattr(row, name) for row in days) for name in COUNTED}
    routes = Route.objects.count()
    served = [one for one in claims if standing_of(one, now) is DomainStanding.SERVED]
    return Home(
        matters=(
            *_domain_matters(place, claims, served),
            *_unconfirmed(place),
            *_quarantined(place),
            *_failures(place, days[-1].failed),
        ),
        steps=_steps(place, bool(claims), bool(served), routes > 0, figures["delivered"] > 0),
        figures=figures,
        chart=_chart(days),
        domains=len(claims),
        routes=routes,
    )


def _chart(days: Sequence[DayCounts]) -> Chart:
    series = (Series("delivered"), Series("refused", "warn"), Series("failed", "bad"))
    values = [(one.day, (one.delivered, one.refused, one.failed)) for one in days]
    return bars_of_days("mail", "Mail of the last 30 days", series, values)


def _domain_matters(
    place: Place, claims: list[ClaimedDomain], served: list[ClaimedDomain]
) -> list[Matter]:
    is_served = {c.pk for c in served}
    lost = [c for c in claims if c.proof_missing_since is not None]
    there = [c for c in claims if c.proof_missing_since is None]
    waiting = [c for c in there if c.pk not in is_served]
    broken = [c for c in there if c.pk in is_served and _is_broken(c)]
    texts = (
        ("bad", "The record that proves a domain is yours is missing:", lost),
        ("bad", "Records of a domain are wrong, so its mail may not arrive:", broken),
        ("warn", "Waiting for the record that proves the domain is yours:", waiting),
    )
    url = place.url("domains")
    return [
        Matter(
            *(tone, text, url, tuple(one.name for one in found[:MOST_NAMED])),
            max(0, len(found) - MOST_NAMED),
        )
        for tone, text, found in texts
        if found
    ]


def _is_broken(claim: ClaimedDomain) -> bool:
    seen = getattr(claim, "check_seen", None)
    return seen is not None and seen.works is False


def _quarantined(place: Place) -> list[Matter]:
    matters = in_quarantine(place.tenant.pk).values("message_id", "recipient").distinct()
    count = matters[:MOST_COUNTED].count()
    if not count:
        return []
    more = " or more" if count == MOST_COUNTED else ""
    text = "1 message waits" if count == 1 else f"{count}{more} messages wait"
    return [Matter("warn", f"{text} in quarantine.", place.url("quarantine"))]


def _unconfirmed(place: Place) -> list[Matter]:
    used = RouteDestination.objects.filter(destination=OuterRef("pk"), route__removed_at=None)
    count = Destination.objects.filter(Exists(used), confirmed_at=None).count()
    if not count:
        return []
    text = (
        "1 destination is not confirmed by its owner: nothing is forwarded to it yet."
        if count == 1
        else f"{count} destinations are not confirmed by their owners: nothing is forwarded to "
        "them yet."
    )
    return [Matter("warn", text, place.url("routes"))]


def _failures(place: Place, today: int) -> list[Matter]:
    if not today:
        return []
    text = f"{today} {'delivery' if today == 1 else 'deliveries'} failed today (UTC)."
    return [Matter("bad", text, f"{place.url('messages')}?state=failed")]


def _steps(place: Place, claimed: bool, served: bool, routed: bool, used: bool) -> tuple[Step, ...]:
    """The first steps, as long as one of them is open and somebody may take it."""
    if not place.may(Role.EDITOR) or (claimed and served and routed and used):
        return ()
    domains, routes = place.url("domains"), place.url("routes")
    return (
        Step("Add a domain", domains, claimed),
        Step("Publish its records, and let us look for them", domains, served),
        Step("Say where the mail of an address goes: add a route", routes, routed),
        Step("Send a test message, and follow it to its end", routes, used),
    )
