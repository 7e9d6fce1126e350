"""What may be claimed, who gets a domain, and what happens when its proof goes."""

import re
import threading
from contextlib import suppress
from datetime import timedelta

import pytest
from django.conf import settings
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from mail.facts import DomainStanding
from routing.services import add_domain
from tenants.claims import FADING_FOR, SERVED_WITHOUT_PROOF, claimable_name, standing_of
from tenants.clock import database_now
from tenants.errors import AlreadyVerified, NameTaken, NotClaimable
from tenants.models import ClaimedDomain, Tenant
from tenants.proof import ProofCheck, ProofSeen
from tenants.services import claim_domain, create_tenant, delete_tenant, release_claim
from tenants.services.claims import lease_due_claims, record_check, verify_claim

DNS = ClaimedDomain.Proof.DNS
FOUND = ProofCheck(ProofSeen.FOUND, "found")
MISSING = ProofCheck(ProofSeen.MISSING, "missing")
UNKNOWN = ProofCheck(ProofSeen.UNKNOWN, "SERVFAIL")


def claims(person, name="example.org"):
    return claim_domain(tenant=person.tenant, name=name, actor="test")


def check(claim, seen):
    return record_check(claim_id=claim.pk, token=claim.token, check=seen, actor="test")


def lost_its_proof(claim, ago: timedelta):
    ClaimedDomain.objects.filter(pk=claim.pk).update(proof_missing_since=database_now() - ago)


@pytest.mark.parametrize(
    "name",
    [
        *("mxax.test", "fwd.mxax.test", "a.mxax.test", "MXAX.test.", "x.fwd.mxax.test"),
        *("com", "co.uk", "github.io", "test", "localhost", "uk", "公司.cn"),
        *("127.0.0.1", "[127.0.0.1]", "[IPv6:::1]", "::1", "1.2.3.4.", "0x7f.1"),
        *(
            "",
            ".",
            "a..b",
            "exa mple.org",
            "example.org\n.com",
            "example.org\r\nX: y",
            "-a.example",
        ),
        *("xn--a.example", "a_b.example", "ex\u2028ample.org", "e%0d%0a.org", "a" * 64 + ".org"),
        ("a" * 60 + ".") * 4 + "org",
    ],
)
@pytest.mark.parametrize("by_operator", [False, True])
def test_what_cannot_be_claimed(name, by_operator):
    with pytest.raises(NotClaimable):
        claimable_name(name, own_names=("mxax.test", "fwd.mxax.test"), by_operator=by_operator)


def test_the_domain_above_our_own_names_needs_an_operator(ada, monkeypatch):
    own_names = {
        "service_domain": "mail.mx-friends.example",
        "forward_domain": "fwd.mx-friends.example",
    }
    monkeypatch.setattr(settings, "ENV", with_fields(settings.ENV, own_names))

    with pytest.raises(NotClaimable, match="operator"):
        claims(ada, "mx-friends.example")
    claim = add_domain(tenant=ada.tenant, name="mx-friends.example", actor="test", by_operator=True)

    assert claim.state == "verified"
    assert claim.proof == "operator"


def with_fields(env, changed):
    import dataclasses

    return dataclasses.replace(env, **changed)


@pytest.mark.parametrize("name", ["BÜCHER.example", "xn--bcher-kva.example.", "bücher。example"])
def test_a_name_has_one_form(ada, name):
    assert claims(ada, name).name == "xn--bcher-kva.example"

    with pytest.raises(NameTaken):
        claims(ada, "bücher.example")


def test_two_tenants_may_wait_and_one_gets_it(ada, mallory):
    hers, his = claims(mallory), claims(ada)
    assert hers.token != his.token
    assert len(bytes.fromhex(his.token)) * 8 >= 160

    verify_claim(claim_id=his.pk, proof=DNS, actor="test")

    with pytest.raises(AlreadyVerified, match="another tenant"):
        verify_claim(claim_id=hers.pk, proof=DNS, actor="test")
    assert ClaimedDomain.objects.get(state="verified").tenant == ada.tenant


def test_a_claim_made_again_has_a_new_token(ada):
    first = claims(ada)
    release_claim(tenant=ada.tenant, name="example.org", actor="test")

    assert claims(ada).token != first.token


def test_an_old_look_does_not_prove_a_new_claim(ada):
    claim = claims(ada)
    record_check(claim_id=claim.pk, token="another", check=FOUND, actor="test")

    claim.refresh_from_db()
    assert claim.state == "pending"


def test_servfail_never_changes_the_standing(ada):
    claim = check(claims(ada), FOUND)

    for _ in range(10):
        claim = check(claim, UNKNOWN)

    assert claim.proof_missing_since is None
    lost_its_proof(claim, SERVED_WITHOUT_PROOF - timedelta(hours=1))
    claim.refresh_from_db()
    since = claim.proof_missing_since
    assert check(claim, UNKNOWN).proof_missing_since == since


def test_the_life_of_a_lost_proof(ada):
    claim = check(claims(ada), FOUND)
    claim = check(claim, MISSING)
    since = claim.proof_missing_since
    assert since is not None

    def standing_after(**ago):
        return standing_of(claim, since + timedelta(**ago))

    assert standing_after(hours=71) is DomainStanding.SERVED
    assert standing_after(hours=73) is DomainStanding.FADING
    assert standing_after(days=7, hours=23) is DomainStanding.FADING
    assert standing_after(days=8, hours=1) is None
    assert check(claim, FOUND).proof_missing_since is None


def test_a_proof_missing_for_too_long_ends_the_claim_until_it_is_back(ada):
    claim = check(claims(ada), FOUND)
    lost_its_proof(claim, SERVED_WITHOUT_PROOF + FADING_FOR + timedelta(hours=1))

    claim = check(claim, MISSING)
    assert claim.state == "pending"
    assert standing_of(claim, database_now()) is None

    claim = check(claim, FOUND)
    assert claim.state == "verified"
    assert standing_of(claim, database_now()) is DomainStanding.SERVED


def test_who_registers_a_lapsed_domain_gets_it(ada, mallory):
    his, hers = check(claims(ada), FOUND), claims(mallory)
    lost_its_proof(his, timedelta(hours=71))
    with pytest.raises(AlreadyVerified):
        check(hers, FOUND)

    lost_its_proof(his, timedelta(hours=73))
    check(hers, FOUND)

    assert ClaimedDomain.objects.get(state="verified").tenant == mallory.tenant


def test_an_operators_word_needs_no_proof(ada, mallory):
    claim = claims(ada)
    verify_claim(claim_id=claim.pk, proof=ClaimedDomain.Proof.OPERATOR, actor="test")
    claim.refresh_from_db()
    assert claim.next_check_at is None

    claim = check(claim, MISSING)

    assert claim.proof_missing_since is None
    assert not [due for due in lease_due_claims(100) if due.pk == claim.pk]


def test_pending_claims_are_looked_at_less_and_less(ada):
    claim = claims(ada)
    assert [due.pk for due in lease_due_claims(10)] == [claim.pk]
    assert lease_due_claims(10) == []

    claim = check(claim, MISSING)
    soon = claim.next_check_at - claim.checked_at
    ClaimedDomain.objects.filter(pk=claim.pk).update(claimed_at=database_now() - timedelta(days=1))
    claim = check(claim, MISSING)
    later = claim.next_check_at - claim.checked_at
    ClaimedDomain.objects.filter(pk=claim.pk).update(claimed_at=database_now() - timedelta(days=40))

    assert soon == timedelta(minutes=1)
    assert timedelta(hours=5) < later <= timedelta(hours=12)
    assert check(claim, MISSING).next_check_at is None


@pytest.mark.parametrize("loser", ["ada", "mallory"])
def test_whoever_takes_over_a_lost_domain_locks_the_chains_in_one_order(ada, mallory, loser):
    """Two that take over from each other would wait for each other otherwise."""
    holder, heir = (ada, mallory) if loser == "ada" else (mallory, ada)
    his, hers = claims(holder), claims(heir)
    check(his, FOUND)
    lost_its_proof(his, timedelta(hours=73))

    with CaptureQueriesContext(connection) as asked:
        check(hers, FOUND)

    assert ClaimedDomain.objects.get(pk=hers.pk).state == "verified"
    tenants = sorted(person.tenant.pk for person in (ada, mallory))
    assert chains_locked(asked) == [f"t{tenants[0]}", f"t{tenants[1]}", "public"]


def chains_locked(asked: CaptureQueriesContext) -> list[str]:
    """The chains of the audit in the order in which they were locked first."""
    found = (re.search(r"mxax\.audit\.(\w+)", query["sql"]) for query in asked)
    return list(dict.fromkeys(match[1] for match in found if match))


VARIANTS = ("race.example", "RACE.example", "race.example.", "Race.Example.", "ｒａｃｅ.example")


@pytest.mark.django_db(transaction=True)
def test_fifty_parallel_verifications_have_one_winner(request):
    """Both tenants hold proofs at once; every spelling is the same name."""
    tenants = [
        create_tenant(slug=s, owner_email=f"{s}@x.example", actor="test") for s in ("ab", "cd")
    ]
    try:
        outcomes = race(tenants)
        winners = set(
            ClaimedDomain.objects.filter(state="verified").values_list("tenant_id", "name")
        )
        assert len(winners) == 1
        assert {name for _, name in winners} == {"race.example"}
        assert {owner for owner, won in outcomes if won} == {owner for owner, _ in winners}
        assert {owner for owner, won in outcomes if not won} == {t.pk for t in tenants} - {
            owner for owner, _ in winners
        }
        assert ClaimedDomain.objects.count() == 2
    finally:
        for tenant in tenants:
            delete_tenant(tenant=tenant, typed=tenant.slug, actor="test")


def race(tenants: list[Tenant]) -> list[tuple[int, bool]]:
    """Claim and verify from 50 threads at once; who asked, and whether he got it."""
    start, outcomes = threading.Barrier(50), []

    def contend(number: int) -> None:
        tenant = tenants[number % 2]
        try:
            start.wait(30)
            outcomes.append((tenant.pk, claimed_and_verified(tenant, VARIANTS[number % 5])))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=contend, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(outcomes) == 50
    return outcomes


def claimed_and_verified(tenant: Tenant, name: str) -> bool:
    with suppress(NameTaken):
        claim_domain(tenant=tenant, name=name, actor="test")
    claim = ClaimedDomain.objects.get(tenant=tenant, name="race.example")
    try:
        verify_claim(claim_id=claim.pk, proof=DNS, actor="test")
    except AlreadyVerified:
        return False
    return True


def test_a_second_verified_claim_is_refused_by_the_database_itself(ada, mallory):
    for person in (ada, mallory):
        claims(person)
    now = database_now()

    with pytest.raises(Exception, match="claim_verified_once"), transaction.atomic():
        ClaimedDomain.objects.update(state="verified", verified_at=now)
    assert connection.schema_name == "public"
