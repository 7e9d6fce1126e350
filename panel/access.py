"""Who asks for a page of a tenant, and what he may do there.

| value | made by | read by |
|---|---|---|
| `Needs` | `@needs` on a view | panel.door, before the view runs |
| `Place` | panel.door, one a request | views, templates (`request.place`) |
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from django.http import HttpRequest
from django.urls import reverse

from tenants.audit import Actor
from tenants.models import Membership, SupportGrant, Tenant, User

Role = Membership.Role
View = TypeVar("View", bound=Callable[..., Any])

# Each role may do what those before it may.
_RANKS: Final = {Role.VIEWER: 0, Role.EDITOR: 1, Role.ADMIN: 2, Role.OWNER: 3}


@dataclass(frozen=True, slots=True)
class Needs:
    """What a view of a tenant asks of who comes; `fresh`: that he lately proved who he is."""

    role: Membership.Role
    fresh: bool = False


def needs(role: Membership.Role, *, fresh: bool = False) -> Callable[[View], View]:
    """Say what a view asks for. The door refuses views under a tenant that say nothing."""

    def mark(view: View) -> View:
        view.needs = Needs(role, fresh)  # type: ignore[attr-defined]
        return view

    return mark


@dataclass(frozen=True, slots=True)
class Place:
    """A tenant and a member of it: `request.place`."""

    tenant: Tenant
    user: User
    role: Membership.Role
    actor: Actor
    section: str = ""
    """The first part of the address below the tenant: `domains`."""
    grants: tuple[SupportGrant, ...] = ()
    """Under which support may look at this moment."""

    def may(self, role: Membership.Role | str) -> bool:
        """Whether this member may do what `role` may."""
        return allows(self.role, role)

    def url(self, name: str, *args: object) -> str:
        """The address of a page of this tenant."""
        return reverse(f"tenant:{name}", args=(self.tenant.slug, *args))


def allows(has: Membership.Role | str, wanted: Membership.Role | str) -> bool:
    """Whether a member in the role `has` may do what `wanted` may."""
    return _RANKS[Role(has)] >= _RANKS[Role(wanted)]


def place_of(request: HttpRequest) -> Place:
    """Where the request is. Only behind the door."""
    return request.place  # type: ignore[attr-defined]
