"""A domain's life: proof lost and found, removed, taken over; owners hear of it, mail follows."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.models import F

from delivery.models import Message
from mail.facts import DomainStanding
from routing.checks import TxtAnswer
from routing.models import Domain
from routing.resolver import TxtOutcome
from routing.selectors import domain_snapshot
from routing.services import check_domain, check_due_claims, remove_domain
from tenants.claims import challenge_text
from tenants.context import tenant_schema
from tenants.errors import AlreadyVerified
from tenants.models import ClaimedDomain, Membership, User
from tenants.services import delete_tenant
from tests.routing.test_confirmations import letters, nobody_rings  # noqa: F401

pytestmark = pytest.mark.django_db
NAME = "acme.example"


class Dns:
    """What the zone's servers say, whoever asks."""

    def __init__(self) -> None:
        self.answer = TxtAnswer(TxtOutcome.NXDOMAIN, frozenset())

    async def look_up(self, name: str) -> TxtAnswer:
        return self.answer

    def publishes(self, *claims: ClaimedDomain) -> None:
        texts = frozenset(challenge_text(claim.token) for claim in claims)
        self.answer = TxtAnswer(TxtOutcome.FOUND, texts)

    def says(self, outcome: TxtOutcome) -> None:
        self.answer = TxtAnswer(outcome, frozenset())


@pytest.fixture
def dns():
    return Dns()


@pytest.fixture
def claim(ada, dns):
    """Ada's domain, proved by DNS, with a route."""
    ada.has_domain(NAME, verified=False)
    ada.has_route(f"hi@{NAME}", "ada@away.example")
    row = ClaimedDomain.objects.get(name=NAME)
    dns.publishes(row)
    look(ada, dns)
    row.refresh_from_db()
    assert row.state == "verified"
    return row


def look(person, dns):
    return check_domain(tenant=person.tenant, name=NAME, actor="test", resolver=dns)


def passes(**time):
    """Everything that was noted lies this much further back."""
    ClaimedDomain.objects.update(
        proof_missing_since=F("proof_missing_since") - timedelta(**time),
        told_at=F("told_at") - timedelta(**time),
        next_check_at=F("next_check_at") - timedelta(**time),
    )


def subjects():
    return [letter["subject"] for letter in letters()]


def test_owners_are_told_at_once_that_the_proof_is_missing(ada, claim, dns):
    dns.says(TxtOutcome.NXDOMAIN)

    look(ada, dns)

    (letter,) = letters()
    assert letter["to"] == "ada@ada.example"
    assert letter["subject"] == f"The proof of {NAME} is missing in the DNS"
    assert challenge_text(claim.token) in letter.get_content()
    assert Message.objects.get().tenant_id == ada.tenant.pk


def test_every_active_owner_and_nobody_else_is_told(ada, ben, claim, dns):
    second = User.objects.create_user("second@ada.example")
    gone = User.objects.create_user("gone@ada.example", is_active=False)
    for user in (second, gone):
        Membership.objects.create(tenant=ada.tenant, user=user, role="owner")
    dns.says(TxtOutcome.NO_DATA)

    look(ada, dns)

    assert [letter["to"] for letter in letters()] == ["ada@ada.example", "second@ada.example"]


def test_servfail_tells_nobody_and_changes_nothing(ada, claim, dns):
    dns.says(TxtOutcome.UNKNOWN)

    for _ in range(3):
        look(ada, dns)
        passes(days=10)

    assert letters() == []
    assert domain_snapshot(NAME).standing is DomainStanding.SERVED


def test_a_flapping_proof_is_told_once_a_day_and_the_truth_in_the_end(ada, claim, dns):
    for _ in range(3):
        dns.says(TxtOutcome.NXDOMAIN)
        look(ada, dns)
        dns.publishes(claim)
        look(ada, dns)
        passes(hours=1)
    assert len(letters()) == 1

    passes(hours=24)
    look(ada, dns)
    look(ada, dns)

    assert subjects()[1:] == [f"The proof of {NAME} is back"]


def test_proof_lost_is_served_72_hours_then_put_off_for_five_days_then_refused(ada, claim, dns):
    dns.says(TxtOutcome.NXDOMAIN)
    look(ada, dns)

    passes(hours=71)
    look(ada, dns)
    assert domain_snapshot(NAME).standing is DomainStanding.SERVED

    passes(hours=2)
    look(ada, dns)
    assert domain_snapshot(NAME).standing is DomainStanding.FADING

    passes(hours=5 * 24)
    look(ada, dns)
    assert domain_snapshot(NAME) is None
    assert subjects()[-1] == f"{NAME} is not served any more"

    dns.publishes(claim)
    passes(days=1)
    check_due_claims(dns)
    assert domain_snapshot(NAME).standing is DomainStanding.SERVED
    assert subjects()[-1] == f"The proof of {NAME} is back"
    assert domain_snapshot(NAME).routes.match("hi").route.destinations == ("ada@away.example",)


def test_an_operators_word_needs_no_proof_and_makes_no_news(ada, dns):
    ada.has_domain(NAME)

    look(ada, dns)
    passes(days=30)

    assert letters() == []
    assert domain_snapshot(NAME).standing is DomainStanding.SERVED


def test_a_claim_never_proved_makes_no_news(ada, dns):
    ada.has_domain(NAME, verified=False)

    look(ada, dns)

    assert letters() == []


def test_the_worker_asks_destinations_once_the_proof_is_found(ada, dns):
    ada.has_domain(NAME, verified=False)
    ada.has_route(f"hi@{NAME}", "friend@away.example", confirmed=False)
    dns.publishes(ClaimedDomain.objects.get())
    assert letters() == []

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL ROLE mxax_worker")
        check_due_claims(dns)
        check_due_claims(dns)

    assert [letter["to"] for letter in letters()] == ["friend@away.example"]


def test_the_worker_may_do_all_this(ada, claim, dns):
    dns.says(TxtOutcome.NXDOMAIN)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL ROLE mxax_worker")
        look(ada, dns)

    assert len(letters()) == 1


def test_removed_and_claimed_by_another_the_old_proof_is_worth_nothing(ada, mallory, claim, dns):
    remove_domain(tenant=ada.tenant, name=NAME, actor="test")
    assert domain_snapshot(NAME) is None
    with tenant_schema(ada.tenant.pk):
        assert not Domain.objects.exists(), "routes and keys went with it"

    mallory.has_domain(NAME, verified=False)
    look(mallory, dns)
    theirs = ClaimedDomain.objects.get(name=NAME)
    assert (theirs.state, theirs.token != claim.token) == ("pending", True)

    dns.publishes(theirs)
    look(mallory, dns)
    snapshot = domain_snapshot(NAME)
    assert snapshot.tenant_id == mallory.tenant.pk
    assert snapshot.routes.match("hi") is None


def test_a_deleted_tenant_leaves_nothing_for_the_next(ada, mallory, claim, dns):
    delete_tenant(tenant=ada.tenant, typed="ada", actor="test")
    assert domain_snapshot(NAME) is None

    mallory.has_domain(NAME, verified=False)
    look(mallory, dns)

    assert ClaimedDomain.objects.get(name=NAME).state == "pending"


def test_who_registers_the_lapsed_domain_gets_it_and_the_former_owner_hears(
    ada, mallory, claim, dns
):
    dns.says(TxtOutcome.NXDOMAIN)
    look(ada, dns)
    mallory.has_domain(NAME, verified=False)
    theirs = ClaimedDomain.objects.get(name=NAME, tenant=mallory.tenant)
    dns.publishes(theirs)
    passes(hours=73)

    look(mallory, dns)
    passes(days=1)
    look(ada, dns)

    assert domain_snapshot(NAME).tenant_id == mallory.tenant.pk
    assert letters()[-1]["to"] == "ada@ada.example"
    assert subjects()[-1] == f"{NAME} is not served any more"


@pytest.mark.parametrize("fails", ["ask_waiting", "tell_owners"])
def test_a_proof_whose_noting_broke_off_still_asks_those_who_waited(ada, dns, monkeypatch, fails):
    ada.has_domain(NAME, verified=False)
    ada.has_route(f"hi@{NAME}", "friend@away.example", confirmed=False)
    dns.publishes(ClaimedDomain.objects.get(name=NAME))

    with monkeypatch.context() as broken:
        broken.setattr(f"routing.services.proofs.{fails}", breaks_off)
        with pytest.raises(ConnectionError):
            look(ada, dns)
    look(ada, dns)

    assert ClaimedDomain.objects.get(name=NAME).state == "verified"
    assert [letter["to"] for letter in letters()] == ["friend@away.example"]


def breaks_off(*_: object, **__: object) -> None:
    raise ConnectionError


def test_who_proves_a_domain_of_another_sees_that_it_was_looked_at(ada, mallory, claim, dns):
    mallory.has_domain(NAME, verified=False)
    hers = ClaimedDomain.objects.get(tenant=mallory.tenant)
    dns.publishes(claim, hers)

    with pytest.raises(AlreadyVerified):
        look(mallory, dns)

    hers.refresh_from_db()
    assert (hers.state, hers.checked_at is None) == ("pending", False)
