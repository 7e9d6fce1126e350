"""Fifty people of 25 tenants claim and prove one domain at the same moment: one tenant owns it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, connections

from routing.selectors import domain_snapshot
from tenants.claims import challenge_text
from tenants.models import ClaimedDomain
from tests.cast import Person
from tests.routing.test_confirmations import nobody_rings  # noqa: F401

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

NAME = "xn--bcher-kva.example"
VARIANTS = (
    *("bücher.example", "BÜCHER.EXAMPLE", "xn--bcher-kva.example", "XN--BCHER-KVA.Example."),
    *("bücher.example.", " bücher.example ", "bücher。example", "bu\u0308cher.example"),
)
TENANTS, CROWD = 25, 50


@pytest.fixture
def crowd(transactional_db) -> list[Person]:
    from tenants.services import create_tenant

    made = []
    for number in range(TENANTS):
        email = f"owner{number}@crowd.example"
        made.append(
            Person(email, create_tenant(slug=f"crowd-{number}", owner_email=email, actor="test"))
        )
    return made * (CROWD // TENANTS)


def at_once(crowd, act) -> list:
    """Everybody acts at the same moment, each on a connection of his own."""
    clients = [person.client() for person in crowd]
    start = threading.Barrier(CROWD)

    def one(number):
        try:
            start.wait(60)
            return act(number, crowd[number], clients[number])
        finally:
            connections.close_all()

    with ThreadPoolExecutor(CROWD) as pool:
        return list(pool.map(one, range(CROWD)))


def test_fifty_parallel_claims_end_with_one_owner(crowd, dns):
    def adds(number, person, client):
        name = VARIANTS[number % len(VARIANTS)]
        return client.post(person.url("domain-add"), {"name": name}).status_code

    assert sorted(at_once(crowd, adds)) == [303] * TENANTS + [422] * TENANTS
    claims = ClaimedDomain.objects.all()
    assert {(claim.name, claim.state) for claim in claims} == {(NAME, "pending")}
    assert len({claim.token for claim in claims}) == TENANTS
    assert len({claim.tenant_id for claim in claims}) == TENANTS

    dns.publish(f"_mxax-challenge.{NAME}", "TXT", *(challenge_text(c.token) for c in claims))
    dns.publish(NAME, "MX", "10 mxax.test")

    def checks(number, person, client):
        return client.post(person.url("domain-check", NAME), follow=True).content.decode()

    answers = at_once(crowd, checks)

    (owner,) = ClaimedDomain.objects.filter(state="verified")
    assert domain_snapshot(NAME).tenant_id == owner.tenant_id
    told = [text for text in answers if "less than a minute ago" not in text]
    assert len(told) == TENANTS, "one look a minute for each"
    assert sum("its mail comes to us" in text for text in told) == 1
    assert sum("verified for another tenant" in text for text in told) == TENANTS - 1
    assert ClaimedDomain.objects.filter(state="pending").count() == TENANTS - 1


def test_one_tenant_that_claims_a_domain_fifty_times_has_it_once(ada, dns):
    def adds(number, person, client):
        name = VARIANTS[number % len(VARIANTS)]
        return client.post(person.url("domain-add"), {"name": name}).status_code

    assert sorted(at_once([ada] * CROWD, adds)) == [303] + [422] * (CROWD - 1)
    assert ClaimedDomain.objects.count() == 1


@pytest.fixture
def in_the_role_of_the_web(transactional_db):
    """Every connection from now on is one of a web process."""
    options = connection.settings_dict["OPTIONS"]
    before = dict(options)
    role = (
        {"assume_role": "mxax_web"} if "assume_role" in options else {"options": "-c role=mxax_web"}
    )
    yield lambda: (options.update(role), connection.close())
    options.clear()
    options.update(before)
    connection.close()


def test_a_web_process_may_do_everything_that_these_pages_do(ada, dns, in_the_role_of_the_web):
    from routing.models import DkimKey
    from tenants.context import tenant_schema

    browser = ada.client()
    in_the_role_of_the_web()

    assert browser.post(ada.url("domain-add"), {"name": "acme.example"}).status_code == 303
    dns.publish(
        "_mxax-challenge.acme.example", "TXT", challenge_text(ClaimedDomain.objects.get().token)
    )
    dns.publish("acme.example", "MX", "10 mxax.test")
    ada.has_route("hi@acme.example", "friend@far.example")
    assert browser.post(ada.url("domain-key-add", "acme.example")).status_code == 303
    with tenant_schema(ada.tenant.pk):
        keys = list(DkimKey.objects.select_related("domain"))
    dns.publish_keys(*keys)
    assert browser.post(ada.url("domain-check", "acme.example")).status_code == 303
    for page in ("domain", "domain-records", "domain-checked", "domain-keys", "domain-zone"):
        assert browser.get(ada.url(page, "acme.example")).status_code == 200
    revoke = ada.url("domain-key-revoke", "acme.example", keys[0].pk)
    assert browser.post(revoke, {"typed": keys[0].selector}).status_code == 303
    remove = ada.url("domain-remove", "acme.example")
    assert browser.post(remove, {"typed": "acme.example"}).status_code == 303
    assert not ClaimedDomain.objects.exists()
