"""The proof of a claim is one TXT string at one name, asked of the zone's own name servers."""

import asyncio
import socket
import time

import pytest

from routing.checks import ProofWanted, look_for_proofs
from routing.resolver import Server, TxtAnswer, TxtOutcome, TxtResolver, agreed
from routing.services import check_domain, check_due_claims
from tenants.claims import challenge_name, challenge_text
from tenants.models import ClaimedDomain
from tenants.proof import ProofSeen
from tests.ports import free_port
from tests.routing.zone import Zone, served

TOKEN = "a" * 40
NAME = challenge_name("acme.example")
PROOF = challenge_text(TOKEN)


@pytest.fixture(scope="module")
def running_zone():
    with served(Zone()) as running:
        yield running


@pytest.fixture
def zone(running_zone):
    running_zone.clear()
    return running_zone


def resolver(zone: Zone, **more) -> TxtResolver:
    defaults = {"authoritative_port": zone.port, "private_servers": True}
    return TxtResolver(servers=(Server("127.0.0.1", zone.port),), **{**defaults, **more})


def look(zone: Zone, **more):
    (check,) = look_for_proofs([ProofWanted(1, "acme.example", TOKEN)], resolver(zone, **more))
    return check


def test_the_proof_is_found_at_the_zones_own_server(zone):
    zone.publish(NAME, "v=spf1 -all", PROOF, "x" * 600)

    assert look(zone).seen is ProofSeen.FOUND
    assert (f"{NAME}.", "TXT", False) in zone.asked
    assert (f"{NAME}.", "TXT", True) not in zone.asked


def test_resolvers_are_asked_where_the_zones_servers_are_out_of_reach(zone):
    zone.publish(NAME, PROOF)

    check = look(zone, private_servers=False)

    assert check.seen is ProofSeen.FOUND
    assert (f"{NAME}.", "TXT", False) not in zone.asked


@pytest.mark.parametrize(
    "text",
    [
        *(f" {PROOF}", f"{PROOF} ", PROOF.upper(), f'"{PROOF}"', f"{PROOF}b", PROOF[:-1]),
        *(f"v=spf1 {PROOF}", f"mxax-verify= {TOKEN}", TOKEN, challenge_text("b" * 40)),
    ],
)
def test_almost_the_proof_is_none(zone, text):
    zone.publish(NAME, text)

    assert look(zone).seen is ProofSeen.MISSING


def test_a_proof_in_two_character_strings_is_one_text(zone):
    from dnslib import TXT

    zone.records[(f"{NAME}.", "TXT")] = [TXT([PROOF[:10].encode(), PROOF[10:].encode()])]

    assert look(zone).seen is ProofSeen.FOUND


@pytest.mark.parametrize("where", ["acme.example", "_mxax-challenge.www.acme.example"])
def test_a_proof_at_another_name_is_none(zone, where):
    zone.publish(where, PROOF)

    check = look(zone)

    assert check.seen is ProofSeen.MISSING
    assert "no such name" in check.detail


def test_an_alias_is_not_followed(zone):
    zone.publish("elsewhere.example", PROOF)
    zone.publish_cname(NAME, "elsewhere.example")

    for private_servers in (True, False):
        check = look(zone, private_servers=private_servers)
        assert check.seen is ProofSeen.MISSING
        assert "CNAME" in check.detail


def test_servfail_is_unknown(zone):
    zone.fails.add(f"{NAME}.")

    for private_servers in (True, False):
        check = look(zone, private_servers=private_servers)
        assert check.seen is ProofSeen.UNKNOWN


def test_silence_is_unknown_and_bounded(monkeypatch):
    monkeypatch.setattr("routing.resolver.LOOK_UP_SECONDS", 0.3)
    with socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        began = time.monotonic()
        answer = asyncio.run(
            TxtResolver(servers=(Server("127.0.0.1", silent.getsockname()[1]),)).look_up(NAME)
        )

    assert answer.outcome is TxtOutcome.UNKNOWN
    assert time.monotonic() - began < 3


def test_nobody_listening_is_unknown(monkeypatch):
    monkeypatch.setattr("routing.resolver.LOOK_UP_SECONDS", 0.3)
    gone = TxtResolver(servers=(Server("127.0.0.1", free_port()),))

    assert asyncio.run(gone.look_up(NAME)).outcome is TxtOutcome.UNKNOWN


def answer(outcome, *strings):
    return TxtAnswer(outcome, frozenset(strings))


def test_servers_that_differ_decide_nothing():
    found, other = answer(TxtOutcome.FOUND, "a", "b"), answer(TxtOutcome.FOUND, "b", "c")
    gone, none = answer(TxtOutcome.NXDOMAIN), answer(TxtOutcome.NO_DATA)
    failed = answer(TxtOutcome.UNKNOWN)

    assert agreed([found, gone]).outcome is TxtOutcome.UNKNOWN
    assert agreed([found, other]).strings == {"b"}
    assert agreed([gone, none, failed]).is_negative
    assert agreed([failed, found]).outcome is TxtOutcome.FOUND
    assert agreed([]).outcome is TxtOutcome.UNKNOWN


@pytest.mark.django_db
def test_the_periodic_task_verifies_and_notices_loss(ada, mallory, zone):
    ada.has_domain("acme.example", verified=False)
    mallory.has_domain("acme.example", verified=False)
    his = ClaimedDomain.objects.get(tenant=ada.tenant)
    zone.publish(NAME, challenge_text(his.token))

    assert check_due_claims(resolver(zone)) == 2

    his.refresh_from_db()
    assert (his.state, his.proof) == ("verified", "dns")
    assert ClaimedDomain.objects.get(tenant=mallory.tenant).state == "pending"

    zone.records.clear()
    claim, check = check_domain(
        tenant=ada.tenant, name="acme.example", actor="test", resolver=resolver(zone)
    )
    assert check.seen is ProofSeen.MISSING
    assert claim.state == "verified"
    assert claim.proof_missing_since is not None


@pytest.mark.django_db
def test_both_with_proofs_only_the_first_gets_it(ada, mallory, zone):
    for person in (ada, mallory):
        person.has_domain("acme.example", verified=False)
    tokens = ClaimedDomain.objects.values_list("token", flat=True)
    zone.publish(NAME, *(challenge_text(token) for token in tokens))

    check_due_claims(resolver(zone))

    assert ClaimedDomain.objects.filter(state="verified").count() == 1
