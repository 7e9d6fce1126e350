"""The cast: Ada owns a tenant, Ben is a member of it, Mallory owns another one."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from django.test import Client

    from tenants.models import Tenant, User

LONG_DOMAIN = ".".join(("a" * 63, "b" * 63, "c" * 63, "d" * 44))
"""As long as a name can be that is proved by a record below it."""
PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class Person:
    """Somebody with a tenant, and the few words that tests need."""

    email: str
    tenant: Tenant

    @property
    def user(self) -> User:
        from tenants.models import User

        return User.objects.get(email=self.email)

    def client(self, *, recent: bool = True) -> Client:
        """A browser in which the person is signed in; `recent`: and has just proved it."""
        from django.test import Client

        from panel.recency import SESSION_KEY

        client = Client()
        client.force_login(self.user)
        session = client.session
        if recent:
            session[SESSION_KEY] = int(time.time())
        session.save()
        return client

    def url(self, name: str, *args: object) -> str:
        """The address of a page of the person's tenant."""
        from django.urls import reverse

        return reverse(f"tenant:{name}", args=(self.tenant.slug, *args))

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


@pytest.fixture(autouse=True)
def sessions_of_test_clients_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """`force_login` lists the browser as the sign-in page does: one that is not listed is over."""
    from django.apps import apps
    from django.conf import settings

    if not settings.configured or not apps.ready:
        return  # tests of pure code
    from django.test import Client

    from tenants.services.signins import keep_session

    plain = Client._login

    def login(client: Client, user: User, backend: str | None = None) -> None:
        plain(client, user, backend)
        key = client.session.session_key
        if user.web_sessions.filter(session_key=key).exists():
            return  # the same person once more: `login` keeps the key
        keep_session(user=user, session_key=key, client_ip="127.0.0.1", user_agent="a test")

    monkeypatch.setattr(Client, "_login", login)


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
