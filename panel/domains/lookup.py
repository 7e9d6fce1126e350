"""The domain that a page is about."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Q
from django.db.models.functions import Now
from django.http import Http404

from panel.access import Place
from panel.domains.standing import check_of
from routing.domain_facts import facts_with
from routing.models import DkimKey, Domain
from routing.records.report import Row, latest
from routing.records.wanted import PublishedKey
from tenants.models import ClaimedDomain, DomainCheck


@dataclass(frozen=True, slots=True)
class Hosted:
    """A domain of the open tenant, with all that its pages show of it."""

    domain: Domain
    claim: ClaimedDomain
    check: DomainCheck | None
    keys: tuple[DkimKey, ...]
    routes: int
    now: datetime
    """The database's time at which this was read."""

    @property
    def name(self) -> str:
        return self.domain.name

    @property
    def rows(self) -> list[Row]:
        """What it should publish, with what was last seen. Nobody is asked."""
        published = [key for key in self.keys if key.state != DkimKey.State.RETIRED]
        facts = facts_with(
            self.claim, tuple(PublishedKey(key.selector, key.public) for key in published)
        )
        return latest(facts, self.check.report if self.check else ())


def hosted(place: Place, name: str) -> Hosted:
    """A domain by its A-label; 404 for any other. Three queries."""
    live = Count("routes", filter=Q(routes__removed_at=None))
    domain = Domain.objects.filter(name=name).annotate(live_routes=live).first()
    claims = ClaimedDomain.objects.filter(tenant=place.tenant, name=name)
    claim = claims.select_related("check_seen").annotate(asked_at=Now()).first()
    if domain is None or claim is None:
        raise Http404
    keys = domain.dkim_keys.defer("sealed_private").order_by("-created_at", "selector")
    check = check_of(claim)
    return Hosted(domain, claim, check, tuple(keys), domain.live_routes, claim.asked_at)
