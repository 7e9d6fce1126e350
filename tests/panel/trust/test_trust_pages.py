"""Trust in the panel: the rules in words, the choice, the lists, the sealers."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.conf import settings as django_settings

from mail.policy.trust import DEFAULT_TRUST, ListKind, OnQuarantine
from mail.policy.trust_rules import TRUST_RULES
from routing.models import AuditEntry, Route, TrustedSealer, TrustEntry
from routing.selectors import domain_snapshot
from routing.services.trust import EntryWanted, add_entry, add_sealer
from tenants.audit import Actor
from tenants.clock import database_now
from tenants.context import tenant_schema
from tenants.models import Membership
from tests.panel.markup import faults

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore:No directory at"),
]
ACTOR = Actor("ada@ada.example")
CHOICE = {
    "on_dmarc_reject": "refuse",
    "on_dmarc_quarantine": "forward",
    "on_virus": "refuse",
    "rspamd_refuse_from": "",
    "rspamd_quarantine_from": "",
    "rspamd_add_fields_from": "",
    "spamd_refuse_from": "15",
    "spamd_quarantine_from": "",
    "spamd_add_fields_from": "5",
    "when_scanner_away": "accept",
    "quarantine_days": "14",
    "sends_digest": "on",
}
ENTRY = {"kind": "block", "subject": "spam.example", "scope": "", "last_day": "", "note": ""}


@pytest.fixture
def ada(ada):
    ada.has_domain("example.org")
    ada.has_route("hi@example.org", "friend@far.example")
    return ada


@pytest.fixture(autouse=True)
def both_scanners(settings):
    """rspamd and SpamAssassin run here."""
    settings.ENV = replace(django_settings.ENV, rspamd=("a:11333",), spamd=("a:783",))


def shown(person, name: str, *args, query: str = "") -> str:
    response = person.client().get(person.url(name, *args) + query)
    assert response.status_code == 200
    text = response.content.decode()
    assert faults(text) == []
    assert "<script" not in text
    return text


def chooses(person, *, client=None, version=None, **changes):
    client = client or person.client()
    url = person.url("trust-change")
    if version is None:
        version = client.get(url).context["form"]["version"].value()
    return client.post(url, {**CHOICE, "version": version, **changes})


def lists(person, subject="spam.example", kind=ListKind.BLOCK, **values) -> TrustEntry:
    return add_entry(tenant=person.tenant, wanted=EntryWanted(kind, subject, **values), actor=ACTOR)


def trust():
    return domain_snapshot("example.org").trust


def entries(person) -> list[str]:
    with tenant_schema(person.tenant.pk):
        return list(TrustEntry.objects.values_list("subject", flat=True))


def audited(person) -> AuditEntry:
    with tenant_schema(person.tenant.pk):
        return AuditEntry.objects.order_by("-id").first()


# The rules


def test_every_rule_is_there_in_order_with_its_setting(ada):
    from delivery.rule_words import question_of

    text = shown(ada, "trust").replace("&#x27;", "'")

    places = [text.index(question_of(rule.__name__)) for rule in TRUST_RULES]
    assert places == sorted(places)
    assert "as the author’s domain asks" in text
    assert "none trusted" in text
    assert "SPF alone refuses nobody" in text


def test_what_was_chosen_and_listed_is_said_beside_the_rule(ada):
    lists(ada)
    lists(ada, "carol@author.example", ListKind.ALLOW)
    lists(ada, "over.example", expires_at=database_now() + timedelta(hours=1))
    with tenant_schema(ada.tenant.pk):
        TrustEntry.objects.filter(subject="over.example").update(expires_at=database_now())
    add_sealer(tenant=ada.tenant, name="lists.example", actor=ACTOR)
    chooses(
        ada,
        on_dmarc_reject="forward",
        rspamd_refuse_from="15",
        rspamd_quarantine_from="6.5",
        spamd_refuse_from="8",
        greylists="on",
    )

    text = shown(ada, "trust")

    for said in (
        "most receivers refuse it then",
        "rspamd from 15 on, SpamAssassin from 8 on",
        "rspamd from 6.5 on, SpamAssassin never",
        "1 sealer",
    ):
        assert said in text
    assert text.count("1 entry") == 3
    assert "<dt>Greylisting</dt><dd>on</dd>" in text


# The choice


def test_no_score_is_asked_for_of_a_scanner_that_does_not_run(ada, settings):
    chooses(ada, spamd_refuse_from="8")
    settings.ENV = replace(django_settings.ENV, spamd=())

    page = shown(ada, "trust-change")
    chooses(ada, rspamd_refuse_from="12")

    assert "SpamAssassin" not in page
    assert "rspamd: refuse from this score on" in page
    assert trust().scanning.rspamd.refuse_from == 12
    assert trust().scanning.spamd.refuse_from == 8


def test_without_scanners_the_page_says_so(ada, settings):
    settings.ENV = replace(django_settings.ENV, rspamd=(), spamd=())

    assert "no scanner that gives scores runs here" in shown(ada, "trust")


def test_a_choice_is_saved_audited_and_in_the_snapshot(ada):
    client = ada.client()

    answer = chooses(
        ada,
        client=client,
        on_dmarc_quarantine="hold",
        rspamd_add_fields_from="5",
        quarantine_days="7",
    )

    assert answer.status_code == 303
    assert "Trust is saved as you chose." in client.get(answer["Location"]).content.decode()
    assert trust().on_dmarc_quarantine is OnQuarantine.HOLD
    assert trust().scanning.rspamd.add_fields_from == 5
    assert trust().quarantine_days == 7
    assert (audited(ada).action, audited(ada).actor) == ("trust.changed", "ada@ada.example")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"quarantine_days": "0"}, "At least 1."),
        ({"quarantine_days": "22"}, "At most 21."),
        ({"rspamd_refuse_from": "nan"}, "Enter a number."),
        ({"spamd_refuse_from": "5000"}, "At most 1000"),
        ({"spamd_refuse_from": "5", "spamd_quarantine_from": "5"}, "Lower than the score"),
        ({"on_dmarc_reject": "bounce"}, "not one of the available choices"),
        ({"on_virus": ""}, "Choose one."),
    ],
)
def test_a_wrong_value_is_said_at_its_field(ada, changes, text):
    answer = chooses(ada, **changes)

    assert answer.status_code == 422
    assert text in answer.content.decode()
    assert trust() == DEFAULT_TRUST


def test_who_was_slower_is_told(ada):
    client = ada.client()
    version = client.get(ada.url("trust-change")).context["form"]["version"].value()
    chooses(ada, greylists="on")

    answer = chooses(ada, client=client, version=version, on_virus="hold")

    assert answer.status_code == 422
    assert "Somebody changed this" in answer.content.decode()
    assert trust().greylists
    assert trust().scanning.refuses_viruses


# The lists


def test_an_entry_is_added_found_and_removed(ada):
    client = ada.client()
    added = client.post(
        ada.url("trust-list-add"),
        {**ENTRY, "subject": "Spam.EXAMPLE", "last_day": "2030-01-31", "note": "too much"},
    )

    assert added.status_code == 303
    text = shown(ada, "trust-lists", query="?q=too&kind=block")
    assert "spam.example" in text
    assert "ada@ada.example" in text
    assert "No entry is like that" in shown(ada, "trust-lists", query="?q=other")
    (entry,) = trust().entries
    assert f"{entry.expires_at:%Y-%m-%d}" == "2030-02-01"

    question = shown(ada, "trust-list-remove", entry.entry_id)
    removed = client.post(ada.url("trust-list-remove", entry.entry_id))

    assert "no longer refused for this" in question
    assert removed.status_code == 303
    assert entries(ada) == []


def test_an_entry_may_be_for_one_domain_or_route(ada):
    client = ada.client()
    client.post(ada.url("trust-list-add"), {**ENTRY, "scope": "Example.org"})
    client.post(ada.url("trust-list-add"), {**ENTRY, "scope": "HI@example.org"})

    scopes = {(one.domain, one.route_id) for one in trust().entries}
    with tenant_schema(ada.tenant.pk):
        route = Route.objects.get(pattern="hi")
    assert scopes == {("example.org", None), ("", route.pk)}
    assert "hi@example.org" in shown(ada, "trust-lists")


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"subject": "not one@"}, "Write an address, a domain or a network"),
        ({"subject": "0.0.0.0/0"}, "/8 or smaller"),
        ({"subject": ""}, "Fill this in."),
        ({"scope": "mallory.example"}, "You have no domain of this name."),
        ({"scope": "nobody@example.org"}, "You have no route for this address."),
        ({"scope": "@"}, ""),
        ({"last_day": "2001-01-01"}, "The end is over already."),
        ({"last_day": "9999-12-31"}, "Name a day within"),
        ({"note": "a\u2028b"}, "is one line"),
        ({"kind": "shout"}, "not one of the available choices"),
    ],
)
def test_a_wrong_entry_is_said_at_its_field_and_what_was_typed_stays(ada, values, text):
    answer = ada.client().post(ada.url("trust-list-add"), {**ENTRY, **values})

    assert answer.status_code == 422
    assert text in answer.content.decode()
    assert entries(ada) == []


def test_an_address_may_say_what_the_entry_is_about(ada):
    text = shown(ada, "trust-list-add", query="?kind=allow&subject=carol@author.example")

    assert 'value="carol@author.example"' in text
    assert entries(ada) == []


def test_lists_have_fifty_rows_a_page_and_few_queries(ada, django_assert_max_num_queries):
    with tenant_schema(ada.tenant.pk):
        route = Route.objects.get(pattern="hi")
        TrustEntry.objects.bulk_create(
            TrustEntry(kind="block", subject=f"d{n:03}.example", route=route if n % 2 else None)
            for n in range(120)
        )
    client = ada.client()

    with django_assert_max_num_queries(12):
        first = client.get(ada.url("trust-lists"))

    text = first.content.decode()
    assert text.count('data-label="Who"') == 50
    assert len(text) < 60_000
    after = first.context["slice"].after
    assert "d050.example" in shown(ada, "trust-lists", query=f"?after={after}")


# Sealers


def test_a_sealer_is_added_and_removed_and_the_words_are_honest(ada):
    client = ada.client()
    empty = shown(ada, "trust-sealers")
    added = client.post(ada.url("trust-sealer-add"), {"name": "Lists.EXAMPLE", "note": "ours"})

    assert "No seal overrules anything" in empty
    assert "Anybody can seal" in empty
    assert added.status_code == 303
    assert trust().trusted_sealers == ("lists.example",)
    with tenant_schema(ada.tenant.pk):
        sealer = TrustedSealer.objects.get()
    assert "refused or held again" in shown(ada, "trust-sealer-remove", sealer.pk)

    client.post(ada.url("trust-sealer-remove", sealer.pk))

    assert trust().trusted_sealers == ()


@pytest.mark.parametrize("name", ["", "a@b.example", "two words", "lists.example"])
def test_what_cannot_be_a_sealer_is_refused(ada, name):
    add_sealer(tenant=ada.tenant, name="lists.example", actor=ACTOR)

    answer = ada.client().post(ada.url("trust-sealer-add"), {"name": name, "note": ""})

    assert answer.status_code == 422
    assert trust().trusted_sealers == ("lists.example",)


def test_the_operators_sealers_are_shown_and_cannot_be_removed(ada, settings):
    settings.ENV = replace(django_settings.ENV, trusted_sealers=("google.com",))

    text = shown(ada, "trust-sealers")

    assert "google.com" in text
    assert "the operator of this service" in text
    assert "sealers/1/remove" not in text


# Who may


@pytest.mark.parametrize(
    ("name", "role", "may"),
    [
        ("trust", Membership.Role.VIEWER, True),
        ("trust-lists", Membership.Role.VIEWER, True),
        ("trust-sealers", Membership.Role.VIEWER, True),
        ("trust-try", Membership.Role.VIEWER, False),
        ("trust-list-add", Membership.Role.VIEWER, False),
        ("trust-list-add", Membership.Role.EDITOR, True),
        ("trust-try", Membership.Role.EDITOR, True),
        ("trust-change", Membership.Role.EDITOR, False),
        ("trust-sealer-add", Membership.Role.EDITOR, False),
        ("trust-change", Membership.Role.ADMIN, True),
        ("trust-sealer-add", Membership.Role.ADMIN, True),
    ],
)
def test_each_page_is_for_those_it_is_for(ada, ben, name, role, may):
    Membership.objects.filter(user__email=ben.email).update(role=role)

    asked = ben.client().get(ben.url(name))
    sent = ben.client().post(ben.url(name), {**CHOICE, **ENTRY, "name": "x.example"})

    assert asked.status_code == (200 if may else 403)
    assert sent.status_code == 403 if not may else sent.status_code in (303, 405, 422)
    if not may:
        assert trust() == DEFAULT_TRUST


def test_mallory_sees_404(ada, mallory):
    entry = lists(ada)
    sealer = add_sealer(tenant=ada.tenant, name="lists.example", actor=ACTOR)
    client = mallory.client()

    for name, args in (
        ("trust", ()),
        ("trust-try", ()),
        ("trust-change", ()),
        ("trust-lists", ()),
        ("trust-list-remove", (entry.pk,)),
        ("trust-sealer-remove", (sealer.pk,)),
    ):
        assert client.get(ada.url(name, *args)).status_code == 404
        assert client.post(ada.url(name, *args)).status_code == 404
        if args:
            assert client.post(mallory.url(name, *args)).status_code == 404
    assert len(trust().entries) == 1
