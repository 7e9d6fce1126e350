"""Who or what is meant: by slug, domain, address, a person's e-mail address, or a trace id.

Only shared tables are asked, so that finding needs no grant; what is inside a tenant does. Each
thing found says what it is, and where to go on.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import Prefetch, Q
from django.db.models.functions import Now
from django.urls import reverse

from delivery.models import ServiceEvent
from delivery.selectors import story_of
from mail.trace import printable
from ops.admin.search import Wanted
from ops.middleware import SHARED_PREFIX
from tenants.contacts import MOST_ASKED, contact_with
from tenants.invitations import state_of
from tenants.models import ClaimedDomain, Invitation, Membership, Tenant, User

AT_MOST = 20


@dataclass(frozen=True, slots=True)
class Link:
    """Where to go on. `asks`: the tenant is not open, so that a reason is asked for on the way."""

    text: str
    url: str
    asks: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that may be meant."""

    kind: str
    """Tenant, domain, person, invitation, destination."""
    name: str
    why: str
    links: tuple[Link, ...] = ()


@dataclass(frozen=True, slots=True)
class Finder:
    """Looks for what was typed; `opened` are the slugs that are open to who asks."""

    wanted: Wanted
    opened: frozenset[str]

    def find(self) -> list[Found]:
        """The likeliest first."""
        if self.wanted.trace_id is not None or not self.wanted.text:
            return []
        found = [*self._domains()]
        if "@" in self.wanted.text:
            found += [*self._people(), *self._invitations(), *self._destination()]
        else:
            found += self._tenants()
        return found

    def _domains(self) -> Iterator[Found]:
        place = self.wanted.place
        claims = ClaimedDomain.objects.filter(name=place).select_related("tenant")
        for claim in claims.order_by("-state")[:AT_MOST] if place else ():
            slug = claim.tenant.slug
            links = [self._inside(slug, "routing/domain/", f"Its records, in {slug}", place)]
            if self.wanted.address:
                address = self.wanted.address
                links.insert(0, self._inside(slug, "mail/", f"Mail to {address}", address))
            yield Found(
                "domain",
                claim.name,
                f"{claim.name} is {claim.state}, claimed by {slug}",
                (*links, _page("tenants_claimeddomain", claim.pk, "Its claim"), self._open(slug)),
            )

    def _people(self) -> Iterator[Found]:
        address = self.wanted.address or self.wanted.text
        members = Membership.objects.select_related("tenant").order_by("tenant__slug")
        people = User.objects.defer("password").filter(email__iexact=address)
        people = people.prefetch_related(Prefetch("memberships", members, to_attr="belonging"))
        for person in people[:AT_MOST]:
            tenants: list[Any] = list(getattr(person, "belonging", ()))
            roles = ", ".join(f"{one.role} of {one.tenant.slug}" for one in tenants)
            why = f"{person.email} is {roles or 'a member of no tenant'}"
            opened = (self._open(one.tenant.slug) for one in tenants[:AT_MOST])
            account = _page("tenants_user", person.pk, "The account")
            yield Found(
                "person",
                person.email,
                why if person.is_active else f"{why}, not active",
                (account, *opened),
            )

    def _invitations(self) -> Iterator[Found]:
        address = self.wanted.address or self.wanted.text
        invited = Invitation.objects.defer("digest").select_related("tenant")
        invited = invited.filter(email__iexact=address).annotate(asked_at=Now())
        for one in invited.order_by("-created_at")[:AT_MOST]:
            state = state_of(one, one.asked_at).value
            yield Found(
                "invitation",
                one.email,
                f"{one.email} was invited into {one.tenant.slug} as {one.role}; it {state}",
                (_page("tenants_invitation", one.pk, "The invitation"),),
            )

    def _destination(self) -> Iterator[Found]:
        """What our own count says of the address; whose destination it is says nobody here."""
        address = self.wanted.address
        contact = contact_with(address) if address else None
        if contact is None or not (contact.asked or contact.blocked_at):
            return
        asked = f"asked {contact.asked} of {MOST_ASKED} times whether mail may be forwarded to it"
        if contact.blocked_at is not None:
            asked += f"; since {contact.blocked_at:%-d %b %Y} its owner wants no mail from us"
        yield Found("destination", address, f"{address} was {asked}")

    def _tenants(self) -> Iterator[Found]:
        text = self.wanted.text
        for tenant in Tenant.objects.filter(Q(slug__icontains=text) | Q(name__icontains=text))[
            :AT_MOST
        ]:
            name = printable(tenant.name, 120)
            links = (self._open(tenant.slug), _page("tenants_tenant", tenant.pk, "The tenant"))
            why = f"{name}, {tenant.standing}" if name else str(tenant.standing)
            yield Found("tenant", tenant.slug, why, links)

    def _open(self, slug: str) -> Link:
        return Link(f"Open {slug}", f"{SHARED_PREFIX}t/{slug}/", slug not in self.opened)

    def _inside(self, slug: str, path: str, text: str, query: str) -> Link:
        address = f"{SHARED_PREFIX}t/{slug}/{path}?{urlencode({'q': query})}"
        return Link(text, address, slug not in self.opened)


def _page(model: str, pk: int, text: str) -> Link:
    return Link(text, reverse(f"admin:{model}_change", args=[pk], current_app="admin"))


def tenant_of_trace(trace_id: UUID) -> str | None:
    """The slug of the tenant that a trace id belongs to; "" the service itself, None nobody."""
    story = story_of(trace_id)
    return None if story is None else story.tenant


def refusals_here(address: str) -> int:
    """How many refusals of an address at a domain that is not hosted here are written down."""
    return ServiceEvent.objects.filter(recipient=address).count()
