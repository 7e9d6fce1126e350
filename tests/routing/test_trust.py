"""Whom a tenant trusts: what is saved, what the edge gets of it, and who hears of a change."""

from datetime import timedelta

import pytest

from mail.facts import DomainStanding
from mail.policy.trust import (
    DEFAULT_TRUST,
    ListKind,
    OnQuarantine,
    OnScannerAway,
    ScanPolicy,
    ScoreLimits,
    TrustPolicy,
)
from routing.models import AuditEntry, Domain, Route, TrustEntry, TrustPreference
from routing.selectors import domain_snapshot
from routing.services import remove_domain
from routing.services.trust import (
    EntryWanted,
    TrustChoice,
    add_entry,
    add_sealer,
    remove_entry,
    remove_sealer,
    set_preference,
)
from tenants.audit import Actor
from tenants.clock import database_now
from tenants.context import tenant_schema
from tenants.errors import NameTaken, PolicyRefused, TenancyError, UnknownName

pytestmark = pytest.mark.django_db
ACTOR = Actor("ada@ada.example")
BLOCK, ALLOW = ListKind.BLOCK, ListKind.ALLOW


@pytest.fixture
def ada(ada):
    ada.has_domain("example.org")
    ada.has_domain("second.example")
    ada.has_route("hi@example.org", "friend@far.example")
    return ada


def trust(name: str = "example.org") -> TrustPolicy:
    return domain_snapshot(name).trust


def lists(person, kind=BLOCK, subject="author.example", **values) -> TrustEntry:
    wanted = EntryWanted(kind, subject, **values)
    return add_entry(tenant=person.tenant, wanted=wanted, actor=ACTOR)


def subjects(policy: TrustPolicy) -> list[str]:
    return sorted(one.subject for one in policy.entries)


def last_audit(person) -> AuditEntry:
    with tenant_schema(person.tenant.pk):
        return AuditEntry.objects.order_by("-id").first()


def test_who_chose_nothing_has_the_defaults(ada):
    assert trust() == DEFAULT_TRUST
    with tenant_schema(ada.tenant.pk):
        assert TrustPreference.objects.count() == 0
    assert TrustChoice() == TrustChoice.of(TrustPreference())
    assert TrustPreference().policy() == DEFAULT_TRUST


def test_what_is_chosen_is_in_the_snapshot_of_every_domain(ada):
    choice = TrustChoice(
        refuses_dmarc_reject=False,
        on_dmarc_quarantine=OnQuarantine.HOLD,
        greylists=True,
        rspamd_add_fields_from=3,
        rspamd_quarantine_from=6,
        rspamd_refuse_from=20,
        spamd_add_fields_from=2,
        spamd_quarantine_from=None,
        spamd_refuse_from=8,
        refuses_viruses=False,
        when_scanner_away=OnScannerAway.DEFER,
        quarantine_days=7,
    )

    set_preference(tenant=ada.tenant, choice=choice, actor=ACTOR)

    assert trust() == trust("second.example")
    assert trust() == TrustPolicy(
        refuses_dmarc_reject=False,
        on_dmarc_quarantine=OnQuarantine.HOLD,
        greylists=True,
        scanning=ScanPolicy(
            ScoreLimits(3, 6, 20), ScoreLimits(2, None, 8), False, OnScannerAway.DEFER
        ),
        quarantine_days=7,
    )
    said = last_audit(ada)
    assert (said.action, said.actor) == ("trust.changed", "ada@ada.example")
    assert said.old["refuses_dmarc_reject"] is True
    assert "sends_digest" not in said.new


@pytest.mark.parametrize(
    "wrong",
    [
        {"rspamd_quarantine_from": 10.0, "rspamd_refuse_from": 10.0},
        {"spamd_quarantine_from": 16.0},
        {"rspamd_refuse_from": float("nan")},
        {"spamd_refuse_from": float("inf")},
        {"rspamd_add_fields_from": 1001.0},
        {"quarantine_days": 0},
        {"quarantine_days": 22},
    ],
)
def test_values_that_cannot_be_are_refused(ada, wrong):
    with pytest.raises(PolicyRefused):
        set_preference(tenant=ada.tenant, choice=TrustChoice(**wrong), actor=ACTOR)

    assert trust() == DEFAULT_TRUST


def test_the_snapshot_has_what_concerns_the_domain_and_is_in_force(ada):
    with tenant_schema(ada.tenant.pk):
        route = Route.objects.get(pattern="hi")
    soon = database_now() + timedelta(hours=1)
    lists(ada, subject="all.example", expires_at=soon)
    lists(ada, subject="here.example", domain="example.org")
    lists(ada, subject="there.example", domain="second.example")
    lists(ada, subject="route.example", route_id=route.pk)
    over = lists(ada, subject="over.example", expires_at=soon)
    with tenant_schema(ada.tenant.pk):
        TrustEntry.objects.filter(pk=over.pk).update(expires_at=database_now())

    assert subjects(trust()) == ["all.example", "here.example", "route.example"]
    assert subjects(trust("second.example")) == ["all.example", "there.example"]
    of_route = next(one for one in trust().entries if one.route_id)
    assert (of_route.route_id, of_route.domain) == (route.pk, "")
    assert next(one for one in trust().entries if one.subject == "all.example").expires_at == soon


def test_the_same_again_is_renewed_and_not_listed_twice(ada):
    end = database_now() + timedelta(days=1)
    lists(ada, subject="Author.example", note="first")
    entry = lists(ada, subject="author.EXAMPLE.", note="second", expires_at=end)
    lists(ada, ALLOW)
    lists(ada, domain="example.org")

    with tenant_schema(ada.tenant.pk):
        assert TrustEntry.objects.filter(kind="block", domain=None).get() == entry
        assert TrustEntry.objects.count() == 3
    assert (entry.note, entry.expires_at, entry.created_by) == ("second", end, ACTOR.name)


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"subject": "not an address@"}, PolicyRefused),
        ({"subject": "0.0.0.0/0"}, PolicyRefused),
        ({"domain": "mallory.example"}, UnknownName),
        ({"route_id": 4711}, UnknownName),
        ({"note": "two\nlines"}, TenancyError),
    ],
)
def test_what_cannot_be_listed_is_refused(ada, values, error):
    with pytest.raises(error):
        lists(ada, **values)

    assert not trust().entries


def test_an_end_that_is_over_is_refused(ada):
    with pytest.raises(PolicyRefused):
        lists(ada, expires_at=database_now())


def test_a_full_list_lets_go_of_what_is_over_and_then_refuses(ada, monkeypatch):
    monkeypatch.setattr("routing.services.trust.MOST_ENTRIES", 2)
    lists(ada, subject="a.example")
    over = lists(ada, subject="b.example", expires_at=database_now() + timedelta(hours=1))
    with tenant_schema(ada.tenant.pk):
        TrustEntry.objects.filter(pk=over.pk).update(expires_at=database_now())

    lists(ada, subject="c.example")
    with pytest.raises(PolicyRefused, match="hold 2 entries"):
        lists(ada, subject="d.example")

    assert subjects(trust()) == ["a.example", "c.example"]


def test_a_renewed_entry_is_in_the_audit_with_what_was_there_before(ada):
    for note in ("first", "first", "second"):
        lists(ada, subject="spam.example", note=note)

    with tenant_schema(ada.tenant.pk):
        entries = AuditEntry.objects.filter(subject="spam.example").order_by("id")
        said = [(one.old and one.old["note"], one.new["note"]) for one in entries]
    assert said == [(None, "first"), ("first", "second")]


def test_an_entry_is_taken_off_and_said_in_the_audit(ada):
    entry = lists(ada, note="rude")

    remove_entry(tenant=ada.tenant, entry_id=entry.pk, actor=ACTOR)

    assert not trust().entries
    said = last_audit(ada)
    assert (said.action, said.subject) == ("trust.entry_removed", "author.example")
    assert said.old["note"] == "rude"


def test_mallory_reaches_nothing_of_it(ada, mallory):
    entry = lists(ada)
    sealer = add_sealer(tenant=ada.tenant, name="lists.example", actor=ACTOR)
    with tenant_schema(ada.tenant.pk):
        route = Route.objects.get(pattern="hi")

    with pytest.raises(UnknownName):
        remove_entry(tenant=mallory.tenant, entry_id=entry.pk, actor=ACTOR)
    with pytest.raises(UnknownName):
        remove_sealer(tenant=mallory.tenant, sealer_id=sealer.pk, actor=ACTOR)
    with pytest.raises(UnknownName):
        lists(mallory, route_id=route.pk)


def test_sealers_are_the_tenants_and_the_operators(ada, mallory, settings):
    from dataclasses import replace

    settings.ENV = replace(settings.ENV, trusted_sealers=("google.com", "lists.example"))
    mallory.has_domain("mallory.example")

    sealer = add_sealer(tenant=ada.tenant, name="Lists.EXAMPLE.", actor=ACTOR)

    assert trust().trusted_sealers == ("google.com", "lists.example")
    assert trust("mallory.example").trusted_sealers == ("google.com", "lists.example")
    settings.ENV = replace(settings.ENV, trusted_sealers=())
    assert trust().trusted_sealers == ("lists.example",)
    assert trust("mallory.example").trusted_sealers == ()
    remove_sealer(tenant=ada.tenant, sealer_id=sealer.pk, actor=ACTOR)
    assert trust().trusted_sealers == ()


def test_a_sealer_is_a_domain_and_stands_there_once(ada):
    add_sealer(tenant=ada.tenant, name="lists.example", actor=ACTOR)

    with pytest.raises(NameTaken):
        add_sealer(tenant=ada.tenant, name="LISTS.example", actor=ACTOR)
    for wrong in ("a@lists.example", "", "192.0.2.1", "two words.example"):
        with pytest.raises(PolicyRefused):
            add_sealer(tenant=ada.tenant, name=wrong, actor=ACTOR)


def test_nobody_learns_by_a_claim_what_the_owner_trusts(ada, mallory):
    mallory.has_domain("claimed.example", verified=False)
    lists(mallory)

    snapshot = domain_snapshot("claimed.example")

    assert snapshot.standing is DomainStanding.PENDING
    assert snapshot.trust == DEFAULT_TRUST


def test_an_entry_goes_with_its_domain(ada):
    lists(ada, domain="second.example")

    remove_domain(tenant=ada.tenant, name="second.example", actor=ACTOR)

    with tenant_schema(ada.tenant.pk):
        assert not TrustEntry.objects.exists()
        assert Domain.objects.count() == 1


def test_every_change_tells_the_edges_of_the_domains_it_is_about(ada, told):
    assert told(lambda: lists(ada)) == {"example.org", "second.example"}
    assert told(lambda: lists(ada, domain="second.example")) == {"second.example"}
    assert told(lambda: add_sealer(tenant=ada.tenant, name="l.example", actor=ACTOR)) == {
        *("example.org", "second.example")
    }
    chosen = TrustChoice(greylists=True)
    saves = lambda: set_preference(tenant=ada.tenant, choice=chosen, actor=ACTOR)  # noqa: E731
    assert told(saves) == {"example.org", "second.example"}
    assert told(saves) == set()


@pytest.fixture
def told(monkeypatch):
    """The names that a change tells the edges."""
    names: set[str] = set()
    monkeypatch.setattr("routing.services.trust.routes_changed", names.add)

    def run(change) -> set[str]:
        names.clear()
        change()
        return set(names)

    return run


def test_the_export_has_all_of_it_and_erasure_leaves_nothing(ada):
    import json

    from tenants.export import export_tenant
    from tenants.services import delete_tenant

    set_preference(tenant=ada.tenant, choice=TrustChoice(greylists=True), actor=ACTOR)
    lists(ada, note="too much")
    add_sealer(tenant=ada.tenant, name="lists.example", actor=ACTOR)

    tables = json.loads("".join(export_tenant(ada.tenant, actor=ACTOR)))["tables"]

    assert tables["routing_trustpreference"][0]["greylists"] is True
    assert tables["routing_trustentry"][0]["note"] == "too much"
    assert tables["routing_trustedsealer"][0]["name"] == "lists.example"

    delete_tenant(tenant=ada.tenant, typed="ada", actor="test")

    assert domain_snapshot("example.org") is None
