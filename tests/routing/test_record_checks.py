"""A domain is looked at by a button and by beat; owners hear when mail comes to us no more."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.models import F

from routing.models import AuditEntry, DkimKey
from routing.records.values import Answer, Outcome, Question, Verdict
from routing.services import remove_domain
from routing.services.checks import check_due_records, check_now, look_at
from routing.services.due import AskedTooSoon
from routing.services.keys import KeyRefused, create_keys, revoke_key, signing_keys_of
from tenants.claims import challenge_text
from tenants.context import tenant_schema
from tenants.errors import NotConfirmed, UnknownName
from tenants.models import ClaimedDomain, DomainCheck
from tests.routing.said import Dns
from tests.routing.test_confirmations import letters, nobody_rings  # noqa: F401

pytestmark = pytest.mark.django_db
NAME = "acme.example"
MX = Question(NAME, "MX")
OURS, OTHER = "10 mxax.test", "10 mx.elsewhere.example"


@pytest.fixture
def dns():
    return Dns()


@pytest.fixture
def working(ada, dns):
    """Ada's domain, proved and with its mail coming to us."""
    ada.has_domain(NAME, verified=False)
    dns.prove(ada)
    dns.publish(NAME, "MX", OURS)
    look(ada, dns)
    return DomainCheck.objects.get()


def look(person, dns, **more):
    return check_now(
        **{
            "tenant": person.tenant,
            "name": NAME,
            "actor": "test",
            "asker": dns,
            "is_limited": False,
            **more,
        }
    )


def verdicts(checked):
    return {row.kind.value: row.verdict for row in checked.rows}


def passes(**time):
    """Everything that was noted lies this much further back."""
    back = timedelta(**time)
    DomainCheck.objects.update(
        asked_at=F("asked_at") - back,
        told_at=F("told_at") - back,
        next_check_at=F("next_check_at") - back,
        broken_since=F("broken_since") - back,
    )
    ClaimedDomain.objects.update(told_at=F("told_at") - back)


def subjects():
    return [letter["subject"] for letter in letters()]


@contextmanager
def as_the_worker():
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL ROLE mxax_worker")
        yield
        cursor.execute("SET LOCAL ROLE mxax_owner")


def test_a_look_proves_the_claim_and_reports_every_record(ada, dns):
    ada.has_domain(NAME, verified=False)
    dns.prove(ada)
    dns.publish(NAME, "MX", OTHER)

    checked = look(ada, dns)

    assert checked.claim.state == "verified"
    assert verdicts(checked) == {
        "proof": Verdict.RIGHT,
        "mx": Verdict.WRONG,
        "spf": Verdict.NOT_NEEDED,
        "dmarc": Verdict.MISSING,
    }
    kept = DomainCheck.objects.get()
    assert [row["verdict"] for row in kept.report] == [row.verdict for row in checked.rows]
    assert (kept.works, kept.broken_since) == (False, None)
    assert letters() == [], "it never worked, so nothing broke"


def test_the_proof_follows_the_same_rules_as_ever(ada, mallory, dns):
    for person in (ada, mallory):
        person.has_domain(NAME, verified=False)
    both = ClaimedDomain.objects.values_list("token", flat=True)
    dns.publish(f"_mxax-challenge.{NAME}", "TXT", *map(challenge_text, both))

    first, second = look(ada, dns), look(mallory, dns)

    assert (first.claim.state, first.refusal) == ("verified", "")
    assert "another tenant" in second.refusal
    assert ClaimedDomain.objects.get(tenant=mallory.tenant).state == "pending"
    assert DomainCheck.objects.get(claim__tenant=mallory.tenant).report, "and all was written down"


def test_trouble_with_the_dns_changes_nothing(ada, working, dns):
    dns.fail()

    for _ in range(3):
        checked = look(ada, dns)
        passes(days=2)

    assert set(verdicts(checked).values()) >= {Verdict.UNKNOWN}
    working.refresh_from_db()
    assert working.works is True
    assert ClaimedDomain.objects.get().proof_missing_since is None
    assert letters() == []


def test_owners_are_told_at_once_when_a_working_domain_breaks(ada, ben, working, dns):
    dns.publish(NAME, "MX", OTHER)

    look(ada, dns)
    look(ada, dns)

    (letter,) = letters()
    assert letter["to"] == "ada@ada.example"
    assert letter["subject"] == f"Mail for {NAME} does not come to us any more"
    text = " ".join(letter.get_content().split())
    assert "mx.elsewhere.example (10), not to us" in text
    assert f"{NAME}. MX 10 mxax.test." in text


def test_news_come_once_a_day_and_the_truth_in_the_end(ada, working, dns):
    for mx in (OTHER, OURS, OTHER, OURS):
        dns.publish(NAME, "MX", mx)
        look(ada, dns)
        passes(hours=1)
    assert len(letters()) == 1

    passes(hours=24)
    look(ada, dns)
    look(ada, dns)

    assert subjects()[1:] == [f"Mail for {NAME} comes to us again"]


def test_a_zone_that_is_gone_is_told_once_as_the_missing_proof(ada, working, dns):
    dns.zone.clear()

    look(ada, dns)
    passes(days=1)
    look(ada, dns)

    assert subjects() == [f"The proof of {NAME} is missing in the DNS"]
    working.refresh_from_db()
    assert working.broken_since is not None


def test_an_operators_word_is_no_word_about_the_mx(ada, dns):
    ada.has_domain(NAME)
    dns.publish(NAME, "MX", OURS)
    look(ada, dns)
    dns.publish(NAME, "MX", "0 .")

    checked = look(ada, dns)

    assert "proof" not in verdicts(checked)
    assert checked.claim.proof_missing_since is None
    assert subjects() == [f"Mail for {NAME} does not come to us any more"]


def test_the_button_works_once_a_minute_for_each_domain(ada, dns):
    ada.has_domain(NAME)
    ada.has_domain("other.example")
    look(ada, dns, is_limited=True)
    dns.asked.clear()

    with pytest.raises(AskedTooSoon, match="again from"):
        look(ada, dns, is_limited=True)
    assert dns.asked == []
    look(ada, dns, is_limited=True, name="other.example")

    passes(seconds=61)
    assert look(ada, dns, is_limited=True).rows


def test_a_stranger_cannot_look(ada, mallory, dns):
    ada.has_domain(NAME)

    with pytest.raises(UnknownName):
        look(mallory, dns)
    assert dns.asked == []


def test_beat_looks_at_what_is_due_and_backs_off(ada, mallory, dns):
    ada.has_domain(NAME, verified=False)
    mallory.has_domain("other.example")

    with as_the_worker():
        assert check_due_records(dns) == 2
        assert check_due_records(dns) == 0

    waits = []
    for _ in range(4):
        check = DomainCheck.objects.get(claim__name=NAME)
        waits.append(round((check.next_check_at - check.checked_at).total_seconds() / 60))
        passes(hours=13)
        check_due_records(dns)
    assert waits == sorted(waits)
    assert waits[0] < 3 < waits[-1]


def test_the_worker_may_do_all_this(ada, working, dns):
    keys = create_keys(tenant=ada.tenant, domain=NAME, actor="test")
    dns.publish_keys(*keys)
    dns.publish(NAME, "MX", OTHER)
    passes(days=2)

    with as_the_worker():
        assert check_due_records(dns) == 1

    assert len(letters()) == 1
    assert len(signing_keys_of(tenant_id=ada.tenant.pk, domain=NAME)) == 2


def test_a_proof_found_by_the_other_task_brings_a_look_soon(ada, dns):
    from routing.resolver import TxtAnswer, TxtOutcome
    from routing.services import check_domain

    ada.has_domain(NAME, verified=False)
    look(ada, dns)
    DomainCheck.objects.update(next_check_at=None)
    token = ClaimedDomain.objects.get().token

    class Txt:
        async def look_up(self, name):
            return TxtAnswer(TxtOutcome.FOUND, frozenset({challenge_text(token)}))

    check_domain(tenant=ada.tenant, name=NAME, actor="test", resolver=Txt())

    assert DomainCheck.objects.get().next_check_at is not None


def test_a_domain_removed_while_we_looked_is_left_alone(ada, dns, monkeypatch):
    ada.has_domain(NAME)
    ada.has_domain("other.example")

    def looks_slowly(claims, asker):
        looks = look_at(claims, asker)
        remove_domain(tenant=ada.tenant, name=NAME, actor="test")
        return looks

    monkeypatch.setattr("routing.services.checks.look_at", looks_slowly)

    assert check_due_records(dns) == 2

    (kept,) = DomainCheck.objects.all()
    assert kept.claim.name == "other.example"
    assert kept.checked_at is not None


def states(person):
    with tenant_schema(person.tenant.pk):
        return dict(DkimKey.objects.values_list("selector", "state"))


def actions(person):
    with tenant_schema(person.tenant.pk):
        found = AuditEntry.objects.filter(action__startswith="dkim_key").order_by("id")
        return list(found.values_list("action", flat=True))


def test_a_pair_waits_until_the_dns_has_it_and_signs_then(ada, working, dns):
    keys = create_keys(tenant=ada.tenant, domain=NAME, actor="ada")
    assert {key.algorithm for key in keys} == {"rsa", "ed25519"}
    look(ada, dns)
    assert set(states(ada).values()) == {"waiting"}

    dns.publish_keys(keys[0])
    look(ada, dns)
    assert states(ada) == {keys[0].selector: "active", keys[1].selector: "waiting"}

    dns.publish_keys(keys[1])
    look(ada, dns)
    assert [
        key.algorithm.value for key in signing_keys_of(tenant_id=ada.tenant.pk, domain=NAME)
    ] == [
        "rsa-sha256",
        "ed25519-sha256",
    ]
    assert actions(ada) == ["dkim_key.made"] * 2 + ["dkim_key.activated"] * 2


def test_a_rotated_key_stays_seven_days_and_is_then_destroyed(ada, working, dns):
    old = create_keys(tenant=ada.tenant, domain=NAME, actor="ada")
    dns.publish_keys(*old)
    look(ada, dns)
    new = create_keys(tenant=ada.tenant, domain=NAME, actor="ada")
    with pytest.raises(KeyRefused, match="wait already"):
        create_keys(tenant=ada.tenant, domain=NAME, actor="ada")
    look(ada, dns)
    assert {states(ada)[key.selector] for key in old} == {"active"}

    dns.publish_keys(*new)
    look(ada, dns)
    assert {states(ada)[key.selector] for key in old} == {"retired"}
    assert {states(ada)[key.selector] for key in new} == {"active"}

    def retired_for(**time):
        with tenant_schema(ada.tenant.pk):
            retired = DkimKey.objects.filter(state="retired")
            retired.update(retired_at=F("retired_at") - timedelta(**time))
        look(ada, dns)

    retired_for(days=6, hours=23)
    assert len(states(ada)) == 4
    retired_for(hours=2)
    assert set(states(ada)) == {key.selector for key in new}
    assert actions(ada)[-2:] == ["dkim_key.removed"] * 2


def test_a_revoked_key_is_gone_at_once_and_only_by_its_typed_name(ada, mallory, working, dns):
    keys = create_keys(tenant=ada.tenant, domain=NAME, actor="ada")
    dns.publish_keys(*keys)
    look(ada, dns)
    selector = keys[0].selector

    def revoke(person, typed):
        revoke_key(tenant=person.tenant, domain=NAME, selector=selector, typed=typed, actor="x")

    with pytest.raises(NotConfirmed):
        revoke(ada, keys[1].selector)
    with pytest.raises(UnknownName):
        revoke(mallory, selector)
    revoke(ada, selector)

    (left,) = signing_keys_of(tenant_id=ada.tenant.pk, domain=NAME)
    assert left.selector == keys[1].selector
    assert actions(ada)[-1] == "dkim_key.revoked"


def test_a_seen_key_that_vanishes_is_reported_and_goes_on_signing(ada, working, dns):
    keys = create_keys(tenant=ada.tenant, domain=NAME, actor="ada")
    dns.publish_keys(*keys)
    look(ada, dns)
    del dns.zone[Question(f"{keys[0].selector}._domainkey.{NAME}", "TXT")]

    checked = look(ada, dns)

    (row,) = [one for one in checked.rows if one.verdict is Verdict.MISSING and one.kind == "dkim"]
    assert keys[0].selector in row.name
    assert set(states(ada).values()) == {"active"}


def test_owners_are_told_when_a_key_in_use_vanishes_and_when_it_is_back(ada, working, dns):
    keys = create_keys(tenant=ada.tenant, domain=NAME, actor="ada")
    look(ada, dns)
    assert letters() == []  # one that waits for its record is no news
    dns.publish_keys(*keys)
    look(ada, dns)
    gone = Question(f"{keys[0].selector}._domainkey.{NAME}", "TXT")
    kept = dns.zone.pop(gone)

    for _ in range(2):
        look(ada, dns)
    (letter,) = letters()
    text = " ".join(letter.get_content().split())
    assert letter["subject"] == f"Signature keys of {NAME} are not in the DNS any more"
    assert f"{gone.name}. TXT v=DKIM1" in text
    assert keys[1].selector not in text
    DomainCheck.objects.get(claim__name=NAME).full_clean()  # forms of the admin take it too

    passes(hours=25)
    dns.zone[gone] = Answer(Outcome.UNKNOWN, detail="SERVFAIL")
    look(ada, dns)
    assert len(letters()) == 1  # nobody knows yet
    dns.zone[gone] = kept
    look(ada, dns)
    assert subjects()[1:] == [f"No signature key of {NAME} is missing in the DNS any more"]


def test_an_mx_that_leads_away_is_told_before_keys_that_vanished(ada, working, dns):
    keys = create_keys(tenant=ada.tenant, domain=NAME, actor="ada")
    dns.publish_keys(*keys)
    look(ada, dns)
    dns.zone.pop(Question(f"{keys[0].selector}._domainkey.{NAME}", "TXT"))
    dns.publish(NAME, "MX", OTHER)
    look(ada, dns)
    passes(hours=25)
    dns.publish(NAME, "MX", OURS)
    look(ada, dns)

    assert subjects() == [
        f"Mail for {NAME} does not come to us any more",
        f"Signature keys of {NAME} are not in the DNS any more",
    ]


def test_keys_of_a_domain_that_is_not_his_any_more_sign_nothing(ada, working, dns):
    keys = create_keys(tenant=ada.tenant, domain=NAME, actor="ada")
    dns.publish_keys(*keys)
    look(ada, dns)
    assert len(signing_keys_of(tenant_id=ada.tenant.pk, domain=NAME)) == 2

    ClaimedDomain.objects.update(state="pending", proof="")

    assert signing_keys_of(tenant_id=ada.tenant.pk, domain=NAME) == ()
