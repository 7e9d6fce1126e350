"""The cast: Ada owns a tenant, Ben is a member of it, Mallory owns another one."""

from __future__ import annotations

from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Person:
    """Somebody with a tenant, and the few words that tests need."""

    email: str
    tenant: object

    def has_domain(self, name: str, *, verified: bool = True) -> None:
        from routing.services import add_domain

        add_domain(tenant=self.tenant, name=name, by_operator=verified, actor="test")

    def has_route(self, address: str, *destinations: str, confirmed: bool = True) -> None:
        from routing.services import add_route

        add_route(
            tenant=self.tenant,
            address=address,
            destinations=destinations,
            confirmed=confirmed,
            actor="test",
        )


@pytest.fixture
def ada(db) -> Person:
    return _owner("ada", "ada@ada.example")


@pytest.fixture
def mallory(db) -> Person:
    return _owner("mallory", "mallory@mallory.example")


@pytest.fixture
def ben(ada: Person) -> Person:
    from tenants.models import Membership, User

    user = User.objects.create_user("ben@ben.example", "correct horse battery")
    Membership.objects.create(tenant=ada.tenant, user=user, role=Membership.Role.VIEWER)
    return Person("ben@ben.example", ada.tenant)


def _owner(slug: str, email: str) -> Person:
    from tenants.services import create_tenant

    return Person(email, create_tenant(slug=slug, owner_email=email, actor="test"))
